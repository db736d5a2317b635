"""Channel numbers become frequencies by the formulas of 3GPP."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rm_geo.sites.arfcn import carrier_mhz, earfcn_to_mhz, nr_arfcn_to_mhz


@pytest.mark.parametrize(
    ("earfcn", "mhz"),
    [
        (0, 2110.0),
        (300, 2140.0),
        (1300, 1815.0),
        (2850, 2630.0),
        (3600, 940.0),
        (5035, 731.5),
        (6300, 806.0),
        (9410, 778.0),
        (39150, 2350.0),
        (55990, 3625.0),
        (66536, 2120.0),
        (68686, 627.0),
    ],
)
def test_lte(earfcn: int, mhz: float) -> None:
    assert earfcn_to_mhz(earfcn) == pytest.approx(mhz)
    assert carrier_mhz(earfcn) == pytest.approx(mhz)


@pytest.mark.parametrize(
    ("nr_arfcn", "mhz"),
    [
        (156510, 782.55),
        (431530, 2157.65),
        (600000, 3000.0),
        (636666, 3549.99),
        (2016667, 24250.08),
        (2070833, 27500.04),
    ],
)
def test_nr(nr_arfcn: int, mhz: float) -> None:
    assert nr_arfcn_to_mhz(nr_arfcn) == pytest.approx(mhz)
    assert carrier_mhz(nr_arfcn) == pytest.approx(mhz)


@given(first=st.integers(0, 3_279_164))
def test_the_nr_raster_rises(first: int) -> None:
    here, there = nr_arfcn_to_mhz(first), nr_arfcn_to_mhz(first + 1)
    assert here is not None
    assert there is not None
    assert here < there


@pytest.mark.parametrize("channel", [-1, 75000, 5e6, 1300.5, float("nan"), float("inf")])
def test_numbers_of_no_band(channel: float) -> None:
    assert carrier_mhz(channel) is None
