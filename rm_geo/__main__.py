"""``python -m rm_geo``: the command line where ``rm-geo`` is not on the path."""

from rm_geo.cli import main

main()
