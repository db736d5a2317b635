"""Checks of the plugin repository of QGIS, made before the zip is uploaded.

The repository at plugins.qgis.org checks metadata, files and code. What it finds blocks a version
until the next upload, so :func:`require_acceptable` looks for the same things first. What needs
the network is not checked: the addresses have to answer, and the version has to be a new one.
"""

from __future__ import annotations

import ast
import configparser
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlparse

from rm_geo._version import __version__
from rm_geo.errors import DependencyError, InputError, UsageError
from rm_geo.qgis.bundle import FOLDER, zip_bytes
from rm_geo.qgis.profiles import with_ini_value

OWNER_FIELDS: Final = ("author", "email", "homepage", "tracker", "repository")
"""Fields of ``metadata.txt`` that only the owner of the project can fill."""

_REQUIRED: Final = (
    *("name", "description", "about", "version", "qgisMinimumVersion"),
    *OWNER_FIELDS,
    *("icon", "category", "tags", "changelog"),
)
_ADDRESSES: Final = ("homepage", "tracker", "repository")
# The repository takes any other word, such as "yes", for false.
_BOOLEANS: Final = ("experimental", "deprecated", "server", "supportsQt6")
_CATEGORIES: Final = ("Raster", "Vector", "Database", "Mesh", "Web")
# Domains that are reserved for documentation and tests (RFC 2606), and local ones.
_PLACEHOLDER: Final = re.compile(
    r"(^|\.)(example\.(com|org|net)|example|invalid|test|localhost|local)$"
)
_VERSION: Final = re.compile(r"\d+(\.\d+)*")
_QGIS_VERSION: Final = re.compile(r"\d+\.\d+(\.\d+)?")
_EMAIL: Final = re.compile(r"[^@\s]+@([^@\s]+\.[^@\s]+)")

_MAX_BYTES: Final = 25_000_000
_PICTURES: Final = frozenset({".gif", ".jpg", ".jpeg", ".png", ".svg"})
_REFUSED: Final = frozenset(
    {".bat", ".cmd", ".dll", ".dylib", ".exe", ".ps1", ".pyc", ".pyd", ".pyo", ".sh", ".so"}
)

# Rules that the repository has switched off: importing subprocess or lxml is no finding.
_BANDIT_OFF: Final = frozenset({"B109", "B404", "B410", "B411"})
_SECRETS_OFF: Final = ("IPPublicDetector",)
_SCAN_S: Final = 300.0
_NOSEC: Final = re.compile(r"#\s*nosec\b:?(?P<rules>[^#]*)(?P<reason>#.*)?")


def with_owner(files: Mapping[str, bytes], values: Mapping[str, str | None]) -> dict[str, bytes]:
    r"""Replace fields of the metadata by those of the owner.

    Parameters
    ----------
    files : mapping of str to bytes
        See :func:`rm_geo.qgis.bundle.plugin_files`.
    values : mapping of str to str or None
        Values of :data:`OWNER_FIELDS`; None leaves a field as it is.

    Returns
    -------
    dict of str to bytes
        The files.

    Raises
    ------
    UsageError
        If a field is not one of these, or a value has several lines.

    Examples
    --------
    >>> files = {"metadata.txt": b"[general]\nemail=a@b.invalid\n"}
    >>> with_owner(files, {"email": "me@home.org"})["metadata.txt"]
    b'[general]\nemail=me@home.org\n'
    """
    text = files["metadata.txt"].decode("utf-8")
    for field, value in values.items():
        if field not in OWNER_FIELDS:
            raise UsageError(
                f"{field!r} is not a field that the owner gives.",
                hint=f"Give {', '.join(OWNER_FIELDS)}.",
            )
        if value is None:
            continue
        if len(value.splitlines()) != 1:
            raise UsageError(f"{field!r} is not one line of text.")
        text = with_ini_value(text, "general", field, value.strip())
    return {**files, "metadata.txt": text.encode("utf-8")}


def read_owner(path: Path) -> dict[str, str]:
    """Read the owner's fields from a file.

    Parameters
    ----------
    path : Path
        A file like ``metadata.txt``, with a section ``[general]``; it needs only some of
        :data:`OWNER_FIELDS` and may have others, which are ignored.

    Returns
    -------
    dict of str to str
        The fields that it has.

    Raises
    ------
    InputError
        If it cannot be read.

    Examples
    --------
    >>> read_owner(Path("owner.txt"))  # doctest: +SKIP
    {'email': 'me@home.org'}
    """
    try:
        found = _general(path.read_bytes())
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.", path=path) from error
    except ValueError as error:
        raise InputError(
            f"{path} is not a file like metadata.txt: {error}.",
            hint="It needs a line [general] and lines such as email=me@home.org.",
            path=path,
        ) from error
    return {field: found[field] for field in OWNER_FIELDS if field in found}


