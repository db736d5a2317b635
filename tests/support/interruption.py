"""Ending a run without giving it a chance to clean up."""


class KilledError(BaseException):
    """Stands for a kill: no handler of the program catches it."""
