"""One progress over all cells of a run."""

import pytest

from rm_geo.progress import SilentProgress
from rm_geo.worker.progress import RunProgress


class Counted(SilentProgress):
    """Counts the pixels that are done."""

    done = 0

    def advance(self, amount=1):
        assert amount > 0
        self.done += amount


@pytest.fixture
def counted():
    return Counted()


@pytest.fixture
def run(counted):
    return RunProgress(counted, {"7": 100, "8": 200, "9": 100})


def test_a_cell_counts_beside_the_map_of_the_one_before(run, counted):
    for cell, part, done in (
        ("7", 0.5, 50),
        ("8", 0.25, 100),
        ("7", 1.0, 150),
        ("8", 0.5, 200),
        ("9", 0.5, 250),
        ("8", 1.0, 350),
        ("9", 1.0, 400),
    ):
        run.at(cell, part)
        assert counted.done == done


def test_cells_that_report_nothing_count_once_a_later_one_does(run, counted):
    run.at("7", 1.0)
    run.at("9", 0.5)
    assert counted.done == 350
    run.at("9", 1.0)
    assert counted.done == 400


def test_a_cell_that_failed_in_its_map_counts_at_the_end(run, counted):
    run.at("7", 0.5)
    run.at("8", 0.5)
    run.at("8", 1.0)
    run.at("9", 1.0)
    assert counted.done == 400
