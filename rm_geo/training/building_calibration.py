"""Calibration of a model's building probabilities, written to its card.

``python -m rm_geo.training.building_calibration DATA MODEL [--models DIR]``

DATA is a set of the recipe ``paper`` with several antennas in each scene, of maps up to 500. The
log-odds of the buildings are fitted to those of the model by logistic regression, over routes and
uniform samples of several densities, with and without errors. The threshold of the masks of
``rm-geo predict`` needs it (:mod:`rm_geo.buildings.threshold`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import numpy as np
from numpy.typing import NDArray

from rm_geo._util.atomic import replacing
from rm_geo._util.console import PlainConsole
from rm_geo._util.json_text import parse_json
from rm_geo.buildings.threshold import CALIBRATION_TAG, Calibration
from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.errors import ConfigError, RmGeoError
from rm_geo.estimators.ray_buildings import RayBuildingMapper
from rm_geo.estimators.registry import get_method
from rm_geo.evaluation.area_buildings import (
    AreaMethod,
    DriveErrors,
    MeanOfCells,
    by_tiles,
    drive_samples,
    strongest,
)
from rm_geo.evaluation.cases import Sampling
from rm_geo.progress import Progress, SilentProgress
from rm_geo.zoo.catalog import find_model
from rm_geo.zoo.kinds import RAY_KIND
from rm_geo.zoo.model_file import CARD_NAME
from rm_geo.zoo.weights import write_index, write_json

SAMPLINGS: Final = (
    *(Sampling("route", share) for share in (0.004, 0.01, 0.02, 0.04)),
    *(Sampling("uniform", share) for share in (0.01, 0.05, 0.2)),
)
CELLS: Final = (1, 4, 8, 16)
ERRORS: Final = (DriveErrors(), DriveErrors(noise_db=4.0, site_error_m=3.0, strongest=8))

_LAST_MAP: Final = 500
_PIXELS: Final = 1500
_STEPS: Final = 25
_LEAST: Final = 1e-4


def fit_building_calibration(
    data: SimulatedSet,
    method: AreaMethod,
    *,
    cells: Sequence[int] = CELLS,
    samplings: Sequence[Sampling] = SAMPLINGS,
    every: int = 20,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Fit the calibration of building probabilities.

    Parameters
    ----------
    data : SimulatedSet
        Set with several antennas in each scene, of maps up to 500.
    method : AreaMethod
        Method that maps buildings.
    cells : sequence of int
        Numbers of cells, the first antennas of each scene.
    samplings : sequence of Sampling
        Samplings, with equal weights.
    every : int
        Every so many scenes are used, since buildings are denser in some cities than in others.
    seed : int
        Seed of samples, errors and pixels.
    progress : Progress, optional
        Receiver of the progress in scenes.

    Returns
    -------
    Calibration

    Raises
    ------
    ConfigError
        If the set holds maps above 500, or too few antennas.
    """
    if data.map_ids and max(data.map_ids) > _LAST_MAP:
        raise ConfigError(f"{data.path} holds maps above {_LAST_MAP}, which are for evaluation.")
    if max(cells) > data.gains_db.shape[1]:
        raise ConfigError(
            f"{data.path} has {data.gains_db.shape[1]} antennas in each scene, not {max(cells)}."
        )
    listener = progress or SilentProgress()
    rng = np.random.default_rng(seed)
    scenes = range(every // 2 if len(data) > every // 2 else 0, len(data), every)
    listener.start(len(scenes), "scenes", "calibration")
    log_odds, truth = [], []
    for index in scenes:
        scene = data.scene(index)
        for sampling in samplings:
            for errors in ERRORS:
                heard = drive_samples(scene, sampling, errors, seed)
                for count in cells:
                    listener.check()
                    chosen = strongest(heard[:count], errors.strongest)
                    found = np.nan_to_num(by_tiles(method, chosen, scene.buildings.shape)).ravel()
                    pixel = rng.integers(found.size, size=_PIXELS)
                    cut = np.clip(found[pixel].astype(np.float64), _LEAST, 1.0 - _LEAST)
                    log_odds.append(np.log(cut / (1.0 - cut)))
                    truth.append(scene.buildings.ravel()[pixel])
        listener.advance()
    listener.finish()
    return _regression(np.concatenate(log_odds), np.concatenate(truth))


def _regression(log_odds: NDArray[np.float64], truth: NDArray[np.bool_]) -> Calibration:
    """Fit a logistic regression by Newton's method."""
    design = np.stack([np.ones_like(log_odds), log_odds], 1)
    weights = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        probability = 1.0 / (1.0 + np.exp(-design @ weights))
        curvature = design.T @ (design * (probability * (1.0 - probability))[:, None])
        slope = design.T @ (truth - probability)
        weights = weights + np.linalg.solve(curvature + 1e-6 * np.eye(2), slope)
    if not (np.isfinite(weights).all() and weights[1] > 0.0):
        raise ConfigError(
            "The building probabilities of the model say nothing about the buildings of the set.",
            hint="Train it longer, or check that the set is of the kind it was trained for.",
        )
    return Calibration(*(round(float(weight), 3) for weight in weights))


@click.command(help=__doc__)
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.argument("name")
@click.option("--models", type=click.Path(path_type=Path, file_okay=False), default=Path("models"))
@click.option("--every", type=click.IntRange(1), default=20, show_default=True)
@click.option("--device", default="auto", show_default=True)
def main(data: Path, name: str, models: Path, every: int, device: str) -> None:
    """Fit the calibration of the model NAME, and write it to its card and the index."""
    folder = models / name
    progress = PlainConsole(sys.stderr, sys.stdout)
    try:
        is_of_lines = find_model(folder).kind == RAY_KIND
        calibration = fit_building_calibration(
            SimulatedSet.open(data),
            RayBuildingMapper(folder, device).probability
            if is_of_lines
            else MeanOfCells(get_method("radiocycle", model=folder, device=device)),
            cells=CELLS if is_of_lines else (1,),
            every=every,
            progress=progress,
        )
        write_calibration(folder, calibration)
        write_index(models)
    except RmGeoError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"{folder}: {calibration}")


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write a calibration to the cards of a model, in place of an earlier one.

    Parameters
    ----------
    folder : Path
        The model folder.
    calibration : Calibration
        The calibration.
    """
    card = dict(parse_json((folder / CARD_NAME).read_text("utf-8")))
    write_json(folder / CARD_NAME, {**card, CALIBRATION_TAG: str(calibration)})
    path = folder / "card.md"
    if not path.exists():
        return
    kept = [
        line
        for line in path.read_text("utf-8").splitlines()
        if not line.startswith(_CARD_ROW.partition("{")[0])
    ]
    rows = [number for number, line in enumerate(kept) if line.startswith("| licence |")]
    if rows:
        kept.insert(rows[0], _CARD_ROW.format(calibration))
    with replacing(path) as part:
        part.write_text("\n".join(kept) + "\n", "utf-8")


_CARD_ROW: Final = "| calibration of the buildings | log-odds: {} |"


if __name__ == "__main__":
    main()
