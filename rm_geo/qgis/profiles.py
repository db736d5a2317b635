"""Profiles of QGIS on this machine: where they lie, and whether they use a plugin."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rm_geo.errors import InputError, UsageError

MAJORS: Final = (3, 4)
"""Versions of QGIS that keep profiles of their own."""

_SECTION: Final = "PythonPlugins"


@dataclass(frozen=True)
class Profile:
    """One profile of one QGIS.

    Attributes
    ----------
    path : Path
        Its folder.
    major : int
        3 or 4.
    """

    path: Path
    major: int = 3

    @property
    def name(self) -> str:
        """Name, as QGIS shows it."""
        return self.path.name

    @property
    def plugins(self) -> Path:
        """Folder of its plugins."""
        return self.path / "python" / "plugins"

    @property
    def settings(self) -> Path:
        """File of its settings."""
        return self.path / "QGIS" / f"QGIS{self.major}.ini"


def profile_roots(
    environment: Mapping[str, str] | None = None,
    platform: str | None = None,
    home: Path | None = None,
) -> list[tuple[Path, int]]:
    """Folders that hold profiles of QGIS 3 and 4, whether they exist or not.

    Parameters
    ----------
    environment : mapping, optional
        Variables; those of the process if not given. ``QGIS_CUSTOM_CONFIG_PATH`` overrides
        all, as it does for QGIS.
    platform : str, optional
        As ``sys.platform``.
    home : Path, optional
        The user's folder.

    Returns
    -------
    list of (Path, int)
        Folders and the major versions of QGIS, the usual places first.
    """
    variables = os.environ if environment is None else environment
    system = sys.platform if platform is None else platform
    user = Path.home() if home is None else home
    if custom := variables.get("QGIS_CUSTOM_CONFIG_PATH"):
        return [(Path(custom) / "profiles", 3)]
    if system == "win32":
        bases = [Path(variables.get("APPDATA") or user / "AppData" / "Roaming") / "QGIS"]
    elif system == "darwin":
        bases = [user / "Library" / "Application Support" / "QGIS"]
    else:
        data = Path(variables.get("XDG_DATA_HOME") or user / ".local" / "share")
        flatpak = user / ".var" / "app" / "org.qgis.qgis" / "data"
        bases = [data / "QGIS", flatpak / "QGIS"]
    return [(base / f"QGIS{major}" / "profiles", major) for base in bases for major in MAJORS]


def list_profiles(roots: list[tuple[Path, int]]) -> list[Profile]:
    """List the profiles that exist."""
    return [
        Profile(folder, major)
        for root, major in roots
        if root.is_dir()
        for folder in sorted(root.iterdir())
        if folder.is_dir()
    ]


def choose_profiles(
    name: str | None, profiles_path: Path | None, *, create: bool = False
) -> list[Profile]:
    """Find the profiles of that name, of every QGIS on this machine.

    Parameters
    ----------
    name : str, optional
        Name of the profile; each QGIS's default profile if not given.
    profiles_path : Path, optional
        Folder of profiles to look in instead, as for QGIS's ``--profiles-path``.
    create : bool
        Where QGIS has not been started yet, give the profile that it will make.

    Raises
    ------
    InputError
        If there is none.
    UsageError
        If the name is none that a profile can have.
    """
    if name is not None and (Path(name).name != name or name in ("", ".", "..")):
        raise UsageError(f"{name!r} is no name of a profile.", hint="Give its name, not a path.")
    roots = profile_roots() if profiles_path is None else [_given_root(profiles_path)]
    profiles = list_profiles(roots)
    found = [p for p in profiles if p.name == (name or _default_name(p.path.parent))]
    if found:
        return found
    if create and name is None:
        root, major = roots[0]
        return [Profile(root / "default", major)]
    known = ", ".join(sorted({p.name for p in profiles})) or "none yet: start QGIS once"
    places = ", ".join(str(root) for root, _ in roots)
    raise InputError(
        f"There is no QGIS profile {name or 'default'!r} in {places}.",
        hint=f"Profiles: {known}. Another folder is chosen with `profiles_path`.",
    )


def is_enabled(profile: Profile, plugin: str) -> bool:
    """Whether a profile loads a plugin when QGIS starts."""
    try:
        text = profile.settings.read_text("utf-8", "replace")
    except OSError:
        return False
    return ini_value(text, _SECTION, plugin) == "true"


def with_plugin(text: str, plugin: str, *, enabled: bool | None) -> str:
    """Give the settings with a plugin enabled, disabled, or (None) not mentioned."""
    value = None if enabled is None else str(enabled).lower()
    return with_ini_value(text, _SECTION, plugin, value)


def ini_value(text: str, section: str, key: str) -> str | None:
    """Read a value of Qt's INI format."""
    found = re.search(_section_pattern(section), text, re.MULTILINE)
    if found is None:
        return None
    line = re.search(rf"^{re.escape(key)}=(.*)$", found.group("body"), re.MULTILINE)
    return None if line is None else line.group(1).strip()


def with_ini_value(text: str, section: str, key: str, value: str | None) -> str:
    r"""Set or (None) remove one value of Qt's INI format; everything else stays as it is.

    Python's own parser would change what Qt wrote: case, escapes, repeated keys.

    Examples
    --------
    >>> with_ini_value("[A]\nx=1\n", "A", "y", "2")
    '[A]\nx=1\ny=2\n'
    >>> with_ini_value("[A]\nx=1\ny=2\n", "A", "y", None)
    '[A]\nx=1\n'
    """
    line = "" if value is None else f"{key}={value}\n"
    found = re.search(_section_pattern(section), text, re.MULTILINE)
    if found is None:
        if value is None:
            return text
        gap = "" if not text else ("\n" if text.endswith("\n") else "\n\n")
        return f"{text}{gap}[{section}]\n{line}"
    body = found.group("body")
    old = re.compile(rf"^{re.escape(key)}=.*\n?", re.MULTILINE)
    if old.search(body):
        new = old.sub(lambda _: line, body)
    else:
        kept = body.rstrip("\n")
        new = f"{kept}\n{line}" if kept else line
        new += body[len(kept) + 1 :]
    return text[: found.start("body")] + new + text[found.end("body") :]


def _section_pattern(section: str) -> str:
    """Pattern of a section of an INI file, its lines in ``body``."""
    return rf"^\[{re.escape(section)}\][ \t]*(?:\n|\Z)(?P<body>(?:(?!\[).*(?:\n|\Z))*?)(?=^\[|\Z)"


def _given_root(path: Path) -> tuple[Path, int]:
    """Take a folder of profiles, or the one above it that QGIS's option names."""
    inner = path / "profiles"
    root = inner if inner.is_dir() or path.name != "profiles" else path
    return root, 4 if "QGIS4" in root.parts else 3


def _default_name(root: Path) -> str:
    """Name of the profile that a QGIS starts with."""
    try:
        text = (root / "profiles.ini").read_text("utf-8", "replace")
    except OSError:
        return "default"
    return ini_value(text, "core", "defaultProfile") or "default"
