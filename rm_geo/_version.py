"""The version, in the one place that the build, the CLI and the provenance tags read."""

__version__ = "0.1.0"
