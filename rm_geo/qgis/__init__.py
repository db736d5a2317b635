"""The QGIS plugin as files: where QGIS wants them, and putting them there."""
