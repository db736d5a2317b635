"""Warnings about options that have no effect together with the others."""

from __future__ import annotations

from rm_geo.inference.methods import OpenMethod
from rm_geo.options import PredictOptions


def unused_options(options: PredictOptions, method: OpenMethod) -> list[str]:
    """Explain each option that was set and has no effect.

    Parameters
    ----------
    options : PredictOptions
        Options of the run.
    method : OpenMethod
        Opened method of the run.

    Returns
    -------
    list of str
        One sentence per option, which names the option in backquotes.

    Examples
    --------
    >>> from rm_geo.inference.methods import open_method
    >>> unused_options(PredictOptions(method="idw", mask=True), open_method("idw", device="cpu"))
    ["`mask` does nothing here: the method 'idw' maps no buildings."]
    """
    name = method.estimator.name
    lines = []
    if options.output.mask and not method.estimator.maps_buildings:
        lines.append(f"`mask` does nothing here: the method {name!r} maps no buildings.")
    if not options.output.mask and options.output.mask_threshold is not None:
        lines.append("`mask_threshold` does nothing without `mask`.")
    # Only some methods have the attribute; a corrected network has the deviations of the map.
    own_std = getattr(method.estimator, "predicts_std", False)
    corrected = options.method.assimilate and method.is_network
    if options.output.uncertainty and not (own_std or corrected):
        model = method.provenance.get("model")
        source = f"the method {name!r}" if model is None else f"the model {model!r}"
        lines.append(f"`uncertainty` does nothing here: {source} gives no standard deviation.")
    return lines
