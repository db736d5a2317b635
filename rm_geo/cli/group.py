"""Root command: imports commands on demand and shows each error as one message."""

from __future__ import annotations

import importlib
import signal
import sys
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final, NoReturn

import click

from rm_geo._version import __version__
from rm_geo.cli.outcome import Failure, Stopped, failure_of, wants_debug

COMMANDS: Final = {
    "predict": "Turn measurements into radio maps and building maps.",
    "inspect": "Describe a file of measurements: columns, cells, carriers, doubts.",
    "batch": "Map many drive tests on several cores, GPUs or machines.",
    "validate": "Measure the error of methods on held-out blocks or drives of a log.",
    "plan": "Derive coverage, servers, holes and more from radio maps.",
    "compare": "Compare two radio maps, or two folders of them.",
    "report": "Write results as one HTML file: map, coverage, holes, errors.",
    "export-map": "Write maps for Google Earth, MapInfo, Atoll, Planet, ArcGIS or a table.",
    "rasterize": "Bin measurements on a grid, one raster per cell.",
    "superres": "Refine a coarse radio map with a super-resolution network.",
    "simulate": "Simulate radio maps of sites among buildings.",
    "demo": "Run the whole pipeline on a simulated city; needs no data.",
    "train": "Train a network.",
    "evaluate": "Evaluate methods: tables and figures of the papers, simulated maps, hold-outs.",
    "export": "Export a trained network to ONNX.",
    "models": "List, show and verify trained models.",
    "qgis": "Install the QGIS plugin, which runs rm_geo in this environment.",
    "doctor": "Check the environment: versions, device, models, drivers.",
    "info": "Show methods, models and defaults, or describe a raster.",
}
"""Commands and their short help, so that ``--help`` imports no command."""


class LazyGroup(click.Group):
    """Group that imports the module of a command on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"rm_geo.cli.{cmd_name.replace('-', '_')}")
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without imports."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Store the error format before errors can occur."""
        ctx.meta["rm_geo.json"] = "--json" in args
        ctx.meta["rm_geo.debug"] = "--debug" in args
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the closest one."""
        import difflib

        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            close = difflib.get_close_matches(name, list(COMMANDS), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - type of click
        """Run the command; each error becomes one message and an exit code."""
        _stop_on_sigterm(ctx)
        if not wants_debug(ctx):
            warnings.simplefilter("ignore")
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt, Stopped) as error:
            _fail(error, ctx)

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> Any:  # type: ignore[override]  # noqa: ANN401 - click's own
        """Run as a program; a closed output pipe gives no message."""
        try:
            return super().main(args, **extra)
        except BrokenPipeError:
            sys.exit(1)


def _fail(error: BaseException, ctx: click.Context) -> NoReturn:
    """Raise the exception that click shows as a message and an exit code."""
    failure = failure_of(error, ctx)
    if isinstance(failure, Failure):
        raise failure from error
    raise failure


def _stop_on_sigterm(ctx: click.Context) -> None:
    """Convert SIGTERM to an exception until the command ends: incomplete files are removed."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Stopped(143)

    try:
        previous = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: the embedding program handles signals
        return
    restored = signal.SIG_DFL if previous is None else previous
    ctx.call_on_close(lambda: signal.signal(signal.SIGTERM, restored))


@click.group(
    name="rm-geo",
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="'rm-geo COMMAND --help' shows the options of a command. Start with 'rm-geo demo'.",
)
@click.version_option(__version__, "-V", "--version", prog_name="rm-geo")
def rm_geo() -> None:
    """Radio maps and building maps from sparse drive-test measurements."""


@click.group(
    name="rmgeo",
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "--version", prog_name="rio rmgeo")
def rmgeo() -> None:
    """Radio maps and building maps from drive tests (rm_geo)."""
