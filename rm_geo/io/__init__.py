"""Reading and writing files: rasters, CRS, object storage, provenance."""
