"""Waiting for another process or thread.

No test measures speed: HANG_S is only how long a test waits before it calls something hung.
"""

import time

HANG_S = 600.0


def wait_until(condition, what="the condition"):
    """Wait until ``condition()`` is true; fail if it never becomes so."""
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline, f"Gave up waiting for {what}."
        time.sleep(0.02)
