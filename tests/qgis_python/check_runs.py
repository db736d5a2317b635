"""Runs: cancelled, killed workers reported, no growth of QGIS's memory; names of QGIS."""

import importlib
import os
import signal
import stat
import subprocess
import threading
import time
import unittest

from harness import FAST, HANG_S, PLUGINS, Feedback, QgisTestCase, main, registry
from imported_names import missing_names
from qgis.core import QgsProcessingException

FOREVER = {"METHOD": "random-forest", "RESOLUTION": 0.1, "MAX_TILES": 100_000, "REACH": 100.0}


def workers():
    """Processes of workers that this process started."""
    listing = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True
    ).stdout
    return [int(line.split()[0]) for line in listing.splitlines() if "rm_geo.worker" in line]


def resident_kib():
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def keeper():
    """What keeps the idle worker of the plugin."""
    return registry.providerById("rm_geo").workers


class NamesTests(unittest.TestCase):
    def test_every_name_of_the_plugin_exists_in_this_qgis(self):
        def owners(name):
            return [importlib.import_module(name)] if name.startswith("qgis.") else []

        for path in sorted((PLUGINS / "rm_geo_qgis").rglob("*.py")):
            with self.subTest(path=path.name):
                self.assertEqual(missing_names(path.read_text("utf-8"), owners), [])


