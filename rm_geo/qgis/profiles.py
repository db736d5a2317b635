"""Profiles of QGIS on this machine: their folders, and the plugins that they enable."""

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
"""Major versions of QGIS; each has its own profiles."""

_SECTION: Final = "PythonPlugins"


@dataclass(frozen=True)
class Profile:
    """A profile of QGIS.

    Attributes
    ----------
    path : Path
        Folder of the profile.
    major : int
        Major version of QGIS, 3 or 4.
    """

    path: Path
    major: int = 3

    @property
    def name(self) -> str:
        """Name shown by QGIS."""
        return self.path.name

    @property
    def plugins(self) -> Path:
        """Folder of the plugins."""
        return self.path / "python" / "plugins"

    @property
    def settings(self) -> Path:
        """File of the settings."""
        return self.path / "QGIS" / f"QGIS{self.major}.ini"


def profile_roots(
    environment: Mapping[str, str] | None = None,
    platform: str | None = None,
    home: Path | None = None,
) -> list[tuple[Path, int]]:
    """List the folders in which QGIS 3 and 4 keep profiles, whether they exist or not.

    Parameters
    ----------
    environment : mapping, optional
        Environment variables (default: those of the process). ``QGIS_CUSTOM_CONFIG_PATH``
        overrides all other folders, as in QGIS.
    platform : str, optional
        Value of ``sys.platform`` (default: that of the process).
    home : Path, optional
        Home folder (default: that of the user).

    Returns
    -------
    list of (Path, int)
        Folders with the major version of QGIS, the most common first. The version of a folder
        of another name is that of the settings in it that were changed last, or 3.

    Examples
    --------
    >>> roots = profile_roots({}, "linux", Path("/home/ada"))
    >>> roots[0][0].as_posix(), roots[0][1]
    ('/home/ada/.local/share/QGIS/QGIS3/profiles', 3)
    """
    variables = os.environ if environment is None else environment
    system = sys.platform if platform is None else platform
    user = Path.home() if home is None else home
    if custom := variables.get("QGIS_CUSTOM_CONFIG_PATH"):
        root = Path(custom) / "profiles"
        return [(root, _major_of(root))]
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
    """List the existing profiles.

    Parameters
    ----------
    roots : list of (Path, int)
        See :func:`profile_roots`.

    Returns
    -------
    list of Profile
        Sorted by name within each folder.

    Examples
    --------
    >>> list_profiles([(Path("no/such/folder"), 3)])
    []
    """
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
    """Find the profiles with a name, of every QGIS on this machine.

    Parameters
    ----------
    name : str, optional
        Name of the profile (default: the default profile of each QGIS).
    profiles_path : Path, optional
        Search only this folder, as with QGIS's option ``--profiles-path``.
    create : bool
        If QGIS was never started, return the profile that it will create.

    Returns
    -------
    list of Profile
        At least one.

    Raises
    ------
    InputError
        If there is no such profile.
    UsageError
        If the name is a path, or cannot be the name of a profile.

    Examples
    --------
    >>> choose_profiles("default", Path("/home/ada/qgis"))  # doctest: +SKIP
    [Profile(path=PosixPath('/home/ada/qgis/profiles/default'), major=3)]
    """
    if name is not None and (Path(name).name != name or name in ("", ".", "..")):
        raise UsageError(
            f"{name!r} cannot be the name of a profile.",
            hint="Give the name of the profile, not a path.",
        )
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
    """Whether a profile enables a plugin.

    Parameters
    ----------
    profile : Profile
        The profile.
    plugin : str
        Name of the plugin's folder.

    Returns
    -------
    bool
        Whether QGIS loads it at its start.

    Examples
    --------
    >>> is_enabled(Profile(Path("no/such/profile")), "rm_geo_qgis")
    False
    """
    try:
        text = profile.settings.read_text("utf-8", "replace")
    except OSError:
        return False
    return ini_value(text, _SECTION, plugin) == "true"


def with_plugin(text: str, plugin: str, *, enabled: bool | None) -> str:
    r"""Enable or disable a plugin in the text of a settings file.

    Parameters
    ----------
    text : str
        Content of the file.
    plugin : str
        Name of the plugin's folder.
    enabled : bool or None
        None removes the plugin from the settings.

    Returns
    -------
    str
        New content.

    Examples
    --------
    >>> with_plugin("", "rm_geo_qgis", enabled=True)
    '[PythonPlugins]\nrm_geo_qgis=true\n'
    """
    value = None if enabled is None else str(enabled).lower()
    return with_ini_value(text, _SECTION, plugin, value)


def ini_value(text: str, section: str, key: str) -> str | None:
    r"""Read a value from text in Qt's INI format.

    Parameters
    ----------
    text : str
        Content of the file.
    section, key : str
        Place of the value.

    Returns
    -------
    str or None
        None if there is no such value.

    Examples
    --------
    >>> ini_value("[A]\nx=1\n", "A", "x")
    '1'
    """
    found = re.search(_section_pattern(section), text, re.MULTILINE)
    if found is None:
        return None
    line = re.search(rf"^{re.escape(key)}=(.*)$", found.group("body"), re.MULTILINE)
    return None if line is None else line.group(1).strip()


def with_ini_value(text: str, section: str, key: str, value: str | None) -> str:
    r"""Set or remove a value in text in Qt's INI format; everything else is kept unchanged.

    Python's :mod:`configparser` would change the case of keys, escapes and repeated keys.

    Parameters
    ----------
    text : str
        Content of the file.
    section, key : str
        Place of the value.
    value : str or None
        New value; None removes the key.

    Returns
    -------
    str
        New content.

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
    """Regular expression of a section of an INI file; its lines are the group ``body``."""
    return rf"^\[{re.escape(section)}\][ \t]*(?:\n|\Z)(?P<body>(?:(?!\[).*(?:\n|\Z))*?)(?=^\[|\Z)"


def _given_root(path: Path) -> tuple[Path, int]:
    """Accept a folder of profiles, or its parent, which QGIS's option names."""
    inner = path / "profiles"
    root = inner if inner.is_dir() or path.name != "profiles" else path
    return root, _major_of(root)


def _major_of(root: Path) -> int:
    """Major version of the QGIS of a folder, by its name or by the settings of its profiles."""
    for major in MAJORS:
        if f"QGIS{major}" in root.parts:
            return major
    changed = {
        major: max(
            (path.stat().st_mtime for path in root.glob(f"*/QGIS/QGIS{major}.ini")), default=0.0
        )
        for major in MAJORS
    }
    return max(MAJORS, key=lambda major: changed[major])


def _default_name(root: Path) -> str:
    """Name of the default profile of a QGIS."""
    try:
        text = (root / "profiles.ini").read_text("utf-8", "replace")
    except OSError:
        return "default"
    return ini_value(text, "core", "defaultProfile") or "default"
