"""One algorithm per file, each a skin over a job of the worker."""
