"""Publication of a trained model: weights, model card and training curves."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from rm_geo._util.atomic import replacing
from rm_geo._version import __version__
from rm_geo.errors import InputError
from rm_geo.networks import build
from rm_geo.training.checkpoint import TrainingState, load_checkpoint
from rm_geo.training.config import TrainingConfig
from rm_geo.training.curves import CURVES_NAME, draw_curves, read_curves
from rm_geo.training.initialization import CONFIG_NAME, Origin
from rm_geo.training.loop import CHECKPOINT_NAME, LOG_NAME
from rm_geo.zoo.weights import save_model

LICENCE = "Apache-2.0"
RECIPE_NAME = "recipe.yaml"


@dataclass(frozen=True)
class CardText:
    """Parts of a model card that are written by hand. The others are measured.

    Attributes
    ----------
    summary : str
        One line about the model.
    data : str
        Training data and its source.
    limits : sequence of str
        Known limits of the model.
    device : str
        Description of the training machine.
    scores : mapping of str to str
        Tables in Markdown by title.
    pictures : mapping of str to Path
        PNG files by title, which are copied to the model folder.
    """

    summary: str
    data: str
    limits: Sequence[str]
    device: str
    scores: Mapping[str, str]
    pictures: Mapping[str, Path] = field(default_factory=dict)


def publish(run: Path, folder: Path, size: str, text: CardText, *, half: bool = True) -> str:
    """Write a model folder from the folder of a training.

    Parameters
    ----------
    run : Path
        Folder of the training.
    folder : Path
        Model folder to write.
    size : str
        Size class, ``s`` or ``full``.
    text : CardText
        Parts of the card written by hand.
    half : bool
        Whether to round matrices and kernels to half precision, which changes results by less
        than 0.01 dB. Biases and normalisation keep single precision, because running variances
        may exceed the range of half precision.

    Returns
    -------
    str
        SHA-256 of the weights, which are the moving average of the training.

    Raises
    ------
    InputError
        If the configuration of the training is missing or invalid.
    ModelError
        If the checkpoint is missing or damaged.
    """
    try:
        config = TrainingConfig(**json.loads((run / CONFIG_NAME).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{run} is not the folder of a training: {CONFIG_NAME} cannot be read ({error}).",
            hint="Name an output folder of rm-geo train.",
        ) from error
    state, tensors = load_checkpoint(run / CHECKPOINT_NAME)
    origin = Origin.read(run)
    if origin.parent is None and config.start_from is not None:  # written by an earlier version
        origin = Origin(parent=Path(config.start_from).name)
    network = build(config.kind, config.network)
    prefix = "average."
    network.load_state_dict(
        {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
    )
    if half:
        for parameter in network.parameters():
            if parameter.dim() >= 2:
                parameter.data = parameter.data.half()
    parameters = sum(p.numel() for p in network.parameters())
    more: dict[str, Any] = {
        "architecture": type(network).__name__,
        "size": size,
        "summary": text.summary,
        "rm_geo": __version__,
        "recipe": {
            "data": text.data,
            "held_out": config.held_out,
            "loop": dict(config.loop),
            "task": dict(config.task),
            "mixture": dict(config.mixture),
            **_start_values(config),
        },
        **({} if origin.parent is None else {"started_from": asdict(origin)}),
        "seed": int(config.loop.get("seed", 0)),
        "minutes": round(state.trained_s / 60.0, 1),
        "steps": state.step,
        "device": text.device,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "licence": LICENCE,
        "limits": list(text.limits),
        "validation": _last_validation(run / LOG_NAME),
    }
    if "scale" in config.network:
        more["scale"] = config.network["scale"]
    checksum = save_model(folder, network, config.kind, config.network, more)
    drawn = draw_curves(read_curves(run / LOG_NAME), folder / CURVES_NAME)
    facts = {**more, "half": half, "origin": origin.in_words}
    card = _card(folder.name, config, state, text, facts, parameters, checksum)
    if drawn:
        card += f"\n## Training\n\n![Losses and validation scores]({CURVES_NAME})\n"
    for number, (title, picture) in enumerate(text.pictures.items(), 1):
        copied = f"picture-{number}.png"
        with replacing(folder / copied) as part:
            shutil.copyfile(picture, part)
        card += f"\n## {title}\n\n![{title}]({copied})\n"
    for name, words in (("card.md", card), (RECIPE_NAME, _recipe(config, text.data))):
        with replacing(folder / name) as part:
            part.write_text(words, "utf-8")
    return checksum


def _started(origin: str, parts: Sequence[str] | None) -> str:
    """Describe the initial weights of a training."""
    return origin if parts is None else f"{', '.join(parts)} of {origin}"


def _recipe(config: TrainingConfig, data: str) -> str:
    """Return the recipe with which ``rm-geo train KIND --config`` repeats the training."""
    values = {
        "network": dict(config.network),
        "held_out": config.held_out,
        "split": config.split,
        "data_weights": None if config.data_weights is None else list(config.data_weights),
        "loop": dict(config.loop),
        "task": dict(config.task),
        "mixture": dict(config.mixture),
        **_start_values(config),
    }
    kept = {key: value for key, value in values.items() if value not in (None, {})}
    head = f"# {config.kind}, trained on: {data}\n"
    try:
        import yaml
    except ImportError:  # a training machine may have only torch and numpy; JSON is valid YAML
        return head + json.dumps(kept, indent=2) + "\n"
    return head + str(yaml.safe_dump(kept, sort_keys=False))


def _start_values(config: TrainingConfig) -> dict[str, Any]:
    """Return the keys of a recipe about initial weights and RadioMapSeer, if they are set."""
    parts = None if config.start_parts is None else list(config.start_parts)
    values = {
        "start_from": config.start_from,
        "start_parts": parts,
        "radiomapseer": dict(config.radiomapseer),
    }
    return {key: value for key, value in values.items() if value}


def _last_validation(log: Path) -> dict[str, float]:
    """Return the validation scores from the last line of the log that has them."""
    return {name: points[-1][1] for name, points in read_curves(log).validation.items()}


def _card(
    name: str,
    config: TrainingConfig,
    state: TrainingState,
    text: CardText,
    more: Mapping[str, Any],
    parameters: int,
    checksum: str,
) -> str:
    """Return the model card in Markdown."""
    lines = [
        f"# {name}",
        "",
        text.summary,
        "",
        "| | |",
        "|---|---|",
        f"| network | {more['architecture']} (`{config.kind}`), {parameters:,} parameters |",
        f"| data | {text.data} |",
        f"| started from | {_started(more['origin'], config.start_parts)} |",
        f"| training | {more['minutes']} minutes, {state.step:,} steps, {text.device} |",
        f"| recipe | `{json.dumps(dict(config.loop))}`, `{json.dumps(dict(config.task))}` |",
        f"| seed | {more['seed']} |",
        f"| software | rm_geo {__version__}, torch {torch.__version__} |",
        f"| weights | {'half' if more['half'] else 'single'} precision, sha256 `{checksum}` |",
        f"| licence | {LICENCE} |",
        "",
        "## Scores",
        "",
    ]
    for title, table in text.scores.items():
        lines += [f"### {title}", "", table.strip(), ""]
    lines += ["### Validation at the end of training", "", "| score | value |", "|---|---|"]
    lines += [f"| {key} | {value:.4f} |" for key, value in more["validation"].items()]
    lines += ["", "## Limits", "", *[f"- {limit}" for limit in text.limits], ""]
    return "\n".join(lines)
