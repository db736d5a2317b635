"""Measurements of rm_geo, each a command of its own."""
