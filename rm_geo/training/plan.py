"""Plan of the full-size models: networks of the papers, their ablations, and improved ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rm_geo.datasets.splits import MARS_SETTING_I
from rm_geo.training.builtin_recipes import builtin_recipe, network_of_size
from rm_geo.zoo.catalog import list_models


@dataclass(frozen=True)
class PlannedModel:
    """Model to train.

    Attributes
    ----------
    key : str
        Key of the default models that it is used for.
    kind : str
        Kind of network.
    recipe : mapping
        Recipe for :func:`~rm_geo.training.run.read_config`, without data and budget.
    share : float
        Weight of the model in the distribution of the minutes.
    summary : str
        One line for the model card.
    by_default : bool
        Whether it is trained unless models are selected.
    """

    key: str
    kind: str
    recipe: Mapping[str, Any]
    share: float
    summary: str
    by_default: bool = True


def _super_resolution(
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
    """Plan a super-resolution network by a built-in recipe, at a scale."""
    recipe = builtin_recipe(kind, name)
    recipe["network"] = {**recipe.get("network", {}), "scale": scale}
    if split is not None:
        recipe["split"] = split
    return PlannedModel(key, kind, recipe, share, summary, by_default)


def full_size_plan(size: str = "full") -> tuple[PlannedModel, ...]:
    """Return the plan of all models.

    Parameters
    ----------
    size : {"full", "s"}
        Sizes of the papers, or compact ones for a trial.

    Returns
    -------
    tuple of PlannedModel
    """
    plan = (
        *_radio_map_models(),
        *_super_resolution_models(),
        *_models_on_request(),
        *_setting_one_models(),
    )
    return tuple(replace(model, recipe=_sized(model, size)) for model in plan)


def _radio_map_models() -> tuple[PlannedModel, ...]:
    """Plan the networks that make radio maps from measurements."""
    field = _started(
        {
            "loop": {"learning_rate": 1e-3},
            "task": {"batch": 64, "crop": 128, "coarse_shares": [0.2, 0.1]},
        },
        "radiocycle-drive-s",
    )
    return (
        PlannedModel(
            "radiocycle-ml-dwa-sampled",
            "radiocycle",
            _published("ml-dwa-sampled"),
            8,
            "RadioCycle: dual losses on sampled maps, with dynamic weight averaging.",
        ),
        PlannedModel(
            "radiocycle", "radiocycle-drive", field, 8, "RadioCycle for drive tests, full size."
        ),
        PlannedModel(
            "ray-buildings",
            "ray-buildings",
            builtin_recipe("ray-buildings", "drives"),
            3,
            "Buildings from the lines between the sites and the measurements of many cells.",
        ),
        PlannedModel(
            "interpolation-net",
            "interpolation-net",
            builtin_recipe("interpolation-net", "paper"),
            3,
            "InterpolationNet: RadioCycle's baseline.",
        ),
    )


def _super_resolution_models() -> tuple[PlannedModel, ...]:
    """Plan the networks that refine radio maps, for planners' rasters and as published."""
    return (
        _super_resolution(
            "mars-4",
            "mars",
            4,
            "plus",
            3,
            "MARS 4x that reads a mask of buildings and corrects bilinear.",
        ),
        _super_resolution(
            "mars-8",
            "mars",
            8,
            "plus",
            2,
            "MARS 8x that reads a mask of buildings and corrects bilinear.",
        ),
        _super_resolution(
            "superres-4",
            "mars",
            4,
            "field",
            3,
            "MARS 4x for planners' rasters: means of cells, any power.",
        ),
        _super_resolution(
            "superres-4-buildings",
            "mars",
            4,
            "field-walls",
            2,
            "MARS 4x for planners' rasters that come with outlines of the buildings.",
        ),
        _super_resolution(
            "mars-4-paper", "mars", 4, "paper", 3, "MARS 4x as published, setting II."
        ),
        _super_resolution(
            "mars-8-paper", "mars", 8, "paper", 2, "MARS 8x as published, setting II."
        ),
        _super_resolution(
            "srresnet-4", "srresnet", 4, "paper", 1.5, "SRResNet 4x, MARS's baseline, setting II."
        ),
        _super_resolution(
            "supreme-4", "supreme", 4, "paper", 1.5, "Supreme 4x, MARS's baseline, setting II."
        ),
    )


def _models_on_request() -> tuple[PlannedModel, ...]:
    """Plan the models that are trained only if they are selected."""
    return (
        _super_resolution(
            "superres-8",
            "mars",
            8,
            "field",
            2,
            "MARS 8x for planners' rasters: means of cells, any power.",
            by_default=False,
        ),
        _super_resolution(
            "superres-8-buildings",
            "mars",
            8,
            "field-walls",
            2,
            "MARS 8x for planners' rasters that come with outlines of the buildings.",
            by_default=False,
        ),
        PlannedModel(
            "radiocycle-ml-dwa",
            "radiocycle",
            _published("ml-dwa"),
            4,
            "RadioCycle as published: dual losses with dynamic weight averaging.",
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
        _super_resolution(
            "srresnet-8",
            "srresnet",
            8,
            "paper",
            1,
            "SRResNet 8x, MARS's baseline, setting II.",
            by_default=False,
        ),
        _super_resolution(
            "supreme-8",
            "supreme",
            8,
            "paper",
            1,
            "Supreme 8x, MARS's baseline, setting II.",
            by_default=False,
        ),
    )


def _published(name: str) -> dict[str, Any]:
    """Return a recipe of the published pair, with F initialised from the compact model."""
    return _started(builtin_recipe("radiocycle", name), "radiocycle-paper-single-loss-s", "F")


def _setting_one_models() -> Iterator[PlannedModel]:
    """Yield the models for setting I of the MARS paper.

    The other models cannot be used for it: they are trained on its test transmitters.
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
            yield _super_resolution(
                key, kind, scale, name, 1.5, summary, by_default=False, split=MARS_SETTING_I.name
            )


def _started(recipe: dict[str, Any], model: str, *parts: str) -> dict[str, Any]:
    """Add the initial weights of a compact model, or of parts of it, to a recipe.

    The recipe is unchanged if the model is not installed. A short training on a GPU gives a
    better result from these weights than from random ones.
    """
    if model not in {record.name for record in list_models()}:
        return recipe
    started = {**recipe, "start_from": model}
    return {**started, "start_parts": list(parts)} if parts else started


def _sized(model: PlannedModel, size: str) -> dict[str, Any]:
    """Return the recipe of a model with the network of a size, without overriding its own keys."""
    network = {**network_of_size(model.kind, size), **model.recipe.get("network", {})}
    return {**model.recipe, "network": network}
