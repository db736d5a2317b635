"""Building footprints: reading and rasterizing to masks."""
