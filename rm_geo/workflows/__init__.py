"""Workflows of commands besides predict: rasterize, simulate, superresolve, demo, doctor."""
