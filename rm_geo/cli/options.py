"""Options that commands share, each said once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def console_options(command: F) -> F:
    """Add ``--quiet``, ``--json`` and ``--debug``; the command gets a ``console``."""

    @click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
    @click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="JSON lines on standard output: progress, log, result, error.",
    )
    @click.option("--debug", is_flag=True, help="Show tracebacks (also with RM_GEO_DEBUG=1).")
    @wraps(command)
    def wrapper(*args: Any, quiet: bool, as_json: bool, debug: bool, **options: Any) -> Any:  # noqa: ANN401
        from rm_geo._util.console import TerminalConsole, open_console

        console = open_console(quiet=quiet, as_json=as_json)
        try:
            return command(*args, console=console, **options)
        finally:
            if isinstance(console, TerminalConsole):
                console.close()

    return wrapper  # type: ignore[return-value]


def column_options(command: F) -> F:
    """Add the options that name columns and layer; columns are found by their usual names."""
    command = click.option(
        "--layer", metavar="NAME", help="Layer of the measurements, where there are several."
    )(command)
    for name, what in reversed(
        (
            ("rsrp", "RSRP in dBm"),
            ("cell", "cell (PCI, cell id)"),
            ("x", "longitude or easting, for tables without geometry"),
            ("y", "latitude or northing, for tables without geometry"),
            ("time", "time"),
        )
    ):
        command = click.option(
            f"--{name}-column", metavar="NAME", help=f"Column of the {what}; found if not given."
        )(command)
    return command


def grid_options(command: F) -> F:
    """Add ``--crs``, ``--target-crs``, ``--resolution`` and ``--max-tiles``."""
    command = click.option(
        "--max-tiles",
        type=click.IntRange(1),
        default=1000,
        show_default=True,
        metavar="N",
        help="Refuse a cell that would need more tiles.",
    )(command)
    command = click.option(
        "--resolution",
        type=Number(0, min_open=True),
        default=1.0,
        show_default=True,
        metavar="M",
        help="Side of a pixel in metres.",
    )(command)
    command = click.option(
        "--target-crs",
        metavar="CRS",
        help="Projected CRS of the results; the UTM zone where the file's has no true metres.",
    )(command)
    return crs_option(command)


crs_option = click.option(
    "--crs", metavar="CRS", help="CRS of the coordinates, where the file does not state one."
)

sites_crs_option = click.option(
    "--sites-crs",
    metavar="CRS",
    help="CRS of the sites, where their table does not state one.",
)

device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda|mps",
    help="Where networks run.",
)

model_option = click.option(
    "--model", metavar="NAME|FILE", help="Trained model: a listed name, a file or a folder."
)


class Number(click.FloatRange):
    """A number in a range; what is not finite is refused, which a range lets pass."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's own
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Read it."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


class LocationParam(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on
    """A path, or a place in object storage."""

    name = "path"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's own
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path | str:
        """Keep URLs as they are: a path has no double slash."""
        from rm_geo.io.paths import location_of

        return location_of(value)


location_argument = click.argument("measurements", type=LocationParam())

location_option = click.option(
    "-o",
    "--output",
    type=LocationParam(),
    required=True,
    metavar="DIR",
    help="Folder of the results.",
)

measurements_argument = click.argument("measurements", type=click.Path(path_type=Path))

output_folder_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder of the results.",
)


class Box(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on
    """Four numbers with commas: west, south, east, north."""

    name = "W,S,E,N"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's own
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[float, ...]:
        """Split at the commas."""
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not four numbers with commas.", param, ctx)
        if len(numbers) != 4:
            self.fail(f"{value!r} has {len(numbers)} numbers, not four.", param, ctx)
        return numbers


bbox_option = click.option(
    "--bbox",
    type=Box(),
    help="Read only what lies inside: west, south, east, north in the CRS of the file.",
)


class Count(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on
    """``auto`` or a whole number of at least one."""

    name = "auto|N"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's own
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> int | None:
        """``auto`` is None."""
        if value is None or value == "auto":
            return None
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is neither 'auto' nor a whole number.", param, ctx)
        if number < 1:
            self.fail(f"{number} is less than 1.", param, ctx)
        return number


def setting_of(text: str, option: str) -> tuple[str, Any]:
    """Read ``KEY=VALUE`` of an option.

    Raises
    ------
    click.BadParameter
        If there is no ``=``.
    """
    from rm_geo._util.key_value import key_and_value

    try:
        return key_and_value(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def cluster_options(alone: str) -> Callable[[F], F]:
    """Add ``--scheduler`` and ``--workers``.

    Parameters
    ----------
    alone : str
        Ends the sentence of what happens where there are no workers given.
    """

    def add(command: F) -> F:
        command = click.option(
            "--workers",
            type=click.IntRange(1),
            metavar="N",
            help=f"Local processes that share the work; {alone} if not given.",
        )(command)
        return click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="A Dask scheduler that runs already, such as tcp://10.0.0.5:8786, whose workers "
            "share the work instead.",
        )(command)

    return add


batch_size_option = click.option(
    "--batch-size",
    type=Count(),
    default="auto",
    show_default=True,
    help="Tiles computed at once; halved by itself where the memory does not suffice.",
)
