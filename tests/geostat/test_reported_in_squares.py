"""Cells that are reported at all in squares of samples."""

import numpy as np
import pytest

from rm_geo.geostat.reported_in_squares import ReportedInSquares
from rm_geo.geostat.reporting import ReportedProbability
from rm_geo.validation.metrics import area_under_curve


def squares(seed=0, side=14):
    """Squares of 50 m with 3 to 3000 samples, and two cells that fade eastward and southward."""
    rng = np.random.default_rng(seed)
    position = 50.0 * np.argwhere(np.ones((side, side), dtype=bool))
    samples = np.round(10.0 ** rng.uniform(0.5, 3.5, len(position)))
    true = 0.2 * np.exp(-position / 80.0)
    reported = rng.binomial(samples.astype(int)[:, None], true)
    return position, reported / samples[:, None], samples


def test_the_number_of_samples_tells_more_than_the_share_alone():
    position, share, samples = squares()
    held = np.arange(len(position)) % 3 == 0
    found = ReportedInSquares.fit(position[~held], share[~held], samples[~held], block_m=100.0)
    probability = found.at(position[held], samples[held])
    shares = np.column_stack(
        [ReportedProbability.fit(position[~held], one[~held]).at(position[held]) for one in share.T]
    )
    truth = (share[held] > 0.0).ravel()
    area = area_under_curve(probability.ravel(), truth)
    assert area > 0.9
    assert area > area_under_curve(shares.ravel(), truth) + 0.02
    assert probability.shape == (held.sum(), 2)
    assert np.mean((probability.ravel() - truth) ** 2) < 0.15


def test_more_samples_make_a_report_more_probable():
    position, share, samples = squares()
    found = ReportedInSquares.fit(position, share, samples)
    place = np.repeat([[300.0, 300.0]], 4, axis=0)
    probability = found.at(place, np.array([1, 10, 100, 1000]))
    assert (np.diff(probability, axis=0) > 0.0).all()
    assert ((probability > 0.0) & (probability < 1.0)).all()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_squares_that_all_report_alike_are_refused(share):
    position, _, samples = squares()
    with pytest.raises(ValueError, match="with and without"):
        ReportedInSquares.fit(position, np.full((len(position), 2), share), samples)


def test_one_square_is_refused():
    with pytest.raises(ValueError, match="several blocks"):
        ReportedInSquares.fit(np.zeros((1, 2)), np.ones((1, 1)), np.ones(1))
