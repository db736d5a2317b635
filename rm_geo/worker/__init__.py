"""rm_geo as a process beside another program."""
