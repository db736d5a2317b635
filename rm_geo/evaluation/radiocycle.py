"""Evaluation of the RadioCycle paper: table 2 and figures 3 to 6, with published scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from rm_geo._types import FloatArray
from rm_geo._util.atomic import output_folder, replacing
from rm_geo.datasets.map_numbers import format_maps
from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.errors import UsageError
from rm_geo.estimators.base import Estimator
from rm_geo.evaluation import published
from rm_geo.evaluation.benchmark_methods import BenchmarkMethod, MethodSet
from rm_geo.evaluation.cases import Sampling, scene_cases, select_maps, select_scenes
from rm_geo.evaluation.simulated import TRANSMITTERS, ProtocolRow, run_protocol
from rm_geo.progress import Progress
from rm_geo.units import gain_to_unit
from rm_geo.validation.figures import draw_curves, draw_maps
from rm_geo.validation.tables import markdown_table, write_csv

RADIOCYCLE_METHODS: Final = (
    BenchmarkMethod("KNN", "knn"),
    BenchmarkMethod("RF", "random-forest"),
    BenchmarkMethod("InterpolationNet", "interpolation-net", "interpolation-net"),
    BenchmarkMethod("SL", "radiocycle", "radiocycle-sl"),
    BenchmarkMethod("ML w/o DWA", "radiocycle", "radiocycle-ml"),
    BenchmarkMethod("ML w/ DWA", "radiocycle", "radiocycle-ml-dwa"),
    BenchmarkMethod("ML w/ DWA (sampled)", "radiocycle", "radiocycle-ml-dwa-sampled"),
    BenchmarkMethod("RadioCycle for the field", "radiocycle", "radiocycle"),
    BenchmarkMethod("ordinary kriging", "ordinary-kriging"),
    BenchmarkMethod("matrix completion", "matrix-completion"),
    BenchmarkMethod("COST-231 Hata", "cost231-hata"),
    BenchmarkMethod("SPM", "spm"),
)
"""Methods of table 2: those of the paper, the drive-test network, and methods of practice."""

ABLATIONS: Final = ("SL", "ML w/o DWA", "ML w/ DWA", "ML w/ DWA (sampled)")
RATES: Final = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
BUILDING_SCORES: Final = ("jaccard", "f1", "recall", "precision", "accuracy")

_SCALES: Final = (
    "RMSE and NMSE of the table are on RadioMapSeer's noise-floor scale (0.01 = 0.79 dB) over all "
    "pixels with 0 in buildings, as in the paper; NMSE is relative to the variance, as in the "
    "paper. Columns in dB are for outdoor pixels, and for outdoor pixels without measurements. "
    "Building scores are pooled over the pixels of all maps. Columns `published_` have the scores "
    "of the paper at 20 %."
)


@dataclass(frozen=True)
class Table2Row:
    """Row of table 2, with NaN for scores that a method or the paper does not have."""

    method: str
    jaccard: float
    f1: float
    recall: float
    precision: float
    accuracy: float
    rmse: float
    nmse: float
    outdoor_db: float
    unobserved_db: float
    published_jaccard: float
    published_f1: float
    published_recall: float
    published_precision: float
    published_accuracy: float
    published_rmse: float
    published_nmse: float
    seconds_per_map: float
    note: str


def evaluate_radiocycle(
    data: SimulatedSet,
    method_set: MethodSet,
    out: Path,
    *,
    rates: Sequence[float] = RATES,
    routes: Sequence[float] = (0.01,),
    maps: Sequence[int] | None = None,
    transmitters: int = TRANSMITTERS,
    seed: int = 0,
    progress: Progress | None = None,
) -> str:
    """Run the evaluation of the paper and write its tables, figures and a report.

    Parameters
    ----------
    data : SimulatedSet
        Set of the recipe ``paper`` or ``radiomapseer``. The paper tests on maps 601-700.
    method_set : MethodSet
        Methods, see :data:`RADIOCYCLE_METHODS`.
    out : Path
        Output folder of ``scores.csv`` (all scores), ``table2.csv``, figures as CSV and PNG, and
        ``report.md``.
    rates, routes : sequence of float
        Fractions of the outdoor pixels that are sampled uniformly, and along routes. The 20 % of
        table 2 are always added to the first.
    maps, transmitters, seed
        See :func:`~rm_geo.evaluation.simulated.run_protocol`.
    progress : Progress, optional
        Receiver of the progress in scenes.

    Returns
    -------
    str
        The report in Markdown.

    Raises
    ------
    UsageError
        If there is no method.
    """
    if not method_set.estimators:
        raise UsageError(
            "There is no method to evaluate.", hint="Set models with `model` KEY=FILE."
        )
    uniform = sorted({*rates, published.RADIOCYCLE_RATE})
    samplings = [
        *(Sampling("uniform", rate) for rate in uniform),
        *(Sampling("route", share) for share in routes),
    ]
    with output_folder(out):
        rows = run_protocol(
            data,
            method_set.estimators,
            samplings=samplings,
            maps=maps,
            transmitters=transmitters,
            seed=seed,
            progress=progress,
        )
    by_place = {(row.method, row.sampling): row for row in rows}
    table = table2(by_place, method_set)
    write_csv(out / "scores.csv", rows)
    write_csv(out / "table2.csv", table)
    figures = _figures(by_place, method_set, uniform, out)
    draw_maps(
        out / "fig6.png",
        _example(data, method_set.estimators, maps, seed),
        title="Figure 6: a map sampled at 20 %, and the estimates",
    )
    numbers = select_maps(data, maps)
    report = _report(data.path.name, numbers, rows, table, method_set, [*figures, "fig6.png"], seed)
    with replacing(out / "report.md") as part:
        part.write_text(report, encoding="utf-8")
    return report


def table2(
    by_place: Mapping[tuple[str, str], ProtocolRow], method_set: MethodSet
) -> list[Table2Row]:
    """Return the rows of table 2, with the reason for methods that are not available.

    Parameters
    ----------
    by_place : mapping of (str, str) to ProtocolRow
        Rows by method and sampling.
    method_set : MethodSet
        The methods.

    Returns
    -------
    list of Table2Row
    """
    sampling = str(Sampling("uniform", published.RADIOCYCLE_RATE))
    present = {label: by_place[label, sampling] for label in method_set.estimators}
    return [
        _table2_row(label, present.get(label), method_set.absent.get(label, ""))
        for label in method_set.labels
    ]


def _table2_row(label: str, row: ProtocolRow | None, reason: str) -> Table2Row:
    """Return the scores of a method with the published ones."""
    theirs = published.RADIOCYCLE.get(label, published.PublishedRadioCycle(math.nan))

    def ours(name: str) -> float:
        return math.nan if row is None else float(getattr(row, name))

    return Table2Row(
        method=label,
        rmse=ours("rmse_all"),
        nmse=ours("nmse_radiocycle"),
        outdoor_db=ours("rmse_outdoor_db"),
        unobserved_db=ours("rmse_unobserved_db"),
        published_rmse=theirs.rmse,
        published_nmse=theirs.nmse,
        seconds_per_map=ours("seconds_per_map"),
        note=f"absent: {reason}" if row is None else "",
        **{name: ours(name) for name in BUILDING_SCORES},
        **{f"published_{name}": getattr(theirs, name) for name in BUILDING_SCORES},
    )


_Plan: TypeAlias = tuple[str, str, str, dict[str, tuple[str, str]], dict[str, tuple[float, float]]]
"""Name, title and axis label of a figure; method and score of each curve; published points."""


@dataclass(frozen=True)
class CurvePoint:
    """Point of a figure."""

    method: str
    score: str
    rate: float
    value: float


def _figures(
    by_place: Mapping[tuple[str, str], ProtocolRow],
    method_set: MethodSet,
    rates: Sequence[float],
    out: Path,
) -> list[str]:
    """Write figures 3 to 5 for the available methods; return the names of the files."""
    present = list(method_set.estimators)

    def curve(label: str, score: str) -> list[tuple[float, float]]:
        values = [
            float(getattr(by_place[label, str(Sampling("uniform", rate))], score)) for rate in rates
        ]
        return list(zip(rates, values, strict=True))

    mapping = [label for label in present if method_set.estimators[label].maps_buildings]
    main = [label for label in ("ML w/ DWA", "RadioCycle for the field") if label in mapping][:1]
    theirs = {
        label: (published.RADIOCYCLE_RATE, figures.rmse)
        for label, figures in published.RADIOCYCLE.items()
    }
    main_published = {
        name: (published.RADIOCYCLE_RATE, float(getattr(published.RADIOCYCLE["ML w/ DWA"], name)))
        for name in BUILDING_SCORES
    }
    plans: list[_Plan] = [
        (
            "fig3",
            "Figure 3: building scores of " + "".join(main),
            "score",
            {name: (label, name) for label in main for name in BUILDING_SCORES},
            main_published,
        ),
        (
            "fig4",
            "Figure 4: RMSE over all pixels",
            "RMSE (noise-floor scale)",
            {label: (label, "rmse_all") for label in present},
            theirs,
        ),
        (
            "fig5",
            "Figure 5: ablation, F1 of buildings",
            "F1",
            {label: (label, "f1") for label in ABLATIONS if label in present},
            {"ML w/ DWA": (published.RADIOCYCLE_RATE, published.RADIOCYCLE["ML w/ DWA"].f1)},
        ),
    ]
    written = []
    for name, title, ylabel, wanted, beside in plans:
        curves = {key: curve(label, score) for key, (label, score) in wanted.items()}
        if not curves:
            continue
        points = [
            CurvePoint(label, score, rate, value)
            for key, (label, score) in wanted.items()
            for rate, value in curves[key]
        ]
        write_csv(out / f"{name}.csv", points)
        draw_curves(out / f"{name}.png", curves, title=title, ylabel=ylabel, published=beside)
        written.append(f"{name}.png")
    return written


def _example(
    data: SimulatedSet,
    estimators: Mapping[str, Estimator],
    maps: Sequence[int] | None,
    seed: int,
) -> dict[str, FloatArray]:
    """Return the panels of figure 6, for the first transmitter of the first map."""
    scene = data.scene(select_scenes(data, maps)[0])
    sampling = Sampling("uniform", published.RADIOCYCLE_RATE)
    (cases,) = scene_cases(scene, [sampling], 1, seed)
    seen = np.where(cases.observed[0], cases.truth_unit[0], np.float32(np.nan))
    panels = {"samples": seen, "truth": cases.truth_unit[0]}
    buildings = {"buildings": cases.buildings[0].astype(np.float32)}
    for label, estimator in estimators.items():
        estimate = estimator.estimate(cases.batch)
        panels[label] = gain_to_unit(estimate.rsrp_dbm[0])
        if estimate.building_probability is not None:
            buildings[f"buildings, {label}"] = estimate.building_probability[0]
    return {**panels, **buildings}


def _report(
    name: str,
    numbers: Sequence[int],
    rows: Sequence[ProtocolRow],
    table: Sequence[Table2Row],
    method_set: MethodSet,
    pictures: Sequence[str],
    seed: int,
) -> str:
    """Return tables and figures as one page in Markdown."""
    maps = f"maps {format_maps(numbers)}" if numbers else "generated cities"
    pieces = [
        "# RadioCycle's evaluation",
        f"{name} ({maps}), {max(row.maps for row in rows)} radio maps, seed {seed}.",
        _SCALES,
        "## Table 2: 20 % of the outdoor pixels",
        markdown_table(table),
    ]
    if method_set.absent:
        listed = "\n".join(f"- {label}: {why}" for label, why in method_set.absent.items())
        pieces += ["Methods that are not available:", listed]
    pieces += ["## All samplings", markdown_table(rows), "## Figures"]
    pieces += [f"![{name.removesuffix('.png')}]({name})" for name in pictures]
    return "\n\n".join(piece.strip() for piece in pieces) + "\n"
