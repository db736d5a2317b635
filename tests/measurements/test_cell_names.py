"""Names of cells become names of files: safe on every file system, unique, readable."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.measurements.cell_names import MAX_BYTES, safe_file_name, safe_file_names

CELLS = st.one_of(st.none(), st.text(max_size=400), st.sampled_from(["..", "CON", "a/b", "a"]))
FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\s]')
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{p}{n}" for p in ("COM", "LPT") for n in range(10))}


@settings(max_examples=200, deadline=None)
@given(cell=CELLS)
def test_file_name_is_safe(cell: str | None) -> None:
    name = safe_file_name(cell)
    assert 0 < len(name.encode()) <= MAX_BYTES
    assert not FORBIDDEN.search(name)
    assert not name.startswith((".", "-", "_"))
    assert not name.endswith((".", " "))
    assert ".." not in name
    assert name.split(".")[0].upper() not in RESERVED


@settings(max_examples=100, deadline=None)
@given(cells=st.lists(CELLS, max_size=12))
def test_names_are_unique_even_where_case_is_ignored(cells: list[str | None]) -> None:
    names = safe_file_names(cells)
    assert set(names) == set(cells)
    assert len({name.casefold() for name in names.values()}) == len(set(cells))
    assert all(len(name.encode()) <= MAX_BYTES for name in names.values())


@settings(max_examples=50, deadline=None)
@given(cells=st.lists(CELLS, max_size=8, unique=True), seed=st.randoms())
def test_the_order_of_the_cells_does_not_matter(cells, seed) -> None:
    shuffled = list(cells)
    seed.shuffle(shuffled)
    assert safe_file_names(cells) == safe_file_names(shuffled)


@pytest.mark.parametrize(
    "cell", ["40", "310-260-1234", "Berlin_Mitte.1", "Zürich", "東京-1", "a+b"]
)
def test_safe_name_is_unchanged(cell: str) -> None:
    assert safe_file_name(cell) == cell


@pytest.mark.parametrize(
    ("cell", "start"),
    [
        ("../../etc/passwd", "etc_passwd-"),
        ("site 7/sector A", "site_7_sector_A-"),
        ("CON", "cell_CON-"),
        ("nul.txt", "cell_nul.txt-"),
        ("a\nb\x00c", "a_b_c-"),
        ("x" * 300, "xxxxxxxx"),
        ("..", "cell-"),
    ],
)
def test_unsafe_name_stays_readable(cell: str, start: str) -> None:
    assert safe_file_name(cell).startswith(start)


def test_a_cell_without_a_name_is_unknown() -> None:
    assert safe_file_name(None) == safe_file_name("  ") == "unknown"


def test_names_with_equal_safe_form_are_distinct() -> None:
    assert safe_file_name("A/B") != safe_file_name("A:B")


def test_names_that_differ_in_case_are_distinct() -> None:
    names = safe_file_names(["Cell", "cell", None, "unknown"])
    assert len({name.lower() for name in names.values()}) == 4
