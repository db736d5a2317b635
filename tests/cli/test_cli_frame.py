"""The command line as a whole: quick, lazy, and never a traceback."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from rm_geo.cli.group import COMMANDS, rm_geo, rmgeo
from rm_geo.errors import CancelledError, ModelError, OutputError
from tests.support.waiting import HANG_S


@pytest.fixture
def run():
    def invoke(*arguments, env=None):
        return CliRunner().invoke(rm_geo, list(arguments), env=env, prog_name="rm-geo")

    return invoke


@pytest.fixture
def failing_with(monkeypatch):
    """Make 'models list' raise something."""

    def arrange(error):
        def raise_it(*_):
            raise error

        monkeypatch.setattr("rm_geo.zoo.catalog.list_models", raise_it)

    return arrange


def test_help_lists_every_command_with_its_one_line(run):
    result = run("--help")
    assert result.exit_code == 0
    for name, help_line in COMMANDS.items():
        assert name in result.output
        assert help_line in " ".join(result.output.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(run, name):
    result = run(name, "--help")
    assert result.exit_code == 0, result.output
    assert "--help" in result.output


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if name not in {"models", "qgis", "evaluate"}]
)
def test_every_command_has_quiet_and_json_options(run, name):
    output = run(name, "--help").output
    assert "--quiet" in output
    assert "--json" in output


def test_neither_the_package_nor_the_help_imports_what_is_heavy():
    heavy = {"torch", "numpy", "rasterio", "geopandas", "sklearn", "matplotlib", "numba", "rich"}
    code = (
        "import sys, rm_geo\n"
        "from click.testing import CliRunner\n"
        "from rm_geo.cli.group import rm_geo as command\n"
        "for arguments in (['--help'], ['predict', '--help'], ['train', '--help']):\n"
        "    assert CliRunner().invoke(command, arguments).exit_code == 0\n"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_predict_imports_only_what_every_run_needs(tmp_path):
    table, layer = tmp_path / "drive.csv", tmp_path / "drive.geojson"
    table.write_text("lon,lat,rsrp,pci\n13.4,52.5,-90,7\n13.4,52.5001,n/a,7\n")
    layer.write_text(
        '{"type": "Feature", "properties": {"rsrp": -90, "pci": 7},'
        ' "geometry": {"type": "Point", "coordinates": [13.4, 52.5]}}'
    )
    unneeded = {"torch", "matplotlib", "sklearn", "scipy.stats", "scipy.signal", "geopandas"}
    unneeded |= {"pandas", "dask", "xarray", "numba", "fsspec", "rich", "pystac"}
    code = (
        "import sys, rm_geo.pipeline.predict, rm_geo.io.tables.ogr\n"
        "from rm_geo import read_measurements\n"
        f"for path in {[str(table), str(layer)]!r}:\n"
        "    assert len(read_measurements(path)[0]) == 1\n"
        f"unneeded = {unneeded!r}\n"
        "found = unneeded & set(sys.modules)\n"
        "import rm_geo._util.tree_regressor\n"
        "unneeded = unneeded - {'sklearn'} | {'sklearn.metrics', 'narwhals'}\n"
        "print(sorted(found | unneeded & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_listed_and_loaded_on_demand():
    import rm_geo as package

    assert set(package.__all__) <= set(dir(package))
    assert package.Grid.__name__ == "Grid"
    with pytest.raises(AttributeError, match="grdi"):
        package.grdi  # noqa: B018


def test_version(run):
    from rm_geo import __version__

    result = run("--version")
    assert result.exit_code == 0
    assert __version__ in result.output


def test_an_unknown_command_suggests_the_nearest(run):
    result = run("pedict")
    assert result.exit_code == 2
    assert "Did you mean 'predict'?" in result.output


def test_usage_errors_exit_with_2(run):
    assert run("predict").exit_code == 2
    assert run("predict", "a.csv", "-o", "b", "--batch-size", "0").exit_code == 2
    assert run("predict", "a.csv", "-o", "b", "--batch-size", "many").exit_code == 2
    assert run("train", "mars", "--out", "o", "--set", "loop").exit_code == 2


def test_errors_are_one_message_and_a_hint_on_stderr(run, failing_with):
    failing_with(ModelError("The model X is damaged.", hint="Copy it again."))
    result = run("models", "list")
    assert result.exit_code == 1
    assert result.stderr == "Error: The model X is damaged.\nCopy it again.\n"
    assert result.stdout == ""


def test_machines_get_errors_as_json(run, failing_with):
    failing_with(ModelError("The model X is damaged.", hint="Copy it again."))
    result = run("models", "list", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "event": "error",
        "message": "The model X is damaged.",
        "hint": "Copy it again.",
        "exit_code": 1,
        "type": "ModelError",
    }


def test_machines_get_usage_errors_as_json_too(run):
    result = run("predict", "--json")
    event = json.loads(result.stdout)
    assert result.exit_code == event["exit_code"] == 2
    assert event["type"] == "UsageError"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "Interrupted"),
        (CancelledError("Stopped."), 130, "Stopped."),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "disk is full"),
        (MemoryError(), 1, "not enough memory"),
        (OutputError("Cannot write X."), 1, "Cannot write X."),
    ],
)
def test_exit_codes(run, failing_with, error, code, words):
    failing_with(error)
    result = run("models", "list")
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_the_unexpected_is_reported_shortly_and_in_full_on_request(run, failing_with):
    failing_with(ZeroDivisionError("division by zero"))
    short = run("models", "list")
    assert short.exit_code == 1
    assert "Traceback" not in short.output
    assert "--debug" in short.stderr
    for result in (
        run("models", "list", "--debug"),
        run("models", "list", env={"RM_GEO_DEBUG": "1"}),
    ):
        assert result.exit_code == 1
        assert "Traceback" in result.stderr
        assert "ZeroDivisionError" in result.stderr


def test_a_command_called_in_a_program_leaves_its_signals_as_they_were(run):
    before = signal.getsignal(signal.SIGTERM)
    assert run("models", "list").exit_code == 0
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_command_cleanly(tmp_path, number, code):
    script = (
        "import time, sys, rm_geo.zoo.catalog\n"
        "def wait(*_):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(30)\n"
        "rm_geo.zoo.catalog.list_models = wait\n"
        "from rm_geo.cli import main\n"
        "sys.argv = ['rm-geo', 'models', 'list']\n"
        "main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background jobs ignore SIGINT, and so would their children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, stderr = process.communicate(timeout=HANG_S)
    assert process.returncode == code
    assert "no incomplete files" in stderr
    assert "Traceback" not in stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes")
def test_a_reader_that_goes_away_is_no_traceback():
    script = "import sys\nfrom rm_geo.cli import main\nsys.argv = ['rm-geo', 'info']\nmain()\n"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_rasterio_users_find_the_same_commands():
    result = CliRunner().invoke(rmgeo, ["--help"])
    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)
