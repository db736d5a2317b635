"""Run the worker: ``python -m rm_geo.worker``."""

from rm_geo._util.threads import quiet_threads

if __name__ == "__main__":
    quiet_threads()  # before the service imports numpy
    from rm_geo.worker.service import main

    main()
