"""QGIS in this process, with Processing and the plugin, for tests in QGIS's own Python."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

PLUGINS = Path(os.environ["RM_GEO_TEST_PLUGINS"])
DATA = Path(os.environ["RM_GEO_TEST_DATA"])
sys.path[:0] = [str(PLUGINS), "/usr/share/qgis/python/plugins"]

from qgis.core import (  # noqa: E402
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsVectorLayer,
)

application = QgsApplication([], False)
application.initQgis()

import processing  # noqa: E402
from processing.core.Processing import Processing  # noqa: E402

Processing.initialize()

import rm_geo_qgis  # noqa: E402

plugin = rm_geo_qgis.classFactory(None)
plugin.initProcessing()
registry = QgsApplication.processingRegistry()

# How long to wait before a run counts as hung; no test measures speed.
HANG_S = 300.0

FAST = {
    "METHOD": "nearest",
    "TILE_SIZE": 64,
    "OVERLAP": 16,
    "REACH": 10.0,
    "ASSIMILATE": False,
    "PREVIEW": False,
}


class Feedback(QgsProcessingFeedback):
    """Records messages; cancels after ``cancel_after_s`` seconds."""

    def __init__(self, cancel_after_s=None):
        super().__init__(False)
        self.lines, self.warnings, self.beats, self.cancel_after_s = [], [], 0, cancel_after_s
        self.texts, self.when_text = [], None
        self.percents = []

    def pushInfo(self, text):
        self.lines.append(text)

    def pushWarning(self, text):
        self.warnings.append(text)

    def pushDebugInfo(self, text):
        self.lines.append(text)

    def reportError(self, text, fatalError=False):
        self.lines.append(text)

    def setProgressText(self, text):
        self.texts.append(text)
        if self.when_text is not None:
            self.when_text(text)

    def setProgress(self, percent):
        self.beats += 1
        self.percents.append(percent)


class QgisTestCase(unittest.TestCase):
    """A test with a project and a folder of its own."""

    def setUp(self):
        self.project = QgsProject.instance()
        self.project.clear()
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.addCleanup(self.project.clear)
        self.folder = Path(self.scratch.name)

    def layer(self, name, title="drive test"):
        layer = QgsVectorLayer(str(DATA / name), title, "ogr")
        self.assertTrue(layer.isValid(), name)
        self.project.addMapLayer(layer)
        return layer

    def prepared(self, algorithm_id, parameters, context=None):
        """Give an algorithm that has looked at its inputs."""
        algorithm = registry.algorithmById(algorithm_id).create()
        context = context or self.context()
        algorithm.prepareAlgorithm(parameters, context, Feedback())
        return algorithm

    def context(self):
        context = QgsProcessingContext()
        context.setProject(self.project)
        return context

    def run_algorithm(self, algorithm_id, parameters, feedback=None):
        """Run in this process; gives the results."""
        return processing.run(
            algorithm_id, parameters, feedback=feedback or Feedback(), context=self.context()
        )


def main():
    """Run the tests of the file, and end without QGIS's own end, which can crash."""
    result = unittest.main(exit=False, argv=sys.argv).result
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if result.wasSuccessful() else 1)
