"""Options that several commands share, each defined once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from rm_geo.options import OptionField

F = TypeVar("F", bound=Callable[..., Any])


def console_options(command: F) -> F:
    """Add ``--quiet``, ``--json``, ``--debug`` and ``--allow-remote``; gives a ``console``."""

    @click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
    @click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="JSON lines on standard output: progress, log, result, error.",
    )
    @click.option("--debug", is_flag=True, help="Show tracebacks (also with RM_GEO_DEBUG=1).")
    @click.option(
        "--allow-remote",
        is_flag=True,
        help="Let files name other files and addresses (VRT, /vsicurl/); only for files that you "
        "trust.",
    )
    @wraps(command)
    def wrapper(
        *args: Any,  # noqa: ANN401
        quiet: bool,
        as_json: bool,
        debug: bool,
        allow_remote: bool,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        from rm_geo._util.console import TerminalConsole, open_console
        from rm_geo.cli.option_names import with_option_names
        from rm_geo.io.gdal_environment import gdal_environment

        console = open_console(quiet=quiet, as_json=as_json, wording=with_option_names)
        try:
            with gdal_environment(allow_remote=allow_remote):
                return command(*args, console=console, **options)
        finally:
            if isinstance(console, TerminalConsole):
                console.close()

    return wrapper  # type: ignore[return-value]


_METAVARS: Final = {
    "batch_size": "auto|N",
    "bbox": "W,S,E,N",
    "buildings": "FILE",
    "columns": "FILE",
    "device": "auto|cpu|cuda|mps",
    "mask_threshold": "auto|P",
    "method_options": "KEY=VALUE",
    "method_weight": "WEIGHT",
    "model": "NAME|FILE",
    "sites": "FILE",
    "where": "EXPRESSION",
}
_OFF_FLAGS: Final = {"joint": "--single"}
"""Names of switches that turn an option off, other than ``--no-<name>``."""

_UNIT_METAVARS: Final = {"_m": "M", "_px": "PX", "_db": "DB", "_dbm": "DBM", "_mhz": "MHZ"}
_FURTHER_HELP: Final = {"method": "'rm-geo info' lists the methods."}
_FURTHER_NAMES: Final = {
    "channels": ("--earfcn",),
    "method_options": ("-O",),
    "method_weight": ("--trust",),
    "operators": ("--operator",),
    "technologies": ("--technology",),
    "time_from": ("--from",),
    "time_to": ("--to",),
}


def prediction_options(*names: str) -> Callable[[F], F]:
    """Add options of :class:`rm_geo.options.PredictOptions`, as their model describes them.

    Values are passed on as they were typed, under the flat names, and are None if not given: the
    model validates them (:func:`given_options`).

    Parameters
    ----------
    *names : str
        Flat names; all options if none is given.
    """
    from rm_geo.options import option_fields

    known = option_fields()
    chosen = [known[name] for name in names] if names else list(known.values())

    def add(command: F) -> F:
        for field in reversed(chosen):
            command = _option(field)(command)
        return command

    return add


def _option(field: OptionField) -> Callable[[F], F]:
    """Make the option of one field."""
    from rm_geo.cli.option_names import flag_of

    flag = flag_of(field.short_name)
    default = field.info.default
    text = f"{field.info.description} {_FURTHER_HELP.get(field.name, '')}".rstrip()
    further = _FURTHER_NAMES.get(field.name, ())
    if field.info.annotation is bool:
        off = _OFF_FLAGS.get(field.name, f"--no-{flag.removeprefix('--')}")
        flags = f"{flag}/{off}" if default else flag
        return click.option(
            field.name, flags, is_flag=True, default=None, help=_with_default(text, default)
        )
    is_list = field.name in {"cells", "method_options"}
    return click.option(
        field.name,
        flag,
        *further,
        multiple=is_list,
        default=None,
        metavar=_metavar(field),
        help=f"{text} Can be repeated." if is_list else _with_default(text, default),
    )


def _with_default(text: str, default: object) -> str:
    """Append a default to a help text; switches that are off, and None, need none."""
    if default is None or default is False:
        return text
    shown = "on" if default is True else f"{default:g}" if isinstance(default, float) else default
    return f"{text}  [default: {shown}]"


def _metavar(field: OptionField) -> str:
    """Name the value of an option in help texts."""
    if field.name in _METAVARS:
        return _METAVARS[field.name]
    if field.name.endswith("crs"):
        return "CRS"
    unit = next((unit for unit in _UNIT_METAVARS if field.name.endswith(unit)), None)
    if unit is not None:
        return _UNIT_METAVARS[unit]
    return "N" if field.info.annotation is int else "NAME"


def given_options(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Take the options that were given on the command line.

    Parameters
    ----------
    chosen : mapping
        Values by flat names, as :func:`prediction_options` passes them.

    Returns
    -------
    dict
        Those that are not None or empty.
    """
    return {name: value for name, value in chosen.items() if value is not None and value != ()}


crs_option = click.option(
    "--crs", metavar="CRS", help="CRS of the coordinates, used if the file does not state one."
)

sites_crs_option = click.option(
    "--sites-crs", metavar="CRS", help="CRS of the sites, used if their table does not state one."
)

device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda|mps",
    help="Device that runs networks.",
)

model_option = click.option(
    "--model", metavar="NAME|FILE", help="Trained model: a listed name, a file or a folder."
)


class Number(click.FloatRange):
    """A finite number in a range; click's own range accepts nan and inf."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's own
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Convert the text and refuse nan and inf."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
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


locations_argument = click.argument(
    "measurements", type=LocationParam(), nargs=-1, required=True, metavar="MEASUREMENTS..."
)

location_option = click.option(
    "-o",
    "--output",
    type=LocationParam(),
    required=True,
    metavar="DIR",
    help="Folder of the results.",
)

measurements_argument = click.argument("measurements", type=click.Path(path_type=Path))

several_measurements_argument = click.argument(
    "measurements",
    type=click.Path(path_type=Path),
    nargs=-1,
    required=True,
    metavar="MEASUREMENTS...",
)

output_folder_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder of the results.",
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

    Parameters
    ----------
    text : str
        What was given.
    option : str
        Its option, for messages.

    Returns
    -------
    key : str
        The text before the sign.
    value : object
        A number, boolean, list or mapping where YAML reads one, otherwise text.

    Raises
    ------
    click.BadParameter
        If there is no ``=``.
    """
    from rm_geo._util.key_value import parse_key_value

    try:
        return parse_key_value(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def cluster_options(alone: str) -> Callable[[F], F]:
    """Add ``--scheduler`` and ``--workers``.

    Parameters
    ----------
    alone : str
        What happens without workers, for the help text.
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
            help="Address of a running Dask scheduler, such as tls://10.0.0.5:8786; its workers "
            "share the work.",
        )(command)

    return add


batch_size_option = click.option(
    "--batch-size",
    type=Count(),
    default="auto",
    show_default=True,
    help="Tiles computed at once; halved if the memory does not suffice.",
)
