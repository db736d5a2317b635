"""Installation of the QGIS plugin into the profiles of QGIS."""
