"""Run the worker: ``python -m rm_geo.worker``."""

from rm_geo.worker.service import main

if __name__ == "__main__":
    main()
