"""Batches in object storage; a file system in memory that all workers of a test share."""

import csv
import io
import json
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from rm_geo._util.checksummed import from_line
from rm_geo.cli.group import rm_geo
from rm_geo.distributed.jobs import read_jobs
from rm_geo.errors import ConfigError, DependencyError, FetchError, InputError, UsageError
from rm_geo.io.object_store import outbox
from tests.support.measurements import write_drive
from tests.support.outputs import map_contents

distributed = pytest.importorskip("distributed")
pytest.importorskip("fsspec")

OPTIONS = [
    "--method",
    "idw",
    "--crs",
    "EPSG:32633",
    "--tile-size",
    "64",
    "--overlap",
    "16",
    "--reach",
    "20",
    "--resolution",
    "2",
    "--method-weight",
    "0.6",
]


@pytest.fixture(scope="module")
def address():
    """A scheduler whose workers are threads of this process."""
    with distributed.Client(
        processes=False,
        n_workers=1,
        threads_per_worker=2,
        dashboard_address=None,
        set_as_default=False,
    ) as client:
        yield client.scheduler.address


@pytest.fixture
def drives(tmp_path, storage, monkeypatch):
    """Drive tests in the storage, and the same here."""
    folder = tmp_path / "drives"
    folder.mkdir()
    write_drive(folder / "many.csv", ["1", "2"], extent=80.0)
    write_drive(folder / "one.csv", ["9"], extent=80.0, seed=1)
    for path in folder.iterdir():
        storage.pipe(f"/drives/{path.name}", path.read_bytes())
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return folder


def batch(*arguments):
    return CliRunner().invoke(rm_geo, ["batch", *map(str, arguments), *OPTIONS])


def stored_files(system, folder):
    return {
        path.removeprefix(f"{folder}/"): system.cat(path)
        for path in system.find(folder)
        if path.endswith((".tif", ".png")) or "/summary." in path
    }


def alone(drives, name):
    """The files of one job, without storage or workers."""
    output = drives.parent / "alone" / name
    result = CliRunner().invoke(
        rm_geo, ["predict", str(drives / f"{name}.csv"), "-o", str(output), *OPTIONS]
    )
    assert result.exit_code == 0, result.output
    return map_contents(output)


def nothing_is_left(tmp_path):
    # An empty folder may stay where results were gathered.
    return not [path for path in outbox().rglob("*") if path.is_file()] and not list(
        (tmp_path / "tmp").iterdir()
    )


def summary(system, path="/maps/batch_summary.csv"):
    return {row["job"]: row for row in csv.DictReader(io.StringIO(system.cat(path).decode()))}


def test_jobs_and_outputs_may_be_local_or_remote(drives, storage, address, tmp_path):
    storage.pipe(
        "/drives/jobs.csv",
        f"measurements,name,output\nmany.csv,,\n./one.csv,,../elsewhere\n"
        f"{drives / 'one.csv'},here,{tmp_path / 'here'}\n".encode(),
    )
    result = batch("memory://drives/jobs.csv", "-o", "memory://maps", "--scheduler", address)
    assert result.exit_code == 0, result.output
    assert "memory://maps/batch_summary.csv" in result.output
    one = alone(drives, "one")
    assert stored_files(storage, "/maps/many") == alone(drives, "many")
    assert stored_files(storage, "/elsewhere") == map_contents(tmp_path / "here") == one
    rows = summary(storage)
    assert {name: row["status"] for name, row in rows.items()} == dict.fromkeys(rows, "done")
    assert rows["many"]["output"] == "memory://maps/many"
    assert set(storage.ls("/maps", detail=False)) == {
        "/maps/batch_summary.csv",
        "/maps/batch_summary.json",
        "/maps/many",
    }
    assert nothing_is_left(tmp_path)


def test_logs_in_storage_are_mapped_together(drives, storage, address, tmp_path):
    write_drive(drives / "more.csv", ["2"], extent=80.0, seed=2)
    storage.pipe("/drives/more.csv", (drives / "more.csv").read_bytes())
    result = batch(
        "memory://drives/m*.csv", "-o", "memory://maps", "--scheduler", address, "--together"
    )
    assert result.exit_code == 0, result.output
    here = tmp_path / "here"
    files = [str(drives / name) for name in ("many.csv", "more.csv")]
    alone = CliRunner().invoke(rm_geo, ["predict", *files, "-o", str(here), *OPTIONS])
    assert alone.exit_code == 0, alone.output
    assert stored_files(storage, "/maps/together") == map_contents(here)
    named = summary(storage)["together"]["measurements"].split(", ")
    assert [name.rpartition("/")[2] for name in named] == ["many.csv", "more.csv"]
    assert nothing_is_left(tmp_path)


