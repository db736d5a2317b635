"""Object storage as input and output; these tests use fsspec's memory storage and a web server."""

import functools
import http.server
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from rm_geo.cli.group import rm_geo
from rm_geo.errors import DependencyError, FetchError, InputError, OutputError, UsageError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.io.metadata import exists
from rm_geo.io.object_store import fetched, outbox, require_writable, stored
from rm_geo.io.paths import identity, is_remote, url_of

pytest.importorskip("upath")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/vsis3/bucket/a/b.parquet", "s3://bucket/a/b.parquet"),
        ("/vsigs/bucket/b.fgb", "gs://bucket/b.fgb"),
        ("/vsicurl/https://example.org/b.csv", "https://example.org/b.csv"),
        ("memory://a/b.csv", "memory://a/b.csv"),
    ],
)
def test_url_of_gdal_virtual_paths(location, url):
    assert is_remote(location)
    assert url_of(location) == url


@pytest.mark.parametrize("location", ["a.csv", "/data/a.csv", "C:/a.csv", "C:\\a.csv", "vsis3/a"])
def test_local_paths_are_not_remote(location):
    assert not is_remote(location)


def test_unsupported_virtual_path_is_refused():
    with pytest.raises(UsageError, match="vsihdfs"):
        url_of("/vsihdfs/a.csv")


def test_fetched_file_exists_inside_the_block_only(storage):
    storage.pipe("/drive/a.csv", b"x,y,rsrp\n")
    with fetched("memory://drive/a.csv") as path:
        assert path.name == "a.csv"
        assert path.read_bytes() == b"x,y,rsrp\n"
    assert not path.exists()


def test_shapefile_is_fetched_with_its_sidecars(storage):
    for suffix in ("shp", "shx", "dbf", "prj"):
        storage.pipe(f"/drive/a.{suffix}", suffix.encode())
    with fetched("memory://drive/a.shp") as path:
        assert sorted(file.name for file in path.parent.iterdir()) == [
            "a.dbf",
            "a.prj",
            "a.shp",
            "a.shx",
        ]


def test_unreadable_sidecar_is_an_error(storage, monkeypatch):
    healthy = storage.info

    def refuse(path, **extra):
        if path.endswith(".dbf"):
            raise PermissionError("no credentials")
        return healthy(path, **extra)

    storage.pipe("/drive/a.shp", b"shp")
    monkeypatch.setattr(storage, "info", refuse)
    with pytest.raises(InputError, match="no credentials"), fetched("memory://drive/a.shp"):
        pass


def test_missing_file_is_named(storage):
    with (
        pytest.raises(InputError, match=re.escape("memory://drive/none.csv does not exist")),
        fetched("memory://drive/none.csv"),
    ):
        pass


def test_errors_name_the_location_instead_of_the_copy(storage):
    storage.pipe("/drive/a.csv", b"")
    with (
        pytest.raises(InputError, match=r"^memory://drive/a\.csv is empty"),
        fetched("memory://drive/a.csv") as path,
    ):
        raise InputError(f"{path} is empty.")


def test_results_are_uploaded_at_the_end_with_the_summary_last(storage, monkeypatch):
    order = []
    monkeypatch.setattr(storage, "put_file", lambda source, target: order.append(target))
    names = ["summary.csv"]
    with stored("memory://maps/today", names) as folder:
        for name in ("summary.csv", "1_rsrp.tif", "z.png", ".rmgeo-lock", "left_over.tif"):
            (folder / name).write_text(name)
        names += ["1_rsrp.tif", "z.png", "not_made.tif"]
        assert not order
    assert order == [f"/maps/today/{name}" for name in ("1_rsrp.tif", "z.png", "summary.csv")]
    assert not folder.exists()


def test_failed_block_uploads_nothing_and_keeps_the_outbox(storage):
    def stop_halfway():
        with stored("memory://maps/today", ["half"]) as folder:
            (folder / "half").write_text("of it")
            raise InputError("no")

    with pytest.raises(InputError):
        stop_halfway()
    assert not storage.exists("/maps")
    with stored("memory://maps/today", ["half"]) as again:
        assert (again / "half").read_text() == "of it"
    assert storage.cat("/maps/today/half") == b"of it"


def test_require_writable_leaves_nothing(storage, monkeypatch):
    require_writable("memory://maps/today")
    assert not storage.find("/maps")

    def refuse(*_, **__):
        raise PermissionError("no credentials")

    monkeypatch.setattr(storage, "pipe_file", refuse)
    with pytest.raises(OutputError, match=r"memory://maps/today.*no credentials"):
        require_writable("memory://maps/today")


