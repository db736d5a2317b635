"""Provenance tags: where a result comes from, written into its files."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from rm_geo._version import __version__
from rm_geo.errors import InputError
from rm_geo.io.sidecars import sidecar_files

_CHUNK_BYTES: Final = 2**20

_TICK_NS: Final = 3_000_000_000
"""Longest step of the times of a file system: two seconds on FAT, and some reserve."""


class _Stamp(NamedTuple):
    """State of a file by its size, identity and times."""

    name: str
    size: int
    identity: tuple[int, int]
    modified_ns: int
    status_changed_ns: int

    @property
    def changed_ns(self) -> int:
        """Time of the last change."""
        return max(self.modified_ns, self.status_changed_ns)


def describe_software() -> dict[str, str]:
    """Give name and version of this program as tags.

    Returns
    -------
    dict of str to str
        ``software`` and ``rm_geo_version``.

    Examples
    --------
    >>> sorted(describe_software())
    ['rm_geo_version', 'software']
    """
    return {"software": f"rm_geo {__version__}", "rm_geo_version": __version__}


@dataclass(frozen=True)
class InputFile:
    """An input file as it was when it was opened, so that its checksum is that of what was read.

    Take it with :meth:`of` before the file is read, and its tags afterwards. A change in between
    shows in the size or the times of the file. A file that changed within the last seconds has
    its checksum computed at once, because a further change may have the same times.

    Attributes
    ----------
    path : Path
        The file.
    stamps : tuple
        Size, times and identity of the file and of its sidecars; None for a missing file.
    digests : tuple of str or None
        Their checksums, if they were computed at once.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.csv")
    ...     _ = path.write_text("lon,lat,rsrp")
    ...     InputFile.of(path).tags()["input_bytes"]
    '12'
    """

    path: Path
    stamps: tuple[_Stamp | None, ...]
    digests: tuple[str, ...] | None = None

    @classmethod
    def of(cls, path: Path) -> InputFile:
        """Note the state of a file that is about to be read.

        Parameters
        ----------
        path : Path
            The file; a shapefile includes its sidecars.

        Returns
        -------
        InputFile

        Raises
        ------
        InputError
            If the file cannot be read.
        """
        if not path.is_file():
            return cls(path, (None,))
        stamps = _stamps(path)
        recently_ns = time.time_ns() - _TICK_NS
        is_new = any(stamp is not None and stamp.changed_ns > recently_ns for stamp in stamps)
        return cls(path, stamps, _digests(path) if is_new else None)

    @property
    def name(self) -> str:
        """Name of the file without its folder."""
        return self.path.name

    def require_unchanged(self) -> None:
        """Require the file to be as it was when it was opened.

        Raises
        ------
        InputError
            If it changed, or is gone.
        """
        if self.stamps == (None,):
            return
        is_same = _stamps(self.path) == self.stamps
        if self.digests is not None:
            is_same = _digests(self.path) == self.digests
        if not is_same:
            raise InputError(
                f"{self.path} changed while it was read.",
                hint="Run the command again when nothing writes to it.",
                path=self.path,
            )

    def tags(self, prefix: str = "") -> dict[str, str]:
        """Give name, size and SHA-256 as tags, as :func:`describe_input`.

        Parameters
        ----------
        prefix : str
            Prefix of the tags of a second input.

        Returns
        -------
        dict of str to str

        Raises
        ------
        InputError
            If the file changed since it was opened.
        """
        stamp = self.stamps[0]
        if stamp is None:
            return {f"{prefix}input": self.name}
        digests = _digests(self.path) if self.digests is None else self.digests
        self.require_unchanged()
        tags = {
            f"{prefix}input": self.name,
            f"{prefix}input_bytes": str(stamp.size),
            f"{prefix}input_sha256": digests[0],
        }
        return {**tags, **({f"{prefix}input_sidecars_sha256": digests[1]} if digests[1:] else {})}


def describe_input(file: InputFile | Path | None, prefix: str = "") -> dict[str, str]:
    """Give name, size and SHA-256 of an input file as tags; not the folder it was in.

    Parameters
    ----------
    file : InputFile, Path or None
        The file as it was read; a path stands for what it holds now. None if the measurements
        came from memory.
    prefix : str
        Prefix of the tags of a second input, such as ``buildings_``.

    Returns
    -------
    dict of str to str
        ``input``, ``input_bytes``, ``input_sha256``, and for a shapefile with sidecars
        ``input_sidecars_sha256``, one checksum of them all. Only ``input`` if the file is gone.

    Raises
    ------
    InputError
        If the file cannot be read, or changed since it was opened.

    Examples
    --------
    >>> describe_input(None)
    {'input': 'measurements in memory'}
    """
    if file is None:
        return {f"{prefix}input": "measurements in memory"}
    return (InputFile.of(file) if isinstance(file, Path) else file).tags(prefix)


def describe_inputs(files: Sequence[InputFile | Path]) -> dict[str, str]:
    """Give name, size and SHA-256 of one or several files of measurements as tags.

    Parameters
    ----------
    files : sequence of InputFile or Path
        The files as they were read; none if the measurements came from memory.

    Returns
    -------
    dict of str to str
        Of one file as :func:`describe_input`. Of several files ``input``, which names them all,
        ``input_1``, ``input_1_bytes``, ``input_1_sha256``, ``input_2`` and so on.

    Raises
    ------
    InputError
        If a file cannot be read, or changed since it was opened.

    Examples
    --------
    >>> describe_inputs([Path("gone/monday.csv"), Path("gone/tuesday.csv")])
    {'input': 'monday.csv, tuesday.csv', 'input_1': 'monday.csv', 'input_2': 'tuesday.csv'}
    """
    if len(files) < 2:
        return describe_input(files[0] if files else None)
    tags = {"input": ", ".join(file.name for file in files)}
    for number, file in enumerate(files, start=1):
        for key, value in describe_input(file).items():
            tags[key.replace("input", f"input_{number}", 1)] = value
    return tags


def files_sha256(*paths: Path) -> str:
    """Compute the SHA-256 of the concatenated content of files.

    Parameters
    ----------
    *paths : Path
        The files, in order.

    Returns
    -------
    str
        Hexadecimal digest.

    Raises
    ------
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> files_sha256()[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_CHUNK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def describe_values(values: Mapping[str, object]) -> dict[str, str]:
    """Turn parameters into tags; parameters that are None are dropped.

    Parameters
    ----------
    values : mapping of str to object
        Floats are written with up to ten significant digits, booleans as ``yes`` and ``no``.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> describe_values({"reach_m": 500.0, "site": None, "preview": True})
    {'reach_m': '500', 'preview': 'yes'}
    """
    return {key: _text(value) for key, value in values.items() if value is not None}


def describe_method(method: str, **parameters: object) -> dict[str, str]:
    """Give the name and the parameters of an estimation method as tags.

    Parameters
    ----------
    method : str
        Name in the registry of estimators.
    **parameters : object
        As :func:`describe_values` takes them.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> describe_method("idw", power=2.0, neighbors=12)
    {'method': 'idw', 'power': '2', 'neighbors': '12'}
    """
    return {"method": method, **describe_values(parameters)}


def _text(value: object) -> str:
    """Write a value as short as possible without losing digits that matter."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _stamps(path: Path) -> tuple[_Stamp | None, ...]:
    """Note the state of a file and of its sidecars; of missing files nothing."""
    try:
        return tuple(_stamp(file) for file in (path, *sidecar_files(path)))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", path=path) from error


def _stamp(file: Path) -> _Stamp:
    """Note the state of one file."""
    status = file.stat()
    return _Stamp(
        file.name,
        status.st_size,
        (status.st_dev, status.st_ino),
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _digests(path: Path) -> tuple[str, ...]:
    """Compute the checksum of a file, and one of all its sidecars if it has any."""
    try:
        sidecars = sidecar_files(path)
        return (files_sha256(path), *((files_sha256(*sidecars),) if sidecars else ()))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", path=path) from error
