"""Jobs are checked before any work begins."""

import json
from pathlib import Path

import pytest

from rm_geo.distributed.jobs import read_jobs
from rm_geo.errors import ConfigError, InputError, UsageError
from rm_geo.options import PredictOptions
from rm_geo.zoo.weights import write_index
from tests.support.models import save_tiny_model

OPTIONS = PredictOptions(method="idw", reach_m=20.0)


@pytest.fixture
def drives(tmp_path):
    for name in ("north.csv", "south.gpkg", "deep/east.parquet", "notes.md"):
        path = tmp_path / "drives" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "drives"


def table(folder, text, name="jobs.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_folder_gives_a_job_for_each_file_of_measurements(drives, tmp_path):
    jobs = read_jobs([drives], tmp_path / "out")
    assert [(job.name, job.measurements[0].name) for job in jobs] == [
        ("north", "north.csv"),
        ("south", "south.gpkg"),
    ]
    assert jobs[0].output == tmp_path / "out" / "north"


def test_patterns_search_subfolders_and_give_no_duplicates(drives, tmp_path):
    jobs = read_jobs([f"{drives}/**/*.parquet", str(drives / "south.gpkg"), drives], tmp_path)
    assert sorted(job.measurements[0].name for job in jobs) == [
        "east.parquet",
        "north.csv",
        "south.gpkg",
    ]


def test_together_makes_one_job_of_all_files(drives, tmp_path):
    (job,) = read_jobs([drives, f"{drives}/**/*.parquet"], tmp_path, OPTIONS, together=True)
    assert job.name == "together"
    assert job.output == tmp_path / "together"
    assert job.options == OPTIONS
    assert sorted(file.name for file in job.measurements) == [
        "east.parquet",
        "north.csv",
        "south.gpkg",
    ]
    (one,) = read_jobs([drives / "north.csv"], tmp_path, together=True)
    assert one.measurements == (drives / "north.csv",)


@pytest.mark.parametrize("name", ["jobs.csv", "jobs.yaml"])
def test_the_files_of_a_table_are_not_mapped_together(drives, tmp_path, name):
    text = "measurements\nnorth.csv\n" if name == "jobs.csv" else "- {measurements: north.csv}"
    with pytest.raises(UsageError, match="is a table of jobs") as refused:
        read_jobs([table(drives, text, name)], tmp_path, together=True)
    assert refused.value.parameter == "together"


def test_a_job_of_a_table_may_have_several_files(drives, tmp_path):
    text = (
        "- {measurements: [north.csv, deep/east.parquet], name: both}\n"
        "- {measurements: '**/*.gpkg', method: idw}\n"
        "- {measurements: [south.gpkg, 'deep/*'], name: mixed}\n"
    )
    both, pattern, mixed = read_jobs([table(drives, text, "jobs.yaml")], tmp_path)
    assert (both.name, both.measurements) == (
        "both",
        (drives / "north.csv", drives / "deep" / "east.parquet"),
    )
    assert pattern.measurements == (drives / "south.gpkg",)
    assert pattern.options.method.name == "idw"
    assert [file.name for file in mixed.measurements] == ["south.gpkg", "east.parquet"]


def test_a_missing_one_of_several_files_is_refused(drives, tmp_path):
    for entry in ("[north.csv, gone.csv]", "'gone/*.csv'"):
        path = table(drives, f"- {{measurements: {entry}}}", "jobs.yaml")
        with pytest.raises(InputError, match="gone"):
            read_jobs([path], tmp_path)
    for entry in ("[]", "[north.csv, null]"):
        path = table(drives, f"- {{measurements: {entry}}}", "jobs.yaml")
        with pytest.raises(ConfigError, match="no 'measurements'"):
            read_jobs([path], tmp_path)


def test_pattern_of_csv_files_is_not_a_job_table(drives, tmp_path):
    (jobs,) = read_jobs([f"{drives}/*.csv"], tmp_path)
    assert jobs.name == "north"
    path = table(drives, "measurements\nsouth.gpkg\n", "jobs[1].csv")
    assert [job.name for job in read_jobs([path], tmp_path)] == ["south"]


def test_summaries_of_earlier_runs_are_not_measurements(drives, tmp_path):
    for name in ("batch_summary.csv", "deep/summary.csv"):
        (drives / name).write_bytes(b"x")
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for name in ("north.csv", "batch_summary.csv"):
        memory.pipe(f"/drives/{name}", b"x")
    for source, names in (
        (drives, ["north", "south"]),
        (f"{drives}/**/*.csv", ["north"]),
        ("memory://drives", ["north"]),
        ("memory://drives/*.csv", ["north"]),
    ):
        assert [job.name for job in read_jobs([source], tmp_path)] == names
    memory.rm("/drives", recursive=True)


def test_files_with_equal_names_get_different_outputs(drives, tmp_path):
    (drives / "north.gpkg").write_bytes(b"x")
    (drives / "deep" / "north.gpkg").write_bytes(b"x")
    jobs = read_jobs([drives, drives / "deep"], tmp_path)
    assert len({job.output for job in jobs}) == len(jobs) == 5


def test_csv_table_sets_options_by_name(drives, tmp_path):
    path = table(
        drives,
        "measurements,name,method,reach,resolution_m,cell,mask,method_weight,bbox\n"
        'north.csv,n,knn,40,2,"7,Mast 8; 9",yes,,1 2 3 4.5\n'
        "south.gpkg,,,,,,,0.5,\n",
    )
    first, second = read_jobs([path], tmp_path, PredictOptions(min_pixels=9))
    assert first.name == "n"
    assert first.options == PredictOptions(
        method="knn",
        reach_m=40.0,
        resolution_m=2.0,
        cells=("7", "Mast 8", "9"),
        mask=True,
        min_pixels=9,
        bbox=(1.0, 2.0, 3.0, 4.5),
    )
    assert second.options == PredictOptions(method_weight=0.5, min_pixels=9)
    assert second.output == tmp_path / "south"


def test_yaml_table_has_defaults_and_typed_values(drives, tmp_path):
    (drives / "sites.csv").write_bytes(b"x")
    path = table(
        drives,
        "defaults: {method: idw}\n"
        "jobs:\n"
        "  - {measurements: north.csv, cells: [7], noise: null, sites: sites.csv,\n"
        "     method_options: {power: 3}}\n"
        "  - {measurements: deep/east.parquet, method: knn, output: here}\n",
        "jobs.yaml",
    )
    first, second = read_jobs([path], tmp_path)
    assert (first.options.method.name, first.options.method.method_options) == ("idw", {"power": 3})
    assert (first.options.reading.cells, first.options.method.noise_db) == (("7",), None)
    assert first.options.site.sites == drives / "sites.csv"
    assert (second.options.method.name, second.output) == ("knn", drives / "here")


def test_null_keeps_the_default(drives, tmp_path):
    path = table(
        drives,
        "defaults: {method: idw, reach: 40}\n"
        "jobs:\n"
        "  - {measurements: north.csv, name: null, output: null, reach: null, bbox: null}\n",
        "jobs.yaml",
    )
    (job,) = read_jobs([path], tmp_path, PredictOptions(reach_m=7.0))
    assert (job.name, job.output) == ("north", tmp_path / "north")
    assert (job.options.method.name, job.options.grid.reach_m) == ("idw", 7.0)
    with pytest.raises(ConfigError, match="no 'measurements' in job 1"):
        read_jobs([table(drives, "- {measurements: null}", "none.yaml")], tmp_path)


@pytest.mark.parametrize(
    "text", ["sep=;\n# jobs\n{};{}\n{};{}\n", "{}\t{}\n{}\t{}\n", "{}|{}\n{}|{}"]
)
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_job_tables_accept_the_separators_of_measurements(drives, tmp_path, text, suffix):
    content = text.format("name", "measurements", "a,b", "north.csv")
    (job,) = read_jobs([table(drives, content, f"jobs.{suffix}")], tmp_path)
    assert (job.name, job.measurements) == ("a,b", (drives / "north.csv",))


def test_tsv_without_the_column_is_measurements(drives, tmp_path):
    path = table(drives, "x\ty\trsrp\n1\t2\t-90\n", "west.tsv")
    (job,) = read_jobs([path], tmp_path)
    assert job.measurements == (path,)


def test_model_beside_the_table_takes_precedence(drives, tmp_path, monkeypatch):
    monkeypatch.setenv("RM_GEO_MODELS", str(tmp_path / "models"))
    for folder in (tmp_path / "models" / "listed", drives / "listed", drives / "mine"):
        save_tiny_model(folder, 0)
    write_index(tmp_path / "models", {"radiocycle": "listed"})
    elsewhere = tmp_path / "other" / "far"
    save_tiny_model(elsewhere, 1)
    path = table(
        drives,
        f"name,measurements,model\na,north.csv,mine\nb,north.csv,listed\nc,north.csv,{elsewhere}\n",
    )
    models = [job.options.method.model for job in read_jobs([path], tmp_path)]
    assert models == [drives / "mine", "listed", elsewhere]


@pytest.mark.parametrize("name", ["../esc", "a/b", "a\\b", "..", ".", "/tmp/a", "a\tb"])
def test_job_name_cannot_lead_out_of_the_output_folder(drives, tmp_path, name):
    path = table(drives, json.dumps([{"measurements": "north.csv", "name": name}]), "jobs.yaml")
    with pytest.raises(ConfigError, match=r"cannot be the name of a job.*job 1 of"):
        read_jobs([path], tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("measurements,reech\nnorth.csv,4\n", "reech.*reach"),
        ("measurements,reach\nnorth.csv,far\n", "reach_m.*number.*far.*line 2"),
        ("measurements,reach\nnorth.csv,-4\n", "greater than or equal to 0.*line 2"),
        ("measurements,mask\nnorth.csv,perhaps\n", "perhaps"),
        ("file,method\nnorth.csv,idw\n", "no column 'measurements'"),
        ("measurements,method\nnorth.csv\n", "line 2"),
        ("measurements,method,method\nnorth.csv,idw,knn\n", "two columns 'method'"),
        ("measurements,name\nnorth.csv,a\nsouth.gpkg,a\n", "same name"),
        ("measurements,name,output\nnorth.csv,a,x\nsouth.gpkg,b,./x\n", "same output"),
        ("measurements,output\nnorth.csv,s3://maps/x\nsouth.gpkg,/vsis3/maps/x/\n", "same output"),
        ("measurements,output\nnorth.csv,gs://maps/x\nsouth.gpkg,gcs://maps/./x\n", "same output"),
    ],
)
def test_invalid_table_is_refused_with_its_line(drives, tmp_path, text, message):
    with pytest.raises(ConfigError) as refused:
        read_jobs([table(drives, text)], tmp_path)
    import re

    assert re.search(message, str(refused.value)), str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("method: neerest", "neerest"),
        ("device: gpu", "gpu"),
        ("{method: knn, method_options: {neighbours: 3}}", "no option neighbours"),
        ("{method: mars, method_options: {symmetries: 0}}", "symmetries must be"),
        ("method_options: {symmetries: 3}", "symmetries must be"),
        ("method_options: {device: cpu}", "device cannot be set"),
        ("model: nowhere.safetensors", "nowhere"),
        ("model: radiocycle-feeld", "radiocycle-feeld"),
        ("{method: idw, model: some}", "no trained model to choose"),
        ("crs: EPSG:1", "'EPSG:1' .`crs`. is not a CRS"),
        ("target_crs: here", "'here' .`target_crs`. is not a CRS"),
        ("target_crs: EPSG:4326", "not a projected CRS"),
        ("{method: idw, buildings: north.csv}", "does not read buildings"),
    ],
)
def test_invalid_values_are_refused_before_any_work(drives, tmp_path, settings, message):
    path = table(
        drives,
        f"defaults: {settings if settings[0] == '{' else '{' + settings + '}'}\n"
        "jobs:\n"
        "  - {measurements: south.gpkg, method: nearest, method_options: {}, model: null,\n"
        "     crs: null, target_crs: null, device: cpu, buildings: null}\n"
        "  - {measurements: north.csv}\n",
        "jobs.yaml",
    )
    with pytest.raises(ConfigError, match=rf"{message}.*\(job 'north'\)"):
        read_jobs([path], tmp_path)


