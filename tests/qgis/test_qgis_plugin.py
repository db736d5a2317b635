"""The plugin's code: what needs no QGIS, and what keeps it inside what all QGIS share."""

import ast
import configparser
import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from qgis_plugin.inspection_report import inspection_html
from qgis_plugin.interpreter import (
    NoInterpreterError,
    choose_interpreter,
    worker_environment,
)
from qgis_plugin.labels import LABELS, with_labels
from qgis_plugin.worker_client import PROTOCOL, Listener, WorkerCancelled, WorkerError, run_job
from qgis_plugin.worker_keeper import WorkerKeeper
from rm_geo.cli.option_names import option_names
from rm_geo.estimators.registry import list_methods
from rm_geo.planning.export import FORMATS
from rm_geo.planning.registry import all_products
from rm_geo.planning.settings import PRESETS
from rm_geo.progress import SilentProgress
from rm_geo.qgis.option_descriptions import FILE, options_text
from rm_geo.worker import jobs, service
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "qgis_plugin"
SOURCES = sorted(PLUGIN.rglob("*.py"))


def script(folder, text):
    """Make an interpreter of a few lines of shell; it ignores its arguments."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def hello(protocol=PROTOCOL):
    return f"""echo '{{"event": "hello", "protocol": {protocol}, "version": "9.9"}}'"""


def open_descriptors():
    """Count the descriptors of this process, where the system tells."""
    listing = Path("/proc/self/fd")
    return len(list(listing.iterdir())) if listing.is_dir() else 0


class Recorder(Listener):
    def __init__(self, cancel_after_s=None):
        self.said, self.beats, self.begun = [], 0, time.monotonic()
        self.cancel_after_s = cancel_after_s

    def is_cancelled(self):
        limit = self.cancel_after_s
        return limit is not None and time.monotonic() - self.begun > limit

    def beat(self):
        self.beats += 1

    def hello(self, event):
        self.said.append(("hello", event["version"]))

    def stage(self, label, total, unit):
        self.said.append(("stage", label, total, unit))

    def progress(self, done, total):
        self.said.append(("progress", done, total))

    def log(self, message):
        self.said.append(("log", message))


class TestInterpreter:
    def test_the_setting_comes_before_the_variable_before_the_record(self, tmp_path):
        pythons = [
            script(tmp_path / name, "")
            for name in ("a", "b", "c")
            if (tmp_path / name).mkdir() is None
        ]
        (tmp_path / "environment.json").write_text(f'{{"python": "{pythons[2]}"}}')
        variables = {"RM_GEO_PYTHON": pythons[1]}
        assert choose_interpreter(pythons[0], variables, tmp_path).path == pythons[0]
        assert choose_interpreter("", variables, tmp_path).path == pythons[1]
        assert choose_interpreter(" ", {}, tmp_path).path == pythons[2]

    @pytest.mark.parametrize("record", ["", "[]", "{}", '{"python": 3}', "no JSON"])
    def test_missing_interpreter_gives_instructions(self, tmp_path, record):
        (tmp_path / "environment.json").write_text(record)
        with pytest.raises(NoInterpreterError, match="rm-geo qgis install"):
            choose_interpreter("", {}, tmp_path)

    def test_unusable_interpreter_is_named_with_the_setting_it_comes_from(self, tmp_path):
        with pytest.raises(NoInterpreterError, match=r"no such.*RM_GEO_PYTHON"):
            choose_interpreter("", {"RM_GEO_PYTHON": str(tmp_path / "no such")}, tmp_path)
        (tmp_path / "text").write_text("")
        if os.name == "posix":
            with pytest.raises(NoInterpreterError, match=r"cannot be run.*setting"):
                choose_interpreter(str(tmp_path / "text"), {}, tmp_path)

    def test_quotes_and_tilde_are_expanded(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        python = script(tmp_path, "")
        assert choose_interpreter('"~/python"', {}, tmp_path).path == python

    def test_environment_of_qgis_is_removed_for_the_worker(self):
        foreign = {
            "PYTHONHOME": "x",
            "PYTHONPATH": "x",
            "VIRTUAL_ENV": "x",
            "PROJ_LIB": "x",
            "PROJ_DATA": "x",
            "GDAL_DATA": "x",
            "GDAL_DRIVER_PATH": "x",
            "QGIS_PREFIX_PATH": "x",
            "LD_LIBRARY_PATH": "x",
            "LD_PRELOAD": "x",
        }
        kept = {"PATH": "/bin", "HOME": "/h", "RM_GEO_MODELS": "/m", "OMP_NUM_THREADS": "1"}
        assert worker_environment({**foreign, **kept}) == kept

    def test_the_libraries_of_qgis_leave_the_path_on_windows(self):
        root = Path("Programs", "QGIS")
        path = os.pathsep.join([str(root / "bin"), "elsewhere"])
        kept = worker_environment({"OSGEO4W_ROOT": str(root), "PATH": path})
        assert kept["PATH"] == "elsewhere"


@pytest.mark.skipif(os.name != "posix", reason="the false workers are shell scripts")
class TestClient:
    def test_events_are_passed_to_the_listener(self, tmp_path):
        python = script(
            tmp_path,
            hello()
            + """
            read request
            echo '{"event": "log", "message": "größer"}'
            echo 'no JSON at all'
            echo '{"event": "start", "total": 4, "unit": "tiles", "label": "Cell 7"}'
            echo '{"event": "progress", "done": 2, "total": 4}'
            echo '{"event": "result", "answer": 42}'
            cat""",
        )
        listener = Recorder()
        assert run_job(python, {"request": "x"}, listener)["answer"] == 42
        assert listener.said == [
            ("hello", "9.9"),
            ("log", "größer"),
            ("stage", "Cell 7", 4, "tiles"),
            ("progress", 2, 4),
        ]

    def test_an_error_has_class_message_and_hint(self, tmp_path):
        python = script(
            tmp_path,
            hello()
            + """
            read request
            echo '{"event": "error", "class": "InputError", "message": "Bad.", "hint": "Do."}'
            cat""",
        )
        with pytest.raises(WorkerError) as caught:
            run_job(python, {})
        assert (caught.value.kind, str(caught.value)) == ("InputError", "Bad.\nDo.")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("echo 'Fatal: out of memory' >&2; exit 3", ["exit code 3", "Fatal: out of memory"]),
            (hello() + "; read request; kill -9 $$", ["signal SIGKILL"]),
            ("exit 0", ["It wrote no message"]),
            ("echo \"No module named 'rm_geo'\" >&2; exit 1", ["has no rm_geo", "pip install"]),
            (hello(PROTOCOL + 1) + "; cat", ["protocol", "rm-geo qgis install"]),
            (hello(PROTOCOL - 1) + "; cat", ["protocol", "pip install --upgrade"]),
        ],
    )
    def test_a_worker_that_fails_is_explained(self, tmp_path, text, words):
        with pytest.raises(WorkerError) as caught:
            run_job(script(tmp_path, text), {})
        for word in words:
            assert word in str(caught.value)

    def test_program_without_a_hello_times_out(self, tmp_path):
        with pytest.raises(WorkerError, match="did not answer"):
            run_job(script(tmp_path, "cat"), {}, hello_timeout_s=0.3)

    def test_python_without_rm_geo_is_reported(self, tmp_path):
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "v")], check=True
        )
        with pytest.raises(WorkerError, match="has no rm_geo"):
            run_job(str(tmp_path / "v" / "bin" / "python"), {})

    @pytest.mark.parametrize(
        "stubborn", ["cat", "trap '' TERM; while :; do sleep 0.05; done", "sleep 100000"]
    )
    def test_cancelling_ends_a_worker_that_does_not_end_by_itself(self, tmp_path, stubborn):
        scratch = tmp_path / "out" / ".rm_geo_x.part"
        scratch.mkdir(parents=True)
        (scratch / "half.tif").write_text("half")
        warning = (
            f"""echo '{{"event": "scratch", "path": "{scratch}", """
            f""""made": ["{tmp_path / "out"}"]}}'"""
        )
        python = script(tmp_path, f"{hello()}; read request; {warning}; {stubborn}")
        with pytest.raises(WorkerCancelled):
            run_job(python, {}, Recorder(cancel_after_s=0.3))
        assert not (tmp_path / "out").exists()

    def test_no_thread_and_no_descriptor_is_left(self, tmp_path):
        python = script(tmp_path, f"""{hello()}; read x; echo '{{"event": "result"}}'; cat""")
        run_job(python, {})
        threads = threading.active_count()
        descriptors = open_descriptors()
        for _ in range(5):
            run_job(python, {})
        assert threading.active_count() == threads
        assert open_descriptors() == descriptors

    def test_the_real_worker_answers(self, tmp_path):
        drive = tmp_path / "drive.csv"
        drive.write_text("lon,lat,pci,rsrp\n15,48.75,7,-90\n15,48.751,7,-95\n")
        request = {"request": "inspect", "measurements": str(drive), "options": {}}
        answer = run_job(sys.executable, request, environment=dict(os.environ))
        assert [(cell["name"], cell["points"]) for cell in answer["cells"]] == [("7", 2)]


