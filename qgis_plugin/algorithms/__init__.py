"""Processing algorithms, one per file; each runs a job of the worker."""
