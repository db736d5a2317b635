"""Which trained network refines rasters at a scale."""

from __future__ import annotations

from pathlib import Path

from rm_geo.errors import ModelError, UsageError
from rm_geo.zoo.catalog import ModelRecord, default_model, describe_network, find_model, list_models
from rm_geo.zoo.kinds import SUPERRES_KINDS


def refining_model(scale: int, model: str | Path | None, *, takes_buildings: bool) -> ModelRecord:
    """Find the model for a scale, one that reads buildings or one that does not.

    Parameters
    ----------
    scale : int
        Fine pixels along each coarse one.
    model : str or Path or None
        Name in the index, or a file; the default of the scale if None.
    takes_buildings : bool
        Whether buildings are known.

    Returns
    -------
    ModelRecord

    Raises
    ------
    ModelError
        If there is none, or the one that is named is of another kind or scale.
    UsageError
        If the scale cannot be meant.
    """
    if scale < 1:
        raise UsageError(f"A scale of {scale} refines nothing.", hint="Use `scale` 4.")
    if model is None:
        scales = sorted(
            {
                record.scale
                for record in list_models()
                if record.kind in SUPERRES_KINDS and record.scale
            }
        )
        if scale not in scales:
            raise ModelError(
                f"No trained model that refines {scale}x comes with this installation.",
                hint=f"Scales: {', '.join(map(str, scales)) or 'none'}. Give a model of your own "
                "with `model`.",
            )
        if takes_buildings:
            return _model_with_known_buildings(scale)
        try:  # the model for rasters of means, where it is another than the one for points
            return default_model(f"superres-{scale}")
        except ModelError:
            return default_model(f"mars-{scale}")
    record = find_model(model)
    if record.kind not in SUPERRES_KINDS:
        raise ModelError(
            f"The model {record.name!r} ({record.path}) is a {record.kind!r} network, which "
            "refines no rasters.",
            hint=f"Use one of kind {', '.join(SUPERRES_KINDS)}; 'rm-geo models list' shows them.",
        )
    if record.scale is not None and record.scale != scale:
        raise ModelError(
            f"The model {record.name!r} refines {record.scale}x, not {scale}x.",
            hint=f"Use `scale` {record.scale}, or another model.",
        )
    if bool(describe_network(record)["network"].get("walled", False)) is not takes_buildings:
        what, way = (
            ("reads no", "Leave out") if takes_buildings else ("needs the", "Give them with")
        )
        raise ModelError(
            f"The model {record.name!r} {what} buildings.",
            hint=f"{way} `buildings`, or use another model.",
        )
    return record


def _model_with_known_buildings(scale: int) -> ModelRecord:
    """Find the default model that reads buildings."""
    try:
        return default_model(f"superres-{scale}-buildings")
    except ModelError as error:
        raise ModelError(
            f"No trained model that reads buildings and refines {scale}x comes with this "
            "installation.",
            hint="Leave out `buildings`, or give a model of your own with `model`.",
        ) from error
