"""Options without effect are reported, one line each; options with an effect are not."""

import numpy as np
import pytest
from pyproj import CRS

from rm_geo.inference.methods import open_method
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.pipeline.dry_run import dry_run
from rm_geo.pipeline.predict import predict
from rm_geo.pipeline.unused_options import unused_options
from rm_geo.progress import SilentProgress


def lines(method="idw", model=None, **chosen):
    opened = open_method(method, model=model, device="cpu")
    return unused_options(PredictOptions(method=method, model=model, **chosen), opened)


def test_nothing_is_said_of_options_that_were_not_chosen():
    assert lines() == []


def test_a_mask_needs_buildings_and_its_threshold_a_mask():
    (line,) = lines(mask=True, mask_threshold=0.7)
    assert line.startswith("`mask` ")
    assert "'idw'" in line
    (line,) = lines(mask_threshold=0.7)
    assert line.startswith("`mask_threshold` ")
    assert lines(mask_threshold="auto") == []


@pytest.mark.parametrize(
    ("method", "model", "corrected", "knows"),
    [
        ("idw", None, True, False),
        ("ordinary-kriging", None, True, True),
        ("radiocycle", None, False, True),
        ("radiocycle", "radiocycle-paper-single-loss-ablation-s", False, False),
        ("radiocycle", "radiocycle-paper-single-loss-ablation-s", True, True),
    ],
)
def test_few_methods_know_a_deviation_and_corrected_networks_do(method, model, corrected, knows):
    if model is not None:
        pytest.importorskip("torch")
    mask = method == "radiocycle"
    said = lines(method, model, uncertainty=True, mask=mask, assimilate=corrected)
    assert (said == []) == knows
    assert all((model or method) in line for line in said)


def test_a_run_and_its_rehearsal_say_it_once(tmp_path):
    class Log(SilentProgress):
        def __init__(self):
            self.said = []

        def log(self, message):
            self.said.append(message)

    x, y = np.random.default_rng(0).uniform(0, 40, (2, 30))
    points = Measurements(
        x=x,
        y=y,
        rsrp_dbm=np.full(30, -80, np.float32),
        cell=np.array(["7", "8"] * 15, dtype=object),
        crs=CRS.from_epsg(32633),
    )
    options = PredictOptions(method="nearest", reach_m=10.0, mask=True, uncertainty=True)
    for run in (
        lambda log: predict(points, tmp_path, options, log),
        lambda log: dry_run(points, options, log),
    ):
        log = Log()
        run(log)
        assert sum("does nothing" in line for line in log.said) == 2