def require_acceptable(files: Mapping[str, bytes]) -> None:
    """Raise if the plugin repository of QGIS would refuse these files.

    Parameters
    ----------
    files : mapping of str to bytes
        See :func:`rm_geo.qgis.bundle.plugin_files`.

    Raises
    ------
    DependencyError
        If Bandit or detect-secrets is not installed.
    InputError
        With all findings, one a line.

    Examples
    --------
    >>> require_acceptable(with_owner(plugin_files(), {}))  # doctest: +SKIP
    """
    found = [*metadata_findings(files), *file_findings(files), *code_findings(files)]
    if not found:
        return
    number = "1 finding" if len(found) == 1 else f"{len(found)} findings"
    lines = "\n".join(f"- {finding}" for finding in found)
    raise InputError(
        f"The plugin repository would refuse this plugin: {number}.\n{lines}",
        hint="The documentation of the plugin lists what the owner of the project has to give.",
    )


def metadata_findings(files: Mapping[str, bytes]) -> Iterator[str]:
    r"""Check ``metadata.txt``.

    Parameters
    ----------
    files : mapping of str to bytes
        See :func:`rm_geo.qgis.bundle.plugin_files`.

    Yields
    ------
    str
        A finding.

    Examples
    --------
    >>> next(metadata_findings({"metadata.txt": b"[general]\nname=x\n"}))
    'metadata.txt: description is missing.'
    """
    try:
        general = _general(files.get("metadata.txt", b""))
    except ValueError as error:
        yield f"metadata.txt: {error}."
        return
    for field in _REQUIRED:
        if not general.get(field, "").strip():
            yield f"metadata.txt: {field} is missing."
    yield from _address_findings(general)
    for field in _BOOLEANS:
        if general.get(field, "true").lower() not in ("true", "false", "1", "0"):
            yield f"metadata.txt: {field} is {general[field]!r}, not True or False."
    if "/" in general.get("author", ""):
        yield "metadata.txt: author contains a slash."
    if "plugin" in general.get("name", "").lower():
        yield "metadata.txt: name contains the word 'plugin'."
    yield from _version_findings(general)
    category = general.get("category", "").strip()
    if category and category not in _CATEGORIES:
        yield f"metadata.txt: category is {category!r}, not one of {', '.join(_CATEGORIES)}."
    icon = general.get("icon", "").strip().removeprefix("./")
    if icon and icon not in files:
        yield f"metadata.txt: the icon {icon} is not in the zip."
    elif icon and PurePosixPath(icon).suffix.lower() not in _PICTURES:
        yield f"metadata.txt: the icon {icon} is not a picture."


def file_findings(files: Mapping[str, bytes]) -> Iterator[str]:
    """Check names, kinds and size of the files.

    Parameters
    ----------
    files : mapping of str to bytes
        See :func:`rm_geo.qgis.bundle.plugin_files`.

    Yields
    ------
    str
        A finding.

    Examples
    --------
    >>> list(file_findings({"__init__.py": b"", "metadata.txt": b"", "run.sh": b""}))
    ['LICENSE is missing.', 'run.sh: a program.']
    """
    for name in ("__init__.py", "metadata.txt", "LICENSE"):
        if name not in files:
            yield f"{name} is missing."
    for name, data in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            yield f"{name}: outside the folder of the plugin."
        elif any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
            yield f"{name}: a hidden file."
        if "__pycache__" in path.parts or path.suffix.lower() in _REFUSED:
            yield f"{name}: a program."
        elif b"\0" in data and path.suffix.lower() not in _PICTURES:
            yield f"{name}: not a text."
    size = len(zip_bytes(files))
    if size > _MAX_BYTES:
        yield f"The zip has {size / 1e6:.1f} MB; at most {_MAX_BYTES / 1e6:g} are accepted."