# A worker that answers "fail", "break" and "wait" as its name says, and all else with its process.
SERVING = (
    hello()
    + """
    while read request; do
        case "$request" in
        *fail*) echo '{"event": "error", "class": "InputError", "expected": true}';;
        *break*) echo '{"event": "error", "class": "RuntimeError", "expected": false}';;
        *die*) kill -9 $$;;
        *wait*) read cancel; echo '{"event": "error", "class": "CancelledError"}';;
        *) echo "{\\"event\\": \\"result\\", \\"pid\\": $$}";;
        esac
    done"""
)


@pytest.mark.skipif(os.name != "posix", reason="the false workers are shell scripts")
class TestKeeper:
    @pytest.fixture
    def python(self, tmp_path):
        return script(tmp_path, SERVING)

    @pytest.fixture
    def keeper(self):
        keeper = WorkerKeeper()
        yield keeper
        keeper.close()

    def pid(self, keeper, python, **more):
        listener = Recorder()
        answer = keeper.run(python, {"request": "pid"}, listener, **more)
        assert listener.said[-1] == ("hello", "9.9"), "every run says what it runs in"
        return answer["pid"]

    def test_one_worker_runs_many_jobs_and_ends_with_the_keeper(self, keeper, python):
        self.pid(keeper, python)
        threads, descriptors = threading.active_count(), open_descriptors()
        pids = {self.pid(keeper, python) for _ in range(5)}
        assert len(pids) == 1
        assert (threading.active_count(), open_descriptors()) == (threads, descriptors)
        keeper.close()
        assert not psutil.pid_exists(pids.pop())
        first, second = self.pid(keeper, python), self.pid(keeper, python)
        assert first != second, "a closed keeper keeps nothing"

    def test_the_worker_is_kept_if_a_job_fails_but_not_if_the_worker_is_at_fault(
        self, keeper, python
    ):
        pid = self.pid(keeper, python)
        for request, is_kept in (("fail", True), ("break", False), ("die", False)):
            with pytest.raises(WorkerError):
                keeper.run(python, {"request": request}, Listener())
            new = self.pid(keeper, python)
            assert (new == pid) == is_kept, request
            pid = new

    def test_a_worker_that_stops_when_cancelled_is_kept(self, keeper, python):
        pid = self.pid(keeper, python)
        with pytest.raises(WorkerCancelled):
            keeper.run(python, {"request": "wait"}, Recorder(cancel_after_s=0.1))
        assert self.pid(keeper, python) == pid

    def test_a_worker_that_ends_while_it_is_taken_is_reported_and_replaced(self, keeper, python):
        psutil.Process(self.pid(keeper, python)).kill()
        idle = keeper._idle
        reasons = iter([None])  # it still looks alive
        ended = idle.exit_reason
        idle.exit_reason = lambda: next(reasons, ended())
        listener = Recorder()
        assert keeper.run(python, {"request": "pid"}, listener)["event"] == "result"
        warnings = [text for kind, text in listener.said if kind == "log"]
        assert len(warnings) == 1
        assert "ended unexpectedly (signal" in warnings[0]

    def test_a_worker_that_ended_while_idle_is_reported_and_replaced(self, keeper, python):
        psutil.Process(self.pid(keeper, python)).kill()
        wait_until(lambda: keeper._idle.exit_reason() is not None, "the end of the worker")
        listener = Recorder()
        assert keeper.run(python, {"request": "pid"}, listener)["event"] == "result"
        kind, text = listener.said[0]
        assert kind == "log"
        assert text.startswith("Warning: the idle worker of rm_geo ended unexpectedly (signal")

    def test_an_idle_worker_ends_after_some_time(self, python):
        keeper = WorkerKeeper(idle_s=0.05)
        threads = threading.active_count()
        pid = self.pid(keeper, python)
        wait_until(lambda: not psutil.pid_exists(pid), "the end of the worker")
        wait_until(lambda: threading.active_count() == threads, "the end of its threads")
        assert self.pid(keeper, python) != pid
        keeper.close()

    def test_another_interpreter_or_environment_gets_a_worker_of_its_own(self, keeper, tmp_path):
        pids = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            pids.append(self.pid(keeper, script(tmp_path / name, SERVING)))
        python = str(tmp_path / "b" / "python")
        pids.append(self.pid(keeper, python, environment={"PATH": os.environ["PATH"], "X": "1"}))
        assert len(set(pids)) == 3

    def test_an_updated_rm_geo_is_not_run_by_an_old_worker(self, keeper, tmp_path):
        package = tmp_path / "__init__.py"
        package.write_text("")
        greeting = json.dumps({**json.loads(hello()[6:-1]), "package": str(package)})
        python = script(tmp_path, SERVING.replace(hello(), f"echo '{greeting}'"))
        pid = self.pid(keeper, python)
        assert self.pid(keeper, python) == pid
        os.utime(package, (1, 1))
        assert self.pid(keeper, python) != pid

    def test_jobs_at_the_same_time_have_workers_of_their_own(self, keeper, python):
        pid = self.pid(keeper, python)
        waiting = Recorder(cancel_after_s=None)

        def wait():
            with pytest.raises(WorkerCancelled):
                keeper.run(python, {"request": "wait"}, waiting)

        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: waiting.beats > 0, "the first job")
        assert self.pid(keeper, python) != pid
        waiting.cancel_after_s = 0.0
        thread.join()
        assert self.pid(keeper, python) != pid, "one idle worker is kept, the other is ended"
        assert not psutil.pid_exists(pid)

    def test_without_process_groups_a_worker_is_killed_all_the_same(
        self, keeper, tmp_path, monkeypatch
    ):
        for name in ("killpg", "fork", "getpgid", "setsid"):
            monkeypatch.delattr(os, name)
        python = script(tmp_path, f"{hello()}; read request; trap '' TERM; while :; do :; done")
        with pytest.raises(WorkerCancelled):
            keeper.run(python, {"request": "x"}, Recorder(cancel_after_s=0.1))