class RunTests(QgisTestCase):
    def setUp(self):
        super().setUp()
        keeper().end_idle()

    def start(self, parameters, act):
        """Run in a thread, as the dialog does; ``act(feedback)`` soon after the start."""
        context, feedback = self.context(), Feedback()
        algorithm = registry.algorithmById("rm_geo:estimate").create()
        self.assertTrue(algorithm.prepare(parameters, context, feedback))
        outcome = {}

        def work():
            try:
                outcome["results"], outcome["ok"] = (
                    algorithm.runPrepared(parameters, context, feedback),
                    True,
                )
            except QgsProcessingException as error:
                outcome["error"] = str(error)

        thread = threading.Thread(target=work)
        thread.start()
        act(feedback)
        thread.join(HANG_S)
        self.assertFalse(thread.is_alive())
        return outcome, feedback

    def parameters(self, **more):
        return {"INPUT": self.layer("drive.gpkg"), "OUTPUT": str(self.folder / "out ü"), **more}

    def assert_nothing_is_left(self):
        self.assertEqual(list(self.folder.iterdir()), [])
        keeper().end_idle()
        self.assertEqual(workers(), [])

    def cancelled_when(self, is_time):
        def act(feedback):
            deadline = time.monotonic() + HANG_S
            while not is_time(feedback):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)
            feedback.cancel()

        outcome, feedback = self.start(self.parameters(**FOREVER), act)
        self.assertEqual(outcome.get("results"), {}, "a cancel is no error")
        self.assertEqual(feedback.lines[-1], "Cancelled; no incomplete files are left.")
        self.assert_nothing_is_left()
        return feedback

    def test_cancelled_while_the_worker_starts(self):
        self.cancelled_when(lambda _: bool(workers()))

    def test_cancelled_while_measurements_are_read(self):
        self.cancelled_when(lambda feedback: any("device" in line for line in feedback.lines))

    def test_cancelled_inside_a_long_computation(self):
        feedback = self.cancelled_when(lambda feedback: bool(feedback.texts))
        self.assertGreater(feedback.beats, 10, "the bar is alive all the time")

    def test_a_worker_that_is_killed_gives_an_error_and_no_hang(self):
        def act(feedback):
            while not feedback.texts:
                time.sleep(0.01)
            os.kill(workers()[0], signal.SIGKILL)

        outcome, _ = self.start(self.parameters(**FOREVER), act)
        self.assertIn("ended unexpectedly (signal SIGKILL)", outcome["error"])
        self.assert_nothing_is_left()

    def test_invalid_input_gives_a_message_and_leaves_no_files(self):
        for layer, changes, words in (
            ("nameless.gpkg", {}, "RSRP field"),
            ("drive.gpkg", {"RSRP_FIELD": "pci", "CELLS": "9"}, ""),
            ("drive.gpkg", {"METHOD": "radiocycle", "MODEL": "no-such-model"}, "no-such-model"),
            ("drive.gpkg", {"METHOD_OPTIONS": "neighbours=3"}, "neighbours"),
            ("drive.gpkg", {"RESOLUTION": 0.001}, ""),
            ("drive.gpkg", {"MAX_TILES": 1, "RESOLUTION": 0.1}, "Most tiles"),
        ):
            with self.subTest(layer=layer, **changes):
                parameters = self.parameters(**{**FAST, "INPUT": self.layer(layer), **changes})
                feedback = Feedback()
                with self.assertRaises(QgsProcessingException) as caught:
                    self.run_algorithm("rm_geo:estimate", parameters, feedback)
                said = "\n".join([str(caught.exception), *feedback.lines])
                self.assertIn(words, said)
                self.assertNotIn("Traceback", said)
                self.assertEqual(list(self.folder.iterdir()), [])

    def words_of(self, script_text):
        """The error of a run whose interpreter is a shell script."""
        script = self.folder / "python"
        script.write_text(f"#!/bin/sh\n{script_text}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        os.environ["RM_GEO_PYTHON"] = str(script)
        self.addCleanup(os.environ.pop, "RM_GEO_PYTHON")
        with self.assertRaises(QgsProcessingException) as caught:
            self.run_algorithm("rm_geo:estimate", self.parameters())
        return str(caught.exception)

    def test_crashed_worker_is_reported_with_its_last_output(self):
        words = self.words_of("echo 'Fatal Python error: Segmentation fault' >&2\nexit 139")
        self.assertIn("Segmentation fault", words)
        self.assertIn("exit code 139", words)

    def test_another_protocol_version_is_refused_with_a_message(self):
        words = self.words_of('echo \'{"event": "hello", "protocol": 99, "version": "9.9"}\'\ncat')
        self.assertIn("version 99 of the protocol", words)
        self.assertIn("rm-geo qgis install", words)

    def test_missing_interpreter_is_an_error_with_a_message(self):
        from rm_geo_qgis import settings

        record = settings.PLUGIN_FOLDER / "environment.json"
        text = record.read_text()
        record.unlink()
        self.addCleanup(record.write_text, text)
        with self.assertRaises(QgsProcessingException) as caught:
            self.run_algorithm("rm_geo:estimate", self.parameters())
        self.assertIn("No Python interpreter", str(caught.exception))

    def test_the_setting_comes_before_what_the_installation_recorded(self):
        from processing.core.ProcessingConfig import ProcessingConfig
        from rm_geo_qgis import settings

        self.addCleanup(settings.set_interpreter, "")
        settings.set_interpreter("/etc/passwd")
        self.assertEqual(ProcessingConfig.getSetting(settings.NAME), "/etc/passwd")
        settings.set_interpreter("/no/such/python")
        with self.assertRaises(QgsProcessingException) as caught:
            self.run_algorithm("rm_geo:estimate", self.parameters())
        self.assertIn("/no/such/python does not exist", str(caught.exception))
        settings.set_interpreter("")
        self.assertTrue(settings.current_interpreter().path)

    def test_the_next_run_after_a_crash_has_a_new_worker(self):
        parameters = self.parameters(**FAST, LOAD=False)
        self.run_algorithm("rm_geo:estimate", parameters)
        (first,) = workers()
        os.kill(first, signal.SIGKILL)
        while first in workers():  # gone, or a zombie without a command line
            time.sleep(0.01)
        feedback = Feedback()
        self.run_algorithm("rm_geo:estimate", parameters, feedback)
        self.assertIn("ended unexpectedly (signal SIGKILL)", feedback.warnings[0])
        self.assertNotEqual(workers(), [first])

    def test_many_runs_do_not_grow_this_process(self):
        parameters = self.parameters(**FAST, LOAD=False)
        out = self.folder / "out ü"

        def run():
            self.run_algorithm("rm_geo:estimate", parameters)
            made = {path.name: path.read_bytes() for path in out.glob("*.tif")}
            return made, workers(), len(os.listdir("/proc/self/fd")), threading.active_count()

        first = run()
        self.assertEqual(len(first[0]), 2)
        self.assertEqual(len(first[1]), 1)
        for _ in range(2):
            run()
        before = resident_kib()
        for _ in range(int(os.environ.get("RM_GEO_TEST_RUNS", "5"))):
            self.assertEqual(run(), first)
        self.assertLess(resident_kib() - before, 10_000)
        keeper().end_idle()
        self.assertEqual(workers(), [])


if __name__ == "__main__":
    main()