def code_findings(files: Mapping[str, bytes]) -> Iterator[str]:
    """Check the code with Bandit, and all files with detect-secrets, as the repository does.

    Parameters
    ----------
    files : mapping of str to bytes
        See :func:`rm_geo.qgis.bundle.plugin_files`.

    Yields
    ------
    str
        A finding.

    Raises
    ------
    DependencyError
        If Bandit or detect-secrets is not installed, or fails.

    Examples
    --------
    >>> list(code_findings({"a.py": b"assert print"}))  # doctest: +SKIP
    ['a.py:1: B101 Use of assert detected. ...']
    """
    for name, data in files.items():
        if not name.endswith(".py"):
            continue
        try:
            ast.parse(data)
        except SyntaxError as error:
            yield f"{name}:{error.lineno}: {error.msg}."
            continue
        for number, line in enumerate(data.decode("utf-8").splitlines(), 1):
            found = _NOSEC.search(line)
            if found and not (found["rules"].strip() and found["reason"]):
                yield f"{name}:{number}: 'nosec' without a rule and a reason (# nosec B603 # why)."
    with tempfile.TemporaryDirectory() as scratch:
        # Not below a folder with a name that a scanner leaves out.
        folder = Path(scratch) / FOLDER
        for name, data in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        report = _scan(folder, "bandit", "--recursive", ".", "--format", "json", "--quiet")
        for issue in report["results"]:
            if issue["test_id"] not in _BANDIT_OFF:
                name = PurePosixPath(issue["filename"]).as_posix()
                yield f"{name}:{issue['line_number']}: {issue['test_id']} {issue['issue_text']}"
        off = [word for plugin in _SECRETS_OFF for word in ("--disable-plugin", plugin)]
        exclude = ("--exclude-files", r"metadata\.txt")
        report = _scan(folder, "detect_secrets", "scan", "--all-files", *exclude, *off, ".")
        for name, secrets in report["results"].items():
            for secret in secrets:
                yield f"{name}:{secret['line_number']}: {secret['type']}."


def _general(data: bytes) -> dict[str, str]:
    """Section ``general`` of a ``metadata.txt``, read as the repository reads it."""
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(data.decode("utf-8"))
        return dict(parser.items("general"))
    except configparser.Error as error:
        raise ValueError(" ".join(str(error).split())) from error


def _address_findings(general: Mapping[str, str]) -> Iterator[str]:
    """Check that the addresses can be those of a project."""
    email = general.get("email", "").strip()
    if email:
        found = _EMAIL.fullmatch(email)
        if found is None:
            yield f"metadata.txt: email is {email!r}, which is no address."
        elif _PLACEHOLDER.search(found.group(1).lower()):
            yield f"metadata.txt: email is a placeholder ({email})."
    for field in _ADDRESSES:
        address = general.get(field, "").strip()
        if not address:
            continue
        parts = urlparse(address)
        host = (parts.hostname or "").lower()
        if parts.scheme not in ("http", "https") or not host:
            yield f"metadata.txt: {field} is {address!r}, which is no http address."
        elif "." not in host or _PLACEHOLDER.search(host):
            yield f"metadata.txt: {field} is a placeholder ({address})."


def _version_findings(general: Mapping[str, str]) -> Iterator[str]:
    """Check the versions of the plugin and of QGIS, and the changelog."""
    version = general.get("version", "").strip()
    if version and not _VERSION.fullmatch(version):
        yield f"metadata.txt: version is {version!r}, not numbers and dots."
    if version and version != __version__:
        yield f"metadata.txt: version is {version}, that of rm_geo is {__version__}."
    changelog = general.get("changelog", "")
    if version and changelog.strip() and version not in changelog:
        yield f"metadata.txt: changelog does not mention version {version}."
    for field in ("qgisMinimumVersion", "qgisMaximumVersion"):
        given = general.get(field, "").strip()
        if given and not _QGIS_VERSION.fullmatch(given):
            yield f"metadata.txt: {field} is {given!r}, not a version such as 3.22."


def _scan(folder: Path, module: str, *arguments: str) -> dict[str, Any]:
    """Run a scanner in a folder; gives its JSON report."""
    if importlib.util.find_spec(module) is None:
        raise DependencyError(
            f"{module.replace('_', '-')} is not installed, which the plugin repository runs.",
            hint="pip install 'rm-geo[repository]'",
        )
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_SCAN_S,
    )
    try:
        report = json.loads(done.stdout)
    except ValueError as error:
        raise DependencyError(
            f"{module.replace('_', '-')} failed: {done.stderr.strip()[-500:] or done.returncode}."
        ) from error
    if not isinstance(report, dict) or "results" not in report:
        raise DependencyError(f"{module.replace('_', '-')} gave no results.")
    return report
