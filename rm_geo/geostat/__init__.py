"""Geostatistics: covariance, variogram, kriging, inverse distance weighting, trends."""
