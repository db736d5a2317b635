"""Probability that a cell is reported, and levels where it was not."""

from __future__ import annotations

import numpy as np
import pytest

from rm_geo.errors import UsageError
from rm_geo.geostat.reporting import (
    ReportedNodes,
    ReportedProbability,
    SharedWeights,
    reported_probability,
)
from rm_geo.raster.log_bins import LogBins


def _log(level_dbm: np.ndarray, position_m: np.ndarray) -> LogBins:
    count = np.isfinite(level_dbm).astype(np.int32)
    names = tuple(f"c{number}" for number in range(level_dbm.shape[1]))
    visits = np.ones(len(level_dbm), np.int32)
    return LogBins(position_m, level_dbm.astype(np.float32), count, visits, names)


def _streets(step_m: float = 5.0, size_m: float = 600.0) -> np.ndarray:
    """Bins along the streets of a grid of blocks of 100 m."""
    along = np.arange(0.0, size_m, step_m)
    across = np.arange(0.0, size_m, 100.0)
    first = np.stack(np.meshgrid(along, across), -1).reshape(-1, 2)
    return np.unique(np.concatenate([first, first[:, ::-1]]), axis=0)


class TestReportedProbability:
    def test_tells_reported_places_from_others_in_blocks_that_were_not_visited(self) -> None:
        place = _streets()
        rng = np.random.default_rng(1)
        inside = np.hypot(*(place - 250).T) + rng.normal(0, 20, len(place)) < 180
        hidden = ((place // 50).astype(int).sum(axis=1) % 5) == 0
        found = ReportedProbability.fit(place[~hidden], inside[~hidden]).at(place[hidden])
        truth = inside[hidden].astype(float)
        order = np.argsort(np.argsort(found))
        positive = truth.sum()
        ranks = (order[truth > 0] + 1).sum() - positive * (positive + 1) / 2
        assert ranks / (positive * (truth.size - positive)) > 0.95
        assert np.mean((found - truth) ** 2) < 0.09

    def test_is_a_probability_everywhere(self) -> None:
        place = _streets()
        found = ReportedProbability.fit(place, np.arange(len(place)) % 3 == 0)
        at = np.random.default_rng(0).uniform(-2000, 3000, (200, 2))
        assert np.all((found.at(at) >= 0) & (found.at(at) <= 1))

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_is_constant_where_all_visits_agree(self, value: float) -> None:
        found = ReportedProbability.fit(np.zeros((4, 2)), np.full(4, value))
        assert found.at(np.array([[1.0, 2.0]])).tolist() == [value]

    def test_accepts_shares(self) -> None:
        place = np.array([[0.0, 0.0], [100.0, 0.0]])
        found = ReportedProbability.fit(place, np.array([0.2, 0.6]))
        assert 0.25 < found.at(np.array([[50.0, 0.0]]))[0] < 0.55

    def test_refuses_no_place(self) -> None:
        with pytest.raises(ValueError, match="at least one visited place"):
            ReportedProbability.fit(np.empty((0, 2)), np.empty(0))

    def test_three_readings_of_a_cell_do_not_spread_over_the_drive(self) -> None:
        place = _streets()
        level = np.full((len(place), 2), -90.0)
        level[:, 1] = np.nan
        level[:3, 1] = -110.0
        found = reported_probability(_log(level, place), place)
        assert np.all(found[:, 0] == 1.0)
        assert found[:3, 1].min() > 0.5
        assert found[np.hypot(*(place - place[0]).T) > 60, 1].max() < 0.1

    def test_cells_that_never_overlap(self) -> None:
        place = np.column_stack([np.arange(0.0, 1000.0, 5.0), np.zeros(200)])
        level = np.full((200, 2), np.nan)
        level[:100, 0] = level[100:, 1] = -90.0
        found = reported_probability(_log(level, place), place)
        assert np.allclose(found.sum(axis=1), 1.0, atol=1e-6)

    def test_five_hundred_cells(self) -> None:
        place = np.column_stack([np.arange(0.0, 250.0, 5.0), np.zeros(50)])
        level = np.where(np.random.default_rng(0).random((50, 500)) < 0.1, -100.0, np.nan)
        assert reported_probability(_log(level, place), place).shape == (50, 500)

    def test_cells_are_chosen_by_name(self) -> None:
        level = np.array([[-90.0, np.nan]])
        log = _log(level, np.zeros((1, 2)))
        assert reported_probability(log, np.zeros((1, 2)), ["c1"]).tolist() == [[0.0]]
        with pytest.raises(UsageError, match="no cell 'c2'"):
            reported_probability(log, np.zeros((1, 2)), ["c2"])


class TestReportedNodes:
    """Probabilities on a lattice, whose kriging weights the cells of a log share."""

    @staticmethod
    def _bins() -> LogBins:
        place = _streets(size_m=400.0)
        level = np.full((len(place), 3), -90.0)
        level[place[:, 0] > 200.0, 0] = np.nan
        level[place[:, 1] > 200.0, 1] = np.nan
        return _log(level, place)

    @pytest.mark.parametrize("kept", [256, 1])
    def test_they_are_those_of_each_cell_alone(
        self, kept: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rm_geo.geostat.reporting._MOST_TILES", kept)
        bins = self._bins()
        node = np.random.default_rng(0).integers(-10, 60, (300, 2))
        nodes = ReportedNodes(bins, (3.0, 380.0), 8.0)
        position = np.column_stack([3.0 + 8.0 * node[:, 1], 380.0 - 8.0 * node[:, 0]])
        expected = reported_probability(bins, position)
        for column, cell in enumerate(bins.cells):
            np.testing.assert_allclose(nodes.at(cell, node), expected[:, column], atol=1e-7)

    def test_a_lattice_is_computed_once(self) -> None:
        weights = SharedWeights(self._bins())
        assert weights.nodes((1.0, 2.0), 8.0) is weights.nodes((1.0, 2.0), 8.0)
        assert weights.nodes((1.0, 2.0), 8.0) is not weights.nodes((1.5, 2.0), 8.0)
