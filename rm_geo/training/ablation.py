"""Command that compares forms of RadioCycle's losses: equal start, data, steps and widths.

``python -m rm_geo.training.ablation --data SET --test SET --out DIR --steps 2000``

trains each form with each seed, evaluates all of them on the same samples of unseen maps, and
writes ``ablation.csv``, ``ablation.md``, ``ablation.png`` (F1) and ``ablation-rmse.png`` with the
mean and the standard deviation over the seeds. Forms of one seed start from the same weights and
see the same crops and samples. The same command continues an interrupted run; runs with more
seeds or forms keep the complete ones.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch

from rm_geo._util.atomic import output_folder
from rm_geo._util.console import PlainConsole
from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.devices import choose_device
from rm_geo.errors import ConfigError, RmGeoError, UsageError
from rm_geo.estimators.registry import get_method
from rm_geo.evaluation.cases import Sampling
from rm_geo.evaluation.simulated import ProtocolRow, run_protocol
from rm_geo.progress import Progress
from rm_geo.training.builtin_recipes import builtin_recipe, network_of_size
from rm_geo.training.card import CardText, publish
from rm_geo.training.config import TrainingConfig
from rm_geo.training.data import describe_data, prepare_data
from rm_geo.training.run import check_config, read_config, train
from rm_geo.training.scoring import require_unseen
from rm_geo.units import GAIN_SPAN_DB
from rm_geo.validation.figures import draw_curves
from rm_geo.validation.tables import markdown_table, write_csv, write_markdown

_SAMPLED: Final = {"loop_input": "sampled"}
_BALANCED: Final = {"balanced": True}
_OWN: Final = {"loop_statistics": False}

FORMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "SL": {"mode": "single"},
    "ML": {"mode": "dual"},
    "ML + DWA": {"mode": "dual-dwa"},
    "ML, sampled": {"mode": "dual", **_SAMPLED},
    "ML + DWA, sampled": {"mode": "dual-dwa", **_SAMPLED},
    "ML + DWA, statistics of x": {"mode": "dual-dwa", **_OWN},
    "ML + DWA, balanced": {"mode": "dual-dwa", **_BALANCED},
    "ML + DWA, warm-up": {"mode": "dual-dwa", "warm_up": 0.3},
    "ML + DWA, outer": {"mode": "dual-dwa", "loop_gradient": "outer"},
    "ML + DWA, inner": {"mode": "dual-dwa", "loop_gradient": "inner"},
    "ML + DWA, sampled, outer": {"mode": "dual-dwa", **_SAMPLED, "loop_gradient": "outer"},
    "ML, sampled, balanced": {"mode": "dual", **_SAMPLED, **_BALANCED},
    "ML + DWA, sampled, balanced": {"mode": "dual-dwa", **_SAMPLED, **_BALANCED},
    "SL, balanced": {"mode": "single", **_BALANCED},
}
"""Task options of each form. The first three are those of the paper."""

RATES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Ablation:
    """Comparison of forms.

    Attributes
    ----------
    data, test : str
        Set for training, and set of unseen maps.
    out : Path
        Output folder, with the subfolder ``runs``.
    steps : int
        Steps of each training.
    seeds : sequence of int
        Seeds of the initial weights, crops and samples of a training.
    forms : sequence of str
        Names in :data:`FORMS`.
    size : {"s", "full"}
        Size of the networks, the same for all forms.
    rates : sequence of float
        Fractions of the outdoor pixels that are sampled in the evaluation.
    transmitters : int
        Largest number of transmitters of each test map.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    settings : mapping
        Further task options of all forms, such as ``batch`` and ``crop``.
    steps_per_epoch : int
        Steps between two updates of the weights of DWA.
    precision : {"float32", "bfloat16"}
        Precision of the training; the evaluation is in float32.

    Raises
    ------
    ConfigError
        If a form is unknown, or there is none, or no seed.
    """

    data: str
    test: str
    out: Path
    steps: int
    seeds: Sequence[int] = (0, 1, 2)
    forms: Sequence[str] = tuple(FORMS)
    size: str = "s"
    rates: Sequence[float] = RATES
    transmitters: int = 2
    device: str = "auto"
    settings: Mapping[str, Any] | None = None
    steps_per_epoch: int = 100
    precision: str = "float32"

    def __post_init__(self) -> None:
        if unknown := [form for form in self.forms if form not in FORMS]:
            raise ConfigError(
                f"There is no form {unknown[0]!r} of the losses.",
                hint=f"Forms: {'; '.join(FORMS)}.",
            )
        if not self.forms or not self.seeds:
            raise ConfigError("An ablation needs at least one form and one seed.")

    def config(self, form: str, seed: int) -> TrainingConfig:
        """Return the configuration of one training.

        Parameters
        ----------
        form : str
            Name of the form.
        seed : int
            Its seed.

        Returns
        -------
        TrainingConfig
        """
        recipe = builtin_recipe("radiocycle", "sl")
        recipe["data"] = [self.data]
        recipe["network"] = network_of_size("radiocycle", self.size)
        recipe["task"] = {**recipe["task"], **(self.settings or {}), **FORMS[form]}
        recipe["loop"] = {
            **recipe["loop"],
            "max_minutes": 1e6,
            "max_steps": self.steps,
            "steps_per_epoch": self.steps_per_epoch,
            "precision": self.precision,
            "seed": seed,
        }
        return read_config("radiocycle", recipe)

    def folder(self, form: str, seed: int) -> Path:
        """Return the folder of one training.

        Parameters
        ----------
        form : str
            Name of the form.
        seed : int
            Its seed.

        Returns
        -------
        Path
        """
        name = form.lower().replace(" + ", "-").replace(", ", "-").replace(" ", "-")
        return self.out / "runs" / f"{name}-{seed}"


@dataclass(frozen=True)
class AblationRow:
    """Scores of one form at one rate, mean and standard deviation over the seeds.

    Attributes
    ----------
    form : str
        Name of the form.
    rate : float
        Fraction of the outdoor pixels that are sampled.
    seeds : int
        Number of trainings.
    f1, jaccard, rmse, outdoor_db : float
        Means of the scores. RMSE is that of all pixels on the noise-floor scale, buildings 0.
    f1_std, jaccard_std, rmse_std, outdoor_db_std : float
        Standard deviations over the trainings, 0 for one.
    """

    form: str
    rate: float
    seeds: int
    f1: float
    f1_std: float
    jaccard: float
    jaccard_std: float
    rmse: float
    rmse_std: float
    outdoor_db: float
    outdoor_db_std: float


_SCORES: Final = {
    "f1": "f1",
    "jaccard": "jaccard",
    "rmse": "rmse_all",
    "outdoor_db": "rmse_outdoor_db",
}


def run_ablation(ablation: Ablation, progress: Progress) -> list[AblationRow]:
    """Train all forms that are not complete, evaluate them, and write tables and figure.

    Parameters
    ----------
    ablation : Ablation
        The comparison.
    progress : Progress
        Receiver of the progress, which may also cancel.

    Returns
    -------
    list of AblationRow
        Ordered by form and rate.

    Raises
    ------
    ConfigError
        If the test maps are not unseen, or an option is invalid.
    InputError
        If data are missing or damaged.
    OutputError
        If the folder cannot be written.
    """
    test = SimulatedSet.open(ablation.test)
    device = torch.device(choose_device(ablation.device))
    for form in ablation.forms:
        check_config(ablation.config(form, ablation.seeds[0]))
    samplings = [Sampling("uniform", rate) for rate in ablation.rates]
    scores: dict[tuple[str, float], list[ProtocolRow]] = {}
    with output_folder(ablation.out):
        for seed in ablation.seeds:  # so that a table of fewer seeds is complete earlier
            for form in ablation.forms:
                model = _trained(ablation, form, seed, test, device, progress)
                estimator = get_method("radiocycle", model=model, device=ablation.device)
                for rate, row in zip(
                    ablation.rates,
                    run_protocol(
                        test,
                        {form: estimator},
                        samplings=samplings,
                        transmitters=ablation.transmitters,
                        progress=progress,
                    ),
                    strict=True,
                ):
                    scores.setdefault((form, rate), []).append(row)
            rows = _rows(ablation, scores)
            write_csv(ablation.out / "ablation.csv", rows)
            write_markdown(ablation.out / "ablation.md", rows)
            _draw(ablation, rows)
    return rows


def _trained(
    ablation: Ablation,
    form: str,
    seed: int,
    test: SimulatedSet,
    device: torch.device,
    progress: Progress,
) -> Path:
    """Train a form unless its model is complete; return the folder of the model."""
    run = ablation.folder(form, seed)
    model = run / "model"
    if (model / "card.md").exists():
        return model
    progress.log(f"{form}, seed {seed}")
    config = prepare_data(ablation.config(form, seed), ablation.out / "data", progress)
    for path in config.data:
        require_unseen(test, SimulatedSet.open(path))
    train(config, run, device=device, progress=progress)
    text = CardText(
        summary=f"RadioCycle, ablation: {form}.",
        data=describe_data(config),
        limits=("Trained for a comparison of losses, with few steps.",),
        device=str(device),
        scores={},
    )
    publish(run, model, ablation.size, text)
    return model


def _rows(
    ablation: Ablation, scores: Mapping[tuple[str, float], Sequence[ProtocolRow]]
) -> list[AblationRow]:
    """Compute means and standard deviations over the seeds."""
    rows = []
    for form in ablation.forms:
        for rate in ablation.rates:
            values = {}
            for name, column in _SCORES.items():
                each = np.array([getattr(row, column) for row in scores[form, rate]])
                values[name] = float(each.mean())
                values[f"{name}_std"] = float(each.std(ddof=1)) if len(each) > 1 else 0.0
            rows.append(AblationRow(form=form, rate=rate, seeds=len(scores[form, rate]), **values))
    return rows


def _draw(ablation: Ablation, rows: Sequence[AblationRow]) -> None:
    """Draw F1 against the rate with error bars, as figure 5 of the paper, and the RMSE."""
    by_form = {form: [row for row in rows if row.form == form] for form in ablation.forms}
    for name, score, label in (
        ("ablation.png", "f1", "F1 of buildings"),
        ("ablation-rmse.png", "rmse", f"RMSE of all pixels, 1 = {GAIN_SPAN_DB:g} dB"),
    ):
        draw_curves(
            ablation.out / name,
            {form: [(row.rate, getattr(row, score)) for row in by_form[form]] for form in by_form},
            title=f"Figure 5: forms of the losses, {len(ablation.seeds)} seeds",
            ylabel=label,
            spread={
                form: [getattr(row, f"{score}_std") for row in by_form[form]] for form in by_form
            },
        )


@click.command()
@click.option("--data", required=True, type=click.Path(), help="Set for training.")
@click.option("--test", required=True, type=click.Path(), help="Set of unseen maps.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Output folder.")
@click.option("--steps", required=True, type=click.IntRange(1), help="Steps of each training.")
@click.option("--seeds", default="0,1,2", show_default=True, help="Seeds, with commas.")
@click.option(
    "--form",
    "forms",
    multiple=True,
    type=click.Choice(list(FORMS)),
    help="Form of the losses; repeatable. All by default.",
)
@click.option("--size", type=click.Choice(["s", "full"]), default="s", show_default=True)
@click.option("--transmitters", type=click.IntRange(1), default=2, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True)
@click.option("--crop", type=click.IntRange(64), default=128, show_default=True)
@click.option("--final-crop", type=click.IntRange(64), default=256, show_default=True)
@click.option(
    "--rates",
    default=",".join(map(str, RATES)),
    show_default=True,
    help="Sampled fractions in the evaluation, with commas.",
)
@click.option(
    "--steps-per-epoch",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Steps between two updates of the weights of DWA.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Precision of the training.",
)
@click.option("--device", default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1), help="CPU threads of PyTorch.")
def main(
    data: str,
    test: str,
    out: Path,
    steps: int,
    seeds: str,
    forms: tuple[str, ...],
    size: str,
    transmitters: int,
    batch: int,
    crop: int,
    final_crop: int,
    rates: str,
    steps_per_epoch: int,
    precision: str,
    device: str,
    threads: int | None,
) -> None:
    """Compare forms of RadioCycle's losses at equal start, data, steps and widths."""
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        ablation = Ablation(
            data=data,
            test=test,
            out=out,
            steps=steps,
            seeds=_seeds(seeds),
            forms=forms or tuple(FORMS),
            size=size,
            transmitters=transmitters,
            device=device,
            settings={"batch": batch, "crop": crop, "final_crop": final_crop},
            rates=_rates(rates),
            steps_per_epoch=steps_per_epoch,
            precision=precision,
        )
        rows = run_ablation(ablation, PlainConsole(sys.stderr, sys.stdout))
    except RmGeoError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(markdown_table(rows))


def _seeds(text: str) -> list[int]:
    """Split seeds at commas."""
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    if not pieces or not all(piece.isdecimal() for piece in pieces):
        raise UsageError(f"--seeds {text!r} is not a list of whole numbers such as 0,1,2.")
    return list(dict.fromkeys(int(piece) for piece in pieces))


def _rates(text: str) -> list[float]:
    """Split fractions at commas."""
    try:
        return list(dict.fromkeys(float(piece) for piece in text.split(",")))
    except ValueError as error:
        raise UsageError(f"--rates {text!r} is not a list such as 0.05,0.2.") from error


if __name__ == "__main__":
    main()
