"""Runs on Dask clusters: batches of jobs and distributed tiles."""
