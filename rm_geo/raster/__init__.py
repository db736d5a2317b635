"""Measurements on a grid: binning, sparse rasters, mosaics and resampling."""