def test_file_with_many_cells_is_fetched_once_per_worker(
    drives, storage, address, tmp_path, monkeypatch
):
    healthy, fetched = type(storage).get_file, []

    def watched(self, path, target, **extra):
        fetched.append(path)
        return healthy(self, path, target, **extra)

    monkeypatch.setattr(type(storage), "get_file", watched)
    result = batch("memory://drives/man*.csv", "-o", "memory://maps", "--scheduler", address)
    assert result.exit_code == 0, result.output
    assert fetched.count("/drives/many.csv") == 1
    assert nothing_is_left(tmp_path)


def test_unwritable_output_is_reported_before_any_work(
    drives, storage, address, tmp_path, monkeypatch
):
    healthy, fetched = type(storage).pipe_file, []

    def refuse(self, path, *rest, **extra):
        if path.startswith("/maps"):
            raise PermissionError("read only")
        return healthy(self, path, *rest, **extra)

    monkeypatch.setattr(type(storage), "pipe_file", refuse)
    monkeypatch.setattr(type(storage), "get_file", lambda *_, **__: fetched.append(1))
    result = batch("memory://drives/on*.csv", "-o", "memory://maps", "--scheduler", address)
    assert result.exit_code != 0
    assert "memory://maps" in result.output
    assert "read only" in result.output
    assert not fetched


def test_changed_site_table_runs_its_job_again(drives, storage, address):
    sites = "cell,longitude,latitude\n9,15.000544,48.753373\n"
    storage.pipe("/drives/sites.csv", sites.encode())
    storage.pipe("/drives/broken.csv", b"x,y\n")  # the record stays, for there is work left
    storage.pipe("/drives/jobs.csv", b"measurements\none.csv\nbroken.csv\n")
    command = (
        "memory://drives/jobs.csv",
        "-o",
        "memory://maps",
        "--scheduler",
        address,
        "--sites",
        "memory://drives/sites.csv",
        "--retries",
        "0",
    )

    def mapped_again():
        result = batch(*command)
        assert "1 of 2 jobs failed" in result.output, result.output
        return summary(storage)["one"]["skipped"] == "False"

    assert mapped_again()
    assert not mapped_again()
    storage.pipe("/drives/sites.csv", sites.replace("15.000544", "15.000272").encode())
    assert mapped_again()


def test_failed_download_fails_only_its_job(drives, storage, address, tmp_path, monkeypatch):
    healthy, failures = type(storage).get_file, {"/drives/many.csv": 1, "/drives/one.csv": 99}
    write_drive(drives / "third.csv", ["5"], extent=60.0, seed=2)
    storage.pipe("/drives/third.csv", (drives / "third.csv").read_bytes())

    def unwell(self, path, target, **extra):
        failures[path] = failures.get(path, 0) - 1
        if failures[path] >= 0:
            raise ConnectionError("the storage hung up")
        healthy(self, path, target, **extra)

    # Of the class: every thread has a storage of its own.
    monkeypatch.setattr(type(storage), "get_file", unwell)
    arguments = ("memory://drives", "-o", "memory://maps", "--scheduler", address)
    result = batch(*arguments)
    assert result.exit_code == 1
    assert "1 of 3 jobs failed" in result.output
    rows = summary(storage)
    assert {name: row["status"] for name, row in rows.items()} == {
        "many": "done",
        "one": "failed",
        "third": "done",
    }
    assert rows["one"]["message"].startswith(
        "memory:///drives/one.csv cannot be read: the storage hung up."
    )
    assert {name: row["tries_again"] for name, row in rows.items()} == {
        "many": "1",
        "one": "1",
        "third": "0",
    }
    assert nothing_is_left(tmp_path)
    # The record lies in the storage: the same command does what is left, on any machine.
    failures.clear()
    again = batch(*arguments)
    assert again.exit_code == 0, again.output
    assert {name: row["skipped"] for name, row in summary(storage).items()} == {
        "many": "True",
        "one": "False",
        "third": "True",
    }
    for name in ("many", "one", "third"):
        assert stored_files(storage, f"/maps/{name}") == alone(drives, name)
    assert not storage.exists("/maps/batch_state.txt")
    # What changed in the storage is mapped again.
    write_drive(drives / "one.csv", ["9"], extent=60.0, seed=3)
    failures["/drives/many.csv"] = 99
    batch(*arguments)
    storage.pipe("/drives/one.csv", (drives / "one.csv").read_bytes())
    failures.clear()
    assert batch(*arguments).exit_code == 0
    assert summary(storage)["one"]["skipped"] == "False"
    assert stored_files(storage, "/maps/one") == alone(drives, "one")


def test_failed_upload_fails_its_job(drives, storage, address, monkeypatch):
    healthy = type(storage).put_file

    def full(self, source, target, **extra):
        if "/one/" in target:
            raise OSError("the storage is full")
        healthy(self, source, target, **extra)

    monkeypatch.setattr(type(storage), "put_file", full)
    arguments = ("memory://drives", "-o", "memory://maps", "--scheduler", address)
    assert batch(*arguments).exit_code == 1
    rows = summary(storage)
    assert (rows["many"]["status"], rows["one"]["status"]) == ("done", "failed")
    assert "the storage is full" in rows["one"]["message"]
    lines = storage.cat("/maps/batch_state.txt").splitlines()
    state = dict(from_line(line, "job of a batch") for line in lines)
    assert [state[name]["complete"] for name in ("many", "one")] == [True, False]
    monkeypatch.setattr(type(storage), "put_file", healthy)
    assert batch(*arguments).exit_code == 0
    assert stored_files(storage, "/maps/one") == alone(drives, "one")