@pytest.mark.parametrize("text", ["{", "jobs: 3", "tasks: []", "- north.csv", "- {method: idw}"])
def test_invalid_yaml_is_refused(drives, tmp_path, text):
    with pytest.raises(ConfigError):
        read_jobs([table(drives, text, "jobs.yml")], tmp_path)


@pytest.mark.parametrize("source", ["nothing/*.csv", "missing.gpkg", "jobs.csv"])
def test_missing_files_in_a_table_are_refused(tmp_path, source):
    with pytest.raises(InputError):
        read_jobs([tmp_path / source], tmp_path)


def test_missing_measurements_are_refused_before_any_work(drives, tmp_path):
    path = table(drives, "measurements\nnorth.csv\ngone.csv\nlost.csv\n")
    with pytest.raises(InputError, match=r"gone\.csv.*1 more"):
        read_jobs([path], tmp_path)
    path = table(drives, "measurements,sites\nnorth.csv,nowhere.csv\nsouth.gpkg,nowhere.csv\n")
    with pytest.raises(InputError, match=r"nowhere\.csv of job 'north' does not exist\."):
        read_jobs([path], tmp_path)
    empty = table(drives, "measurements\n", "empty.csv")
    with pytest.raises(InputError, match="no jobs"):
        read_jobs([empty], Path("out"))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("measurements,output\na.csv,o\0ut\n", "NUL"),
        ("measurements,output\n" + "a" * 140_000 + ",out\n", "field larger"),
    ],
)
def test_a_damaged_table_is_one_message(tmp_path, text, match):
    (tmp_path / "jobs.csv").write_text(text)
    with pytest.raises(ConfigError, match=match):
        read_jobs([tmp_path / "jobs.csv"], tmp_path)
