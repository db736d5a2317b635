"""Altered inputs give a result or a message; thousands by ``make fuzz``."""

import random

import pytest

from tests.support.fuzz import CASES

CASES_OF_EACH_KIND = 10  # 310 in all


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_altered_input_gives_a_result_or_a_message(tmp_path, case) -> None:
    for number in range(CASES_OF_EACH_KIND):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcome = case.run(folder, random.Random(f"0 {case.name} {number}"))
        assert not outcome.startswith("Fault"), f"{folder}: {outcome}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_example_of_each_kind_is_read(tmp_path, case) -> None:
    case.write(tmp_path)
    case.read(tmp_path)
