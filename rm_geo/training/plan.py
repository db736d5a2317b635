"""The full-size models: the papers' networks, their ablations, and this project's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rm_geo.datasets.splits import MARS_SETTING_I
from rm_geo.training.builtin_recipes import builtin_recipe, network_of_size
from rm_geo.zoo.catalog import list_models


@dataclass(frozen=True)
class PlannedModel:
    """A model to be made.

    Attributes
    ----------
    key : str
        Key of the index's defaults that it becomes.
    kind : str
        Kind of network.
    recipe : mapping
        As :func:`~rm_geo.training.run.read_config` takes it, without data and budget.
    share : float
        Of the minutes, among those that are made.
    summary : str
        One line for its card.
    by_default : bool
        Whether it is made without being asked for.
    """

    key: str
    kind: str
    recipe: Mapping[str, Any]
    share: float
    summary: str
    by_default: bool = True


def _refining(
    key: str,
    kind: str,
    scale: int,
    name: str,
    share: float,
    summary: str,
    *,
    by_default: bool = True,
    split: str | None = None,
) -> PlannedModel:
    """Plan a super-resolution network by a ready recipe, at a scale."""
    recipe = builtin_recipe(kind, name)
    recipe["network"] = {**recipe.get("network", {}), "scale": scale}
    if split is not None:
        recipe["split"] = split
    return PlannedModel(key, kind, recipe, share, summary, by_default)


def full_size_plan(size: str = "full") -> tuple[PlannedModel, ...]:
    """List the models of the papers, their ablations, and this project's own.

    Parameters
    ----------
    size : {"full", "s"}
        The papers' sizes, or compact ones to try the road on.
    """
    field = _started(
        {
            "loop": {"learning_rate": 1e-3},
            "task": {"batch": 64, "crop": 128, "coarse_shares": [0.2, 0.1]},
        },
        "radiocycle-drive-s",
    )
    plan = (
        PlannedModel(
            "radiocycle-ml-dwa",
            "radiocycle",
            _published("ml-dwa"),
            8,
            "RadioCycle as published: dual losses with dynamic weight averaging.",
        ),
        PlannedModel(
            "radiocycle", "radiocycle-drive", field, 8, "RadioCycle for drive tests, full size."
        ),
        PlannedModel(
            "interpolation-net",
            "interpolation-net",
            builtin_recipe("interpolation-net", "paper"),
            3,
            "InterpolationNet: RadioCycle's baseline.",
        ),
        _refining(
            "mars-4",
            "mars",
            4,
            "plus",
            3,
            "MARS 4x that reads a mask of buildings and corrects bilinear.",
        ),
        _refining(
            "mars-8",
            "mars",
            8,
            "plus",
            2,
            "MARS 8x that reads a mask of buildings and corrects bilinear.",
        ),
        _refining(
            "superres-4",
            "mars",
            4,
            "field",
            3,
            "MARS 4x for planners' rasters: means of cells, any power.",
        ),
        _refining(
            "superres-4-buildings",
            "mars",
            4,
            "field-walls",
            2,
            "MARS 4x for planners' rasters that come with outlines of the buildings.",
        ),
        _refining("mars-4-paper", "mars", 4, "paper", 3, "MARS 4x as published, setting II."),
        _refining("mars-8-paper", "mars", 8, "paper", 2, "MARS 8x as published, setting II."),
        _refining(
            "srresnet-4", "srresnet", 4, "paper", 1.5, "SRResNet 4x, MARS's baseline, setting II."
        ),
        _refining(
            "supreme-4", "supreme", 4, "paper", 1.5, "Supreme 4x, MARS's baseline, setting II."
        ),
        _refining(
            "superres-8",
            "mars",
            8,
            "field",
            2,
            "MARS 8x for planners' rasters: means of cells, any power.",
            by_default=False,
        ),
        _refining(
            "superres-8-buildings",
            "mars",
            8,
            "field-walls",
            2,
            "MARS 8x for planners' rasters that come with outlines of the buildings.",
            by_default=False,
        ),
        PlannedModel(
            "radiocycle-ml",
            "radiocycle",
            _published("ml"),
            4,
            "RadioCycle's ablation without dynamic weights.",
            by_default=False,
        ),
        PlannedModel(
            "radiocycle-sl",
            "radiocycle",
            _published("sl"),
            4,
            "RadioCycle's ablation without dual losses.",
            by_default=False,
        ),
        _refining(
            "srresnet-8",
            "srresnet",
            8,
            "paper",
            1,
            "SRResNet 8x, MARS's baseline, setting II.",
            by_default=False,
        ),
        _refining(
            "supreme-8",
            "supreme",
            8,
            "paper",
            1,
            "Supreme 8x, MARS's baseline, setting II.",
            by_default=False,
        ),
        *_known_scenes(),
    )
    return tuple(replace(model, recipe=_sized(model, size)) for model in plan)


def _published(name: str) -> dict[str, Any]:
    """Give a recipe of the published pair; F starts from the compact one, whose widths divide."""
    return _started(builtin_recipe("radiocycle", name), "radiocycle-paper-single-loss-s", "F")


def _known_scenes() -> Iterator[PlannedModel]:
    """List the models of the MARS paper's setting I, which no other model may stand for.

    Those of setting II, and this project's, have learnt from the transmitters it tests on.
    """
    for scale in (4, 8):
        for key, kind, name in (
            (f"srresnet-{scale}-i", "srresnet", "paper"),
            (f"supreme-{scale}-i", "supreme", "paper"),
            (f"mars-{scale}-paper-i", "mars", "paper"),
            (f"mars-{scale}-i", "mars", "plus"),
            (f"mars-{scale}-buildings", "mars", "walls"),
        ):
            summary = (
                f"{kind} {scale}x ({name}) for setting I: unseen transmitters in known scenes."
            )
            yield _refining(
                key, kind, scale, name, 1.5, summary, by_default=False, split=MARS_SETTING_I.name
            )


def _started(recipe: dict[str, Any], model: str, *parts: str) -> dict[str, Any]:
    """Start a recipe from a compact model, or parts of it, where it came with rm_geo.

    Some minutes of a GPU are better spent on from there than from nothing.
    """
    if model not in {record.name for record in list_models()}:
        return recipe
    started = {**recipe, "start_from": model}
    return {**started, "start_parts": list(parts)} if parts else started


def _sized(model: PlannedModel, size: str) -> dict[str, Any]:
    """Give a model's recipe the network of a size; what the recipe says itself stays."""
    network = {**network_of_size(model.kind, size), **model.recipe.get("network", {})}
    return {**model.recipe, "network": network}