class TestAgreement:
    def test_plugin_and_library_use_the_same_protocol(self):
        assert PROTOCOL == service.PROTOCOL

    def test_the_plugin_offers_the_methods_of_the_library(self):
        (methods,) = (
            ast.literal_eval(node.value)
            for node in ast.parse((PLUGIN / "algorithms/parameters.py").read_text()).body
            if isinstance(node, ast.Assign) and node.targets[0].id == "METHODS"
        )
        assert list(methods) == [method.name for method in list_methods()]

    def test_the_plugin_offers_what_planning_has(self):
        offered = {
            (file, node.targets[0].id): ast.literal_eval(node.value)
            for file in ("plan", "planning", "export_map")
            for node in ast.parse((PLUGIN / f"algorithms/{file}.py").read_text()).body
            if isinstance(node, ast.Assign)
            and node.targets[0].id in {"PRODUCTS", "PRESETS", "FORMATS", "_OF_PRESET"}
        }
        assert list(offered["plan", "PRODUCTS"]) == [product.name for product in all_products()]
        assert offered["planning", "PRESETS"] == tuple(PRESETS)
        assert offered["export_map", "FORMATS"] == tuple(FORMATS)
        varies = {
            f"{group}.{name}"
            for preset in PRESETS.values()
            for group, values in preset.items()
            for name in values
        }
        assert set(offered["planning", "_OF_PRESET"]) <= varies

    def test_the_plugin_asks_for_jobs_that_exist(self):
        asked = set()
        for path in SOURCES:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Dict):
                    for key, value in zip(node.keys, node.values, strict=True):
                        if isinstance(key, ast.Constant) and key.value == "request":
                            asked.add(value.value)
        assert asked == {*jobs.JOBS, "cancel"}

    def test_messages_name_parameters_by_their_labels(self):
        assert with_labels("Name it with `rsrp_column`.") == (
            "Name it with the parameter 'RSRP field'."
        )
        assert with_labels("Choose `method` knn; a `b`.").endswith("; a `b`.")
        assert with_labels("It is too far.", "reach_m").endswith("See the parameter 'Reach [m]'.")
        assert with_labels("Change `reach_m`.", "reach_m").count("Reach") == 1

    def test_the_report_of_an_inspection_escapes_what_files_say(self, tmp_path):
        log = tmp_path / "log.csv"
        rows = [f"{52.5 + row * 1e-5},13.4,<b>{row % 2}</b>,-90" for row in range(6)]
        log.write_text("\n".join(["lat,lon,cell,RSRP", *rows, "52.5,13.4,<b>0</b>,"]))
        found = jobs.JOBS["inspect"]({"measurements": str(log)}, tmp_path, SilentProgress())
        page = inspection_html("a & b <c>", json.loads(json.dumps(found)))
        assert "Measurements of a &amp; b &lt;c&gt;" in page
        assert "<td>&lt;b&gt;0&lt;/b&gt;</td><td>3</td><td>-90.0</td>" in page
        assert "<td>1</td><td>without an RSRP</td>" in page
        assert "<b>" not in page

    def test_every_label_is_of_an_option_that_messages_name(self):
        assert set(LABELS) <= set(option_names())

    def test_the_descriptions_of_the_options_are_current(self):
        assert (PLUGIN / FILE).read_text("utf-8") == options_text()


