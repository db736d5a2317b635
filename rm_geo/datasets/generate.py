"""Simulate a training or evaluation set: ``python -m rm_geo.datasets.generate --help``."""

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
from rm_geo.datasets.radiomapseer_names import GreyScale
from rm_geo.datasets.radiomapseer_recipe import RadioMapSeerRecipe
from rm_geo.datasets.recipes import CityRecipe, FieldRecipe, Recipe
from rm_geo.datasets.references_recipe import ReferencesRecipe, reference_pairs
from rm_geo.datasets.street_scenes import PaperRecipe
from rm_geo.errors import ConfigError, RmGeoError, UsageError

F = TypeVar("F", bound=Callable[..., Any])

_ALWAYS: Final = frozenset({"recipe", "out", "workers", "drives", "seed"})

_USED: Final = {
    "paper": _ALWAYS | {"maps", "source", "transmitters"},
    "field": _ALWAYS | {"maps", "source", "scenes", "transmitters"},
    "city": _ALWAYS | {"scenes", "transmitters", "side_px"},
    "radiomapseer": _ALWAYS | {"maps", "source", "transmitters", "simulation", "grey"},
    "references": _ALWAYS | {"maps", "source", "gains", "grey", "simulate"},
}
"""Parameters that each recipe uses."""


class _LineProgress:
    """One line of text now and then, on standard error."""

    def start(self, total: int, unit: str, label: str) -> None:
        """Begin."""
        self._total, self._unit, self._label = total, unit, label
        self._done, self._first = 0, -1
        self._began = self._shown = time.monotonic()

    def advance(self, amount: int = 1) -> None:
        """Count, and print every ten seconds."""
        self._done += amount
        now = time.monotonic()
        if self._first < 0:  # the scenes found from an earlier run took no time now
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
        """Never cancel: Ctrl-C does."""

    def finish(self) -> None:
        """Print how long it took."""
        self.log(f"{self._label}: done in {time.monotonic() - self._began:.0f} s")


def refuse_idle_options(recipe: str, context: click.Context) -> None:
    """Refuse options that were given and that the recipe does not use.

    Raises
    ------
    UsageError
        With the options, and the recipes that use them.
    """
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) is not ParameterSource.DEFAULT
        if given and name not in _USED[recipe]:
            users = ", ".join(other for other, used in _USED.items() if name in used)
            raise UsageError(
                f"{option.opts[0]} is nothing to the recipe {recipe}.",
                hint=f"Leave it out, or use another recipe: {users}.",
            )


def _count(name: str, default: int, least: int, what: str) -> Callable[[F], F]:
    """Make an option of a whole number."""
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
    help="Map numbers, as 1-500 or 3,7 (not city).",
)
@click.option(
    "--scenes", type=click.IntRange(1), default=300, show_default=True, help="Scenes (field, city)."
)
@click.option(
    "--transmitters",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Antennas per scene (not references).",
)
@click.option(
    "--drives", type=click.IntRange(0), default=3, show_default=True, help="Drives per scene."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same set."
)
@click.option(
    "--side-px",
    type=click.IntRange(16),
    default=512,
    show_default=True,
    help="Side of a scene (city).",
)
@_count("--workers", 2, 1, "Processes.")
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    help="Archive of maps (paper, field, references), or RadioMapSeer's folder (radiomapseer).",
)
@click.option(
    "--gains",
    type=click.Path(path_type=Path),
    help="Folder of <map>_<transmitter>.png (references).",
)
@click.option(
    "--simulate",
    is_flag=True,
    help="Simulate the gains of these transmitters instead (references).",
)
@click.option("--simulation", default="DPM", show_default=True, help="Gains (radiomapseer).")
@click.option(
    "--grey",
    type=click.Choice(["published", "noise-floor"]),
    default="published",
    show_default=True,
    help="How gains are coded in grey (radiomapseer, references).",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make.")
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
    """Simulate city scenes with path gains, or unpack RadioMapSeer's own.

    Run it again to continue after an interruption.
    """
    chosen: Recipe
    try:
        refuse_idle_options(recipe, context)
        if recipe == "paper":
            chosen = PaperRecipe(parse_maps(maps), transmitters, drives, seed)
        elif recipe == "radiomapseer":
            if source is None:
                raise ConfigError("RadioMapSeer's folder is not named.", hint="Give --source DIR.")
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
                    f"{lacking} is not given.", hint="Name both --source and --gains."
                )
            references = ReferencesRecipe(
                str(gains.resolve()),
                reference_pairs(gains, parse_maps(maps)),
                grey,
                simulate,
                drives,
                seed,
            )
            references.require_fitting(read_maps_archive(source))
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
