"""Options that do nothing beside the others: worth a line, and no error."""

from __future__ import annotations

from rm_geo.inference.methods import OpenMethod
from rm_geo.options import OutputOptions, PredictOptions


def unused_options(options: PredictOptions, method: OpenMethod) -> list[str]:
    """Say of each option that was chosen and does nothing why that is so.

    Parameters
    ----------
    options : PredictOptions
        How the road is taken.
    method : OpenMethod
        What maps on it.

    Returns
    -------
    list of str
        A sentence for each, by the names of the command line.
    """
    name = method.estimator.name
    lines = []
    if options.output.mask and not method.estimator.maps_buildings:
        lines.append(f"`mask` does nothing here: the method {name!r} maps no buildings.")
    usual = OutputOptions.model_fields["mask_threshold"].default
    if not options.output.mask and options.output.mask_threshold != usual:
        lines.append("`mask_threshold` does nothing without `mask`.")
    # Few methods know it, and of RadioCycle's models those of one kind: the others do not say.
    if options.output.uncertainty and not getattr(method.estimator, "predicts_std", False):
        model = method.provenance.get("model")
        whose = f"the method {name!r}" if model is None else f"the model {model!r}"
        lines.append(f"`uncertainty` does nothing here: {whose} knows no standard deviation.")
    return lines