# What QGIS 3.22 with Qt 5 and QGIS 4 with Qt 6 do not both have.
NEWER_THAN_3_22 = {"QMetaType", "QgsProcessingFeatureBasedAlgorithm3"}
REMOVED_IN_QT_6 = {"exec_", "toTime_t", "pyqtRemoveInputHook"}


class TestCompatibility:
    """The plugin keeps to what QGIS 3.22 to 4 have, and to the standard library."""

    @pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PLUGIN).as_posix())
    def test_the_code_is_that_of_python_3_9(self, path):
        ast.parse(path.read_text(), feature_version=(3, 9))

    @pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PLUGIN).as_posix())
    def test_only_pyqgis_and_the_standard_library_are_imported(self, path):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            else:
                continue
            for name in names:
                top = name.split(".")[0]
                assert top in {"qgis", "processing"} or top in sys.stdlib_module_names, name
                assert not name.startswith(("PyQt", "PySide")), name

    @pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PLUGIN).as_posix())
    def test_enumerations_use_names_common_to_all_versions(self, path):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    assert alias.name not in NEWER_THAN_3_22, alias.name
            if not isinstance(node, ast.Attribute):
                continue
            text = ast.unparse(node)
            assert node.attr not in REMOVED_IN_QT_6, text
            assert not text.startswith("Qgis."), f"{text}: not in 3.22, or moved since"
            owner = node.value
            is_class = isinstance(owner, ast.Name) and owner.id.startswith(("Qgs", "Q"))
            is_constant = node.attr[0].isupper() and node.attr != "TEMPORARY_OUTPUT"
            if is_class and is_constant:
                # An enumeration or a nested class: its values come one dot further on.
                parents = [
                    n
                    for n in ast.walk(ast.parse(path.read_text()))
                    if isinstance(n, ast.Attribute) and ast.unparse(n).startswith(f"{text}.")
                ]
                is_nested = text in NESTED_CLASSES
                assert parents or is_nested, f"{text}: name the enumeration, {owner.id}.X.Y"

    def test_the_metadata_is_what_qgis_asks_for(self):
        parser = configparser.ConfigParser()
        parser.read(ROOT / "metadata.txt", "utf-8")
        general = parser["general"]
        for key in ("name", "description", "about", "version", "author", "email", "repository"):
            assert general[key], key
        assert general["qgisMinimumVersion"] == "3.22"
        assert general["qgisMaximumVersion"] == "4.99"
        assert general["hasProcessingProvider"] == "yes"
        assert (PLUGIN / general["icon"]).is_file()


NESTED_CLASSES = {
    "QgsDataProvider.ProviderOptions",
    "QgsPalettedRasterRenderer.Class",
    "QgsProcessingContext.LayerDetails",
    "QgsVectorFileWriter.SaveVectorOptions",
}