def test_results_that_cannot_be_uploaded_are_kept(storage, monkeypatch):
    def refuse(source, target):
        raise PermissionError("no credentials")

    monkeypatch.setattr(storage, "put_file", refuse)
    with (
        pytest.raises(OutputError, match=r"no credentials.*credentials") as caught,
        stored("memory://maps/today", ["a.tif"]) as folder,
    ):
        (folder / "a.tif").write_text("a")
    assert str(folder) in str(caught.value)
    assert (folder / "a.tif").exists()


def test_predict_reads_and_writes_object_storage(storage):
    rng = np.random.default_rng(0)
    x, y = 500_000 + rng.uniform(0, 80, 200), 5_400_000 + rng.uniform(0, 80, 200)
    lines = [f"{a:.1f},{b:.1f},{-80 - 0.1 * (a - 500_000):.1f}" for a, b in zip(x, y, strict=True)]
    storage.pipe("/drive/a.csv", "\n".join(["x,y,rsrp", *lines]).encode())
    arguments = [
        "predict",
        "memory://drive/a.csv",
        "-o",
        "memory://maps/today",
        "--method",
        "idw",
        "--crs",
        "EPSG:32633",
        "--reach",
        "20",
        "-q",
    ]
    result = CliRunner().invoke(rm_geo, arguments)
    assert result.exit_code == 0, result.output
    names = sorted(path.rsplit("/", 1)[1] for path in storage.ls("/maps/today", detail=False))
    assert names == ["all_preview.png", "all_rsrp.tif", "summary.csv", "summary.json"]
    assert not list(outbox().iterdir())


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """A web server with byte ranges that counts the bytes it sends."""

    sent: list[int]

    def log_message(self, *_):
        pass

    def do_GET(self):
        data = open(self.translate_path(self.path), "rb").read()  # noqa: PTH123, SIM115
        found = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(found[1]) if found else 0
        last = min(int(found[2]) if found and found[2] else len(data) - 1, len(data) - 1)
        self.send_response(206 if found else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        if found:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[first : last + 1])
        self.server.sent.append(last + 1 - first)


def test_remote_map_is_read_by_byte_ranges(tmp_path):
    grid = Grid.create(500_000.0, 5_400_000.0, (3000, 3000), 1.0, 32633)
    values = np.random.default_rng(0).normal(-90, 9, grid.shape).astype(np.float32)
    write_raster(tmp_path / "map.tif", values, grid)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Ranges, directory=str(tmp_path))
    )
    server.sent = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        location = f"/vsicurl/http://127.0.0.1:{server.server_port}/map.tif"
        with (
            rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_HTTP_PROXY=""),
            rasterio.open(location) as dataset,
        ):
            part = dataset.read(1, window=((1000, 1100), (2000, 2100)))
    finally:
        server.shutdown()
    np.testing.assert_array_equal(part, values[1000:1100, 2000:2100])
    assert sum(server.sent) < 0.2 * (tmp_path / "map.tif").stat().st_size


def test_symbolic_link_in_the_outbox_is_refused(storage, tmp_path):
    with stored("memory://maps/today", []) as folder:
        assert folder.exists()
    behind = tmp_path / "behind"
    behind.mkdir()
    (behind / "half").write_text("half")
    folder.symlink_to(behind)
    with (
        pytest.raises(OutputError, match="symbolic link"),
        stored("memory://maps/today", ["half"]),
    ):
        pytest.fail("the folder was given")
    assert (behind / "half").read_text() == "half"
    assert folder.is_symlink()


def test_lost_connection_is_a_fetch_error_without_credentials(storage, monkeypatch):
    def lose(*_, **__):
        raise ConnectionError("https://user:s3cret@host/a?sig=abc: connection reset\nmore")

    monkeypatch.setattr(storage, "info", lose)
    with pytest.raises(FetchError, match="connection reset") as caught:
        exists("memory://user:s3cret@drive/a.csv")
    assert "s3cret" not in str(caught.value)
    assert "sig=abc" not in str(caught.value)


def test_local_paths_need_no_fsspec():
    code = (
        "import sys; from pathlib import Path; from contextlib import ExitStack\n"
        "from rm_geo.io import file_cache, metadata, object_store\n"
        "assert metadata.exists(Path('.'))\n"
        "assert object_store.local(Path('a'), ExitStack(), object_store.fetched) == Path('a')\n"
        "sys.exit(any(name in sys.modules for name in ('fsspec', 'upath')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DependencyError, match=r"rm-geo\[remote\] s3fs"):
        exists("s3://drive/a.csv")


def test_file_urls_of_windows_drives(monkeypatch):
    assert identity("file:///C:/maps").replace("\\", "/").endswith("C:/maps")
    assert "/C:" not in identity("file:///C:/maps").removeprefix(str(Path.cwd()) + "/")
