"""Command that simulates a training or evaluation set.

See ``python -m rm_geo.datasets.generate --help``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from rm_geo.datasets.generation import generate
from rm_geo.datasets.map_numbers import parse_maps
from rm_geo.datasets.maps_archive import read_maps_archive
from rm_geo.datasets.radiomapseer_recipes import (
    RadioMapSeerRecipe,
    ReferencesRecipe,
    reference_pairs,
)
from rm_geo.datasets.recipes import CityRecipe, FieldRecipe, Recipe
from rm_geo.datasets.splits import GreyScale
from rm_geo.datasets.street_scenes import PaperRecipe
from rm_geo.errors import ConfigError, RmGeoError, UsageError

F = TypeVar("F", bound=Callable[..., Any])

_COMMON: Final = frozenset({"recipe", "out", "workers", "drives", "seed"})

_USED: Final = {
    "paper": _COMMON | {"maps", "source", "transmitters"},
    "field": _COMMON | {"maps", "source", "scenes", "transmitters"},
    "city": _COMMON | {"scenes", "transmitters", "side_px"},
    "radiomapseer": _COMMON | {"maps", "source", "transmitters", "simulation", "grey"},
    "references": _COMMON | {"maps", "source", "gains", "grey", "simulate"},
}
"""Command-line parameters of each recipe."""


class _LineProgress:
    """Progress as lines of text on standard error."""

    def start(self, total: int, unit: str, label: str) -> None:
        """Start the clock."""
        self._total, self._unit, self._label = total, unit, label
        self._done, self._first = 0, -1
        self._began = self._shown = time.monotonic()

    def advance(self, amount: int = 1) -> None:
        """Count, and print a line every ten seconds."""
        self._done += amount
        now = time.monotonic()
        if self._first < 0:  # scenes of an earlier run do not count for the remaining time
            self._first = self._done
        elif now - self._shown > 10 or self._done == self._total:
            self._shown = now
            pace = (now - self._began) / max(self._done - self._first, 1)
            left = pace * (self._total - self._done)
            self.log(f"{self._label}: {self._done}/{self._total} {self._unit}, {left:.0f} s left")

    def log(self, message: str) -> None:
        """Print a line."""
        click.echo(message, err=True)

    def check(self) -> None:
        """Do nothing: the command is cancelled with Ctrl-C."""

    def finish(self) -> None:
        """Print the elapsed time."""
        self.log(f"{self._label}: done in {time.monotonic() - self._began:.0f} s")


def reject_unused_options(recipe: str, context: click.Context) -> None:
    """Reject options on the command line that the recipe does not use.

    Parameters
    ----------
    recipe : str
        Name of the recipe.
    context : click.Context
        Context of the command.

    Raises
    ------
    UsageError
        If such an option is set. The hint lists the recipes that use it.
    """
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) is not ParameterSource.DEFAULT
        if given and name not in _USED[recipe]:
            users = ", ".join(other for other, used in _USED.items() if name in used)
            raise UsageError(
                f"{option.opts[0]} is not used by the recipe {recipe}.",
                hint=f"Omit it, or use another recipe: {users}.",
            )


def _count(name: str, default: int, least: int, what: str) -> Callable[[F], F]:
    """Return a decorator for an integer option with a minimum."""
    return click.option(
        name, type=click.IntRange(least), default=default, show_default=True, help=what
    )


@click.command()
@click.option(
    "--recipe",
    type=click.Choice(list(_USED)),
    required=True,
)
@click.option(
    "--maps",
    default="1-500",
    show_default=True,
    help="Map numbers, such as 1-500 or 3,7 (not city).",
)
@click.option(
    "--scenes",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="Number of scenes (field, city).",
)
@click.option(
    "--transmitters",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Antennas per scene (not references).",
)
@click.option(
    "--drives",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Simulated drives per scene.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Random seed; the same seed gives the same set.",
)
@click.option(
    "--side-px",
    type=click.IntRange(16),
    default=512,
    show_default=True,
    help="Side of a scene in pixels, a multiple of 8 (city).",
)
@_count("--workers", 2, 1, "Number of processes.")
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    help="Archive of maps (paper, field, references) or folder of RadioMapSeer (radiomapseer).",
)
@click.option(
    "--gains",
    type=click.Path(path_type=Path),
    help="Folder of gain images <map>_<transmitter>.png (references).",
)
@click.option(
    "--simulate",
    is_flag=True,
    help="Simulate the gains of these transmitters instead of reading them (references).",
)
@click.option(
    "--simulation", default="DPM", show_default=True, help="Folder of gains (radiomapseer)."
)
@click.option(
    "--grey",
    type=click.Choice(["published", "noise-floor"]),
    default="published",
    show_default=True,
    help="Encoding of gains as grey (radiomapseer, references).",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to create.")
@click.pass_context
def main(
    context: click.Context,
    recipe: str,
    maps: str,
    scenes: int,
    transmitters: int,
    drives: int,
    seed: int,
    side_px: int,
    workers: int,
    source: Path | None,
    gains: Path | None,
    simulate: bool,
    simulation: str,
    grey: GreyScale,
    out: Path,
) -> None:
    """Simulate city scenes with path gains, or convert the gains of RadioMapSeer.

    After an interruption, the same command continues.
    """
    chosen: Recipe
    try:
        reject_unused_options(recipe, context)
        if recipe == "paper":
            chosen = PaperRecipe(parse_maps(maps), transmitters, drives, seed)
        elif recipe == "radiomapseer":
            if source is None:
                raise ConfigError(
                    "The folder of RadioMapSeer is required.", hint="Set --source DIR."
                )
            chosen = RadioMapSeerRecipe(
                str(source.resolve()),
                parse_maps(maps),
                tuple(range(transmitters)),
                simulation,
                grey,
                drives,
                seed,
            )
            chosen.require_complete()
            source = None
        elif recipe == "references":
            if source is None or gains is None:
                lacking = "--source" if source is None else "--gains"
                raise ConfigError(
                    f"{lacking} is required by the recipe references.",
                    hint="Set both --source and --gains.",
                )
            references = ReferencesRecipe(
                str(gains.resolve()),
                reference_pairs(gains, parse_maps(maps)),
                grey,
                simulate,
                drives,
                seed,
            )
            references.require_matching_images(read_maps_archive(source))
            chosen = references
        elif recipe == "field":
            chosen = FieldRecipe(parse_maps(maps), scenes, transmitters, drives, seed)
        else:
            chosen = CityRecipe(scenes, transmitters, drives, seed, side_px)
        generate(chosen, out, source=source, workers=workers, progress=_LineProgress())
    except RmGeoError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
