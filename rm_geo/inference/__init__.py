"""Estimating tiles: batches, the runner, executors and methods."""