def test_site_tables_are_fetched(drives, storage, address, tmp_path):
    sites = b"cell,lon,lat,height_m\n9,15.0001,48.7521,30\n"
    storage.pipe("/drives/sites/s.csv", sites)
    (drives / "s.csv").write_bytes(sites)
    storage.pipe("/drives/jobs.yaml", b"- {measurements: one.csv, sites: sites/s.csv}\n")
    result = batch("memory://drives/jobs.yaml", "-o", tmp_path / "out", "--scheduler", address)
    assert result.exit_code == 0, result.output
    expected = CliRunner().invoke(
        rm_geo,
        [
            "predict",
            str(drives / "one.csv"),
            "-o",
            str(tmp_path / "expected"),
            "--sites",
            str(drives / "s.csv"),
            *OPTIONS,
        ],
    )
    assert expected.exit_code == 0, expected.output
    remote = CliRunner().invoke(
        rm_geo,
        [
            "predict",
            "memory://drives/one.csv",
            "-o",
            str(tmp_path / "remote"),
            "--sites",
            "memory://drives/sites/s.csv",
            *OPTIONS,
        ],
    )
    assert remote.exit_code == 0, remote.output
    assert map_contents(tmp_path / "out" / "one") == map_contents(tmp_path / "expected")
    assert map_contents(tmp_path / "remote") == map_contents(tmp_path / "expected")
    assert "estimated" not in (tmp_path / "out" / "one" / "summary.csv").read_text()


def test_remote_files_folders_and_patterns_are_jobs_without_duplicates(drives, storage):
    storage.pipe("/drives/deep/far.gpkg", b"x")
    storage.pipe("/drives/notes.md", b"x")
    jobs = read_jobs(
        [
            "memory://drives/",
            "memory://drives/o*.csv",
            "memory://drives/**/*.gpkg",
            "memory://drives/one.csv",
        ],
        "memory://maps",
    )
    assert [(job.name, job.output) for job in jobs] == [
        ("far", "memory://maps/far"),
        ("many", "memory://maps/many"),
        ("one", "memory://maps/one"),
    ]
    assert [job.name for job in read_jobs(["memory://drives/o*.csv"], Path("out"))] == ["one"]
    with pytest.raises(InputError, match=r"no measurements at memory://drives/\*\.shp"):
        read_jobs(["memory://drives/*.shp"], Path("out"))


def test_invalid_remote_arguments_are_refused_before_any_work(
    drives, storage, tmp_path, monkeypatch
):
    table = drives.parent / "jobs.csv"

    def jobs(*lines, output="memory://maps"):
        table.write_text("\n".join(["measurements,name,output", *lines]) + "\n")
        return read_jobs([table], output)

    with pytest.raises(InputError, match=r"memory://drives/gone\.csv of job 'gone' .*1 more"):
        jobs("memory://drives/gone.csv,,", "memory://drives/one.csv,,", "drives/lost.csv,,")
    here = f"file://{tmp_path}/maps"
    with pytest.raises(ConfigError, match="same output"):
        jobs("drives/one.csv,a,maps", f"drives/many.csv,b,{here}")
    with pytest.raises(UsageError, match="nowhere"):
        jobs("drives/one.csv,,nowhere://maps")
    with pytest.raises(UsageError, match="vsihdfs"):
        jobs("drives/one.csv,,/vsihdfs/maps")

    def refuse(self, path, **_):
        raise PermissionError("no credentials")

    monkeypatch.setattr(type(storage), "info", refuse)
    with pytest.raises(FetchError, match="no credentials"):
        jobs("memory://drives/one.csv,,")
    monkeypatch.undo()
    assert not storage.find("/maps")


def test_missing_storage_package_is_an_error_before_any_work(drives):
    try:
        import s3fs  # noqa: F401
    except ImportError:
        with pytest.raises(DependencyError, match="s3fs"):
            read_jobs([drives], "s3://maps")


def test_plans_are_derived_from_stored_maps_and_stored_beside_them(
    drives, tmp_path, storage, address
):
    target = "memory://results"
    result = batch("memory://drives/on*.csv", "-o", target, "--scheduler", address, "--plan")
    assert result.exit_code == 0, result.output
    plan = json.loads(storage.cat("/results/one/plan/plan.json"))
    assert [cell["name"] for cell in plan["cells"]] == ["9"]
    assert storage.exists("/results/one/plan/coverage.tif")
    assert storage.exists("/results/one/9_rsrp.tif")
    assert nothing_is_left(tmp_path)
