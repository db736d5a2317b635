"""Names of methods: complete, distinct, forgiving, and light to list."""

import subprocess
import sys

import pytest

from rm_geo.errors import UsageError
from rm_geo.estimators.registry import get_method, list_methods, method_info

CLASSICAL = [info.name for info in list_methods() if not info.is_network]


def test_names_are_distinct_and_have_a_summary():
    names = [info.name for info in list_methods()]
    assert len(set(names)) == len(names)
    assert all(info.summary for info in list_methods())
    assert {"radiocycle", "mars", "interpolation-net"} <= set(names)


@pytest.mark.parametrize("name", CLASSICAL)
def test_what_is_listed_can_be_made_and_is_called_so(name):
    if name == "ordinary-kriging":
        pytest.importorskip("pykrige")
    estimator = get_method(name)
    assert estimator.name == name
    assert estimator.maps_buildings == method_info(name).maps_buildings


def test_case_blanks_and_underscores_are_forgiven():
    assert get_method(" Random_Forest ").name == "random-forest"


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean ordinary-kriging"):
        get_method("kriging-ordinary")
    with pytest.raises(UsageError, match="Known: radiocycle"):
        get_method("zzzzzz")


def test_an_unknown_option_is_answered_with_the_known():
    with pytest.raises(UsageError, match=r"no option k\..*neighbors"):
        get_method("knn", k=3)


def test_options_reach_the_method():
    assert get_method("knn", neighbors=8).provenance["neighbors"] == "8"


def test_listing_imports_nothing_heavy():
    code = (
        "import sys; from rm_geo.estimators.registry import list_methods; list_methods();"
        "print(*sorted({'torch', 'sklearn', 'scipy', 'pykrige', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("knn", {"neighbors": 0}),
        ("knn", {"neighbors": "many"}),
        ("knn", {"neighbors": True}),
        ("knn", {"neighbors": 2.5}),
        ("idw", {"power": -1}),
        ("idw", {"power": float("nan")}),
        ("random-forest", {"trees": -3}),
        ("random-forest", {"seed": -1}),
        ("rbf", {"smoothing": "much"}),
        ("ordinary-kriging", {"neighbors": 0}),
        ("matrix-completion", {"iterations": 0}),
    ],
)
def test_parameters_out_of_their_bounds_are_refused_by_name(method, options):
    with pytest.raises(UsageError, match=f"{next(iter(options))} of {method} must be"):
        get_method(method, **options)
