"""Options of a prediction: one model for keywords, tables, YAML files and the command line."""

import json
import pickle
import subprocess
import sys

import pytest
from click.testing import CliRunner
from pyproj import CRS

from rm_geo.cli.group import rm_geo
from rm_geo.cli.option_names import option_names
from rm_geo.errors import ConfigError, InputError, UsageError, in_words_of
from rm_geo.options import GridOptions, PredictOptions, option_fields, option_named
from rm_geo.pipeline.options_file import read_options, write_options


def test_flat_names_and_groups_give_the_same_options():
    flat = PredictOptions(method="idw", reach_m=50, device="cpu")
    assert flat == PredictOptions(method={"name": "idw", "device": "cpu"}, grid={"reach_m": 50})
    assert flat == PredictOptions(method="idw", device="cpu", grid=GridOptions(reach_m=50))
    assert flat.replace(reach_m=20).grid == GridOptions(reach_m=20)
    assert flat.replace(reach_m=20).method.name == "idw"
    assert flat.replace(grid=GridOptions(resolution_m=2)).grid.resolution_m == 2.0


def test_a_flat_name_takes_precedence_over_its_group():
    assert PredictOptions(reach_m=5, grid={"reach_m": 7, "min_pixels": 1}).grid == GridOptions(
        reach_m=5, min_pixels=1
    )


def test_options_are_immutable_and_pickled():
    options = PredictOptions(crs=CRS.from_epsg(32633), cells=["7"])
    with pytest.raises(Exception, match="frozen"):
        options.grid.reach_m = 3.0
    assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301 - own bytes


@pytest.mark.parametrize(
    ("values", "parameter", "words"),
    [
        ({"reach_m": -1}, "reach_m", "`reach_m` must be greater than or equal to 0, not -1"),
        ({"reach_m": "far"}, "reach_m", "`reach_m` must be a valid number, not 'far'"),
        ({"reach_m": True}, "reach_m", "must not be true or false"),
        ({"reach_m": float("nan")}, "reach_m", "must be a finite number"),
        ({"overlap_px": 256}, "overlap_px", "`overlap_px` must be in 0..255 pixels"),
        ({"method_weight": 2}, "method_weight", "less than or equal to 1"),
        ({"method_weight": 0.5, "assimilate": False}, "method_weight", "`assimilate=False`"),
        ({"buildings_layer": "x"}, "buildings_layer", "needs the file of the `buildings`"),
        ({"bbox": "1,2,3"}, "bbox", "four numbers"),
        ({"bbox": (3, 0, 1, 2)}, "bbox", "in the order west"),
        ({"method_options": ["neighbors"]}, "method_options", "is not KEY=VALUE"),
        ({"grid": {"reach_m": -1}}, "reach_m", "greater than or equal to 0"),
    ],
)
def test_an_invalid_value_names_its_parameter(values, parameter, words):
    with pytest.raises(UsageError) as caught:
        PredictOptions(**values)
    assert caught.value.parameter == parameter
    assert words in caught.value.message


@pytest.mark.parametrize("values", [{"reach": 5}, {"grid": {"reach": 5}}])
def test_an_unknown_name_is_refused_with_the_closest_one(values):
    with pytest.raises(UsageError, match=r"Unknown option 'reach'. Did you mean 'reach_m'\?"):
        PredictOptions(**values)


def test_short_names_are_those_of_the_command_line():
    assert option_named("tile_size").name == "tile_size_px"
    assert option_named("cell").name == "cells"
    command = rm_geo.get_command(None, "predict")
    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert {f"--{f.short_name.replace('_', '-')}" for f in option_fields().values()} <= flags
    assert {name for name in option_fields() if option_names()[name] not in flags} == set()


def test_every_option_is_described():
    assert all(field.info.description.endswith(".") for field in option_fields().values())


def test_a_file_of_options_is_read_back_as_it_was_written(tmp_path):
    options = PredictOptions(
        method="knn",
        method_options={"neighbors": 3},
        crs=CRS.from_epsg(32633),
        bbox=(1, 2, 3, 4),
        cells=("7", "Mast 8"),
        sites=tmp_path / "sites.csv",
    )
    write_options(tmp_path / "options.yaml", options)
    again = read_options(tmp_path / "options.yaml")
    assert again == options.replace(crs="EPSG:32633")
    write_options(tmp_path / "again.yaml", again)
    assert (tmp_path / "again.yaml").read_text() == (tmp_path / "options.yaml").read_text()


def test_a_file_of_options_may_have_short_names_and_paths_beside_it(tmp_path):
    path = tmp_path / "options.yaml"
    path.write_text(
        "method: idw\nreach: 40\nsites: sites.csv\ngrid: {resolution: 2}\nnoise: null\n"
    )
    options = read_options(path)
    assert (options.method.name, options.grid.reach_m, options.grid.resolution_m) == ("idw", 40, 2)
    assert options.site.sites == tmp_path / "sites.csv"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("reach: -4", "`reach_m` must be greater than or equal to 0, not -4 (in {path})"),
        ("reech: 4", "Unknown option 'reech' (in {path})"),
        ("- 4", "{path} is not a mapping"),
        ("a: [", "{path} is not YAML"),
        ("[" * 2000 + "]" * 2000, "{path} is not usable YAML: there are more than 60 levels"),
        (" " * (1 << 22) + "reach: 4", "{path} has more than 4 MiB"),
    ],
)
def test_a_bad_file_of_options_is_named(tmp_path, text, words):
    path = tmp_path / "options.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_options(path)
    assert words.format(path=path) in caught.value.message
    assert caught.value.path == path
    with pytest.raises(InputError, match="does not exist"):
        read_options(tmp_path / "none.yaml")


def test_the_command_line_takes_precedence_over_the_file_and_names_its_own_options(tmp_path):
    path = tmp_path / "options.yaml"
    path.write_text("reach: 40\nmethod: idw\n")
    arguments = ["predict", "none.csv", "-o", str(tmp_path / "out"), "--config", str(path)]
    result = CliRunner().invoke(rm_geo, [*arguments, "--reach", "-3"])
    assert result.exit_code == 2
    assert "Error: --reach must be greater than or equal to 0, not '-3'." in result.stderr
    path.write_text("reach: -40\n")
    result = CliRunner().invoke(rm_geo, [*arguments, "--json"])
    assert result.exit_code == 2
    message = json.loads(result.stdout)["message"]
    assert message.startswith("--reach must be")
    assert str(path) in message


def test_the_method_weight_has_an_alias(tmp_path):
    for option in ("--method-weight", "--trust"):
        result = CliRunner().invoke(rm_geo, ["predict", "x", "-o", str(tmp_path), option, "7"])
        assert "Error: --method-weight must be less than or equal to 1" in result.stderr


def test_only_known_names_are_translated():
    text = "`reach_m` of `a{b}.csv` and a stray ` sign"
    assert in_words_of({"reach_m": "--reach"}, text) == "--reach of `a{b}.csv` and a stray ` sign"


def test_help_does_not_import_pydantic():
    code = (
        "import sys; from rm_geo.cli.group import rm_geo\n"
        "rm_geo(['--help'], standalone_mode=False); print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
