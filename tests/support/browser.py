"""Headless Chromium for tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
)


def browser_path() -> str:
    """Path of an installed Chromium; skips the test where there is none."""
    named = os.environ.get("RM_GEO_BROWSER")
    found = named or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed; set RM_GEO_BROWSER to its path")
    return found


@contextmanager
def open_browser() -> Iterator[object]:
    """Start Chromium without a window and without any network."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path(),
            # As root, in containers, Chromium does not start with its sandbox.
            args=["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else [],
        )
        try:
            yield browser
        finally:
            browser.close()
