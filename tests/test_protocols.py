"""The papers' protocol on a simulated set: fair samples, pooled scores, tables on disk."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from rm_geo.cli.group import rm_geo
from rm_geo.datasets.map_numbers import format_maps, parse_maps
from rm_geo.datasets.simulated import ANTENNA_COLUMNS, FORMAT, SimulatedSet
from rm_geo.errors import InputError, UsageError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.registry import get_method
from rm_geo.evaluation.cases import Sampling, scene_cases, select_maps, select_scenes
from rm_geo.evaluation.simulated import run_protocol
from rm_geo.units import GAIN_SPAN_DB, unit_to_gain
from rm_geo.validation.corrected_estimator import AssimilatedEstimator
from rm_geo.validation.pipeline_estimator import ClassicalBaselineEstimator, PipelineEstimator
from rm_geo.validation.tables import markdown_table

SIDE = 32
SCENES, ANTENNAS = 2, 3
UNIFORM, ROUTE = Sampling("uniform", 0.2), Sampling("route", 0.05)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> SimulatedSet:
    """Two small scenes on maps 601 and 602, written as a finished set."""
    path = tmp_path_factory.mktemp("simulated")
    rng = np.random.default_rng(0)
    buildings = np.zeros((SCENES, SIDE, SIDE), bool)
    buildings[:, 8:16, 10:20] = True
    antennas = np.full((SCENES, ANTENNAS, len(ANTENNA_COLUMNS)), np.nan, np.float32)
    columns = {name: index for index, name in enumerate(ANTENNA_COLUMNS)}
    antennas[..., columns["row"]] = rng.integers(20, SIDE, (SCENES, ANTENNAS))
    antennas[..., columns["col"]] = rng.integers(0, SIDE, (SCENES, ANTENNAS))
    antennas[..., columns["height_m"]] = 1.5
    antennas[..., columns["frequency_mhz"]] = 5900.0
    rows, cols = np.indices((SIDE, SIDE))
    distance = np.hypot(rows - antennas[..., 0, None, None], cols - antennas[..., 1, None, None])
    gains = -50.0 - 25.0 * np.log10(distance + 1.0)
    gains = np.where(buildings[:, None], -200.0, gains)
    orders = np.full((SCENES, 1, SIDE, SIDE), -1, np.int16)
    orders[:, 0, 25] = np.arange(SIDE)
    orders[:, 0, 26] = np.arange(2 * SIDE - 1, SIDE - 1, -1)
    arrays = {
        "buildings": np.packbits(buildings, axis=-1),
        "heights_m": np.where(buildings, 25, 0).astype(np.uint8),
        "roads": np.packbits(orders[:, 0] >= 0, axis=-1),
        "orders": orders,
        "gains_db": gains.astype(np.float16),
        "antennas": antennas,
    }
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    manifest = {
        "format": FORMAT,
        "scene_ids": ["map_601", "map_602"],
        "map_ids": [[601], [602]],
        "arrays": {
            name: {"dtype": array.dtype.str, "shape": list(array.shape)}
            for name, array in arrays.items()
        },
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    return SimulatedSet.open(path)


class Oracle:
    """Knows the truth of the cases that it is given, and spoils it as asked."""

    provenance: dict[str, str] = {}  # noqa: RUF012 - a protocol's attribute
    name, maps_buildings = "oracle", True

    def __init__(self, cases, error_db=0.0, flip=0.0, zero_in_buildings=True):
        self.truths = list(cases)
        self.error_db, self.flip = error_db, flip
        self.zero_in_buildings = zero_in_buildings

    def estimate(self, batch):
        cases = self.truths.pop(0)
        np.testing.assert_array_equal(cases.batch.rsrp_dbm, batch.rsrp_dbm)
        probability = cases.buildings.astype(np.float32)
        return Estimate(
            unit_to_gain(cases.truth_unit) + np.asarray(self.error_db, dtype=np.float32),
            building_probability=np.abs(probability - np.float32(self.flip)),
            zero_in_buildings=self.zero_in_buildings,
        )


def all_cases(dataset, samplings, seed=0):
    for index in range(len(dataset)):
        yield from scene_cases(dataset.scene(index), samplings, ANTENNAS, seed)


class TestCases:
    def test_samples_lie_outdoors_and_say_the_truth(self, dataset):
        for cases in all_cases(dataset, [UNIFORM, ROUTE]):
            observed = cases.observed
            assert observed.any(axis=(1, 2)).all()
            assert not (observed & cases.indoor).any()
            np.testing.assert_array_equal(
                cases.batch.rsrp_dbm[observed], unit_to_gain(cases.truth_unit)[observed]
            )

    def test_uniform_samples_are_the_share_of_the_outdoor_pixels(self, dataset):
        cases = next(all_cases(dataset, [UNIFORM]))
        outdoor = (~cases.indoor).sum(axis=(1, 2))
        assert (cases.observed.sum(axis=(1, 2)) == np.round(0.2 * outdoor)).all()

    def test_routes_follow_the_drive(self, dataset):
        for cases in all_cases(dataset, [ROUTE]):
            assert set(np.nonzero(cases.observed)[1]) <= {25, 26}

    def test_samples_do_not_depend_on_what_else_is_run(self, dataset):
        scene = dataset.scene(1)
        alone = next(iter(scene_cases(scene, [ROUTE], 1, seed=3)))
        among = list(scene_cases(scene, [UNIFORM, ROUTE], ANTENNAS, seed=3))[1]
        np.testing.assert_array_equal(alone.observed[0], among.observed[0])

    def test_seeds_antennas_and_scenes_have_samples_of_their_own(self, dataset):
        first, second = all_cases(dataset, [UNIFORM], seed=0)
        other = next(all_cases(dataset, [UNIFORM], seed=1))
        assert (first.observed != other.observed).any()
        assert (first.observed[0] != first.observed[1]).any()
        assert (first.observed != second.observed).any()

    def test_transmitters_lie_in_the_middle_of_their_pixel(self, dataset):
        cases = next(all_cases(dataset, [UNIFORM]))
        strongest = cases.truth_unit[0].argmax()
        assert cases.batch.transmitter_rc[0] == pytest.approx(
            np.array(np.unravel_index(strongest, (SIDE, SIDE))) + 0.5
        )
        assert cases.batch.frequency_mhz == 5900.0
        assert cases.batch.transmitter_height_m == 1.5

    def test_mixed_antennas_are_refused(self, dataset):
        scene = dataset.scene(0)
        antennas = scene.antennas.copy()
        antennas[0, 2] = 30.0
        with pytest.raises(InputError, match="differ in height"):
            next(iter(scene_cases(replace(scene, antennas=antennas), [UNIFORM], 2, 0)))

    def test_maps_are_chosen_by_number(self, dataset):
        assert select_scenes(dataset, None) == [0, 1]
        assert select_scenes(dataset, [602, 700]) == [1]
        with pytest.raises(UsageError, match="It has 601-602"):
            select_scenes(dataset, [700])

    def test_made_up_cities_have_no_numbers_to_choose_by(self, dataset):
        cities = replace(dataset, manifest={**dataset.manifest, "map_ids": [[], []]})
        assert select_scenes(cities, None) == [0, 1]
        assert select_maps(cities, None) == ()
        with pytest.raises(UsageError, match=r"generated cities.*Omit `maps`"):
            select_scenes(cities, [601])


class TestProtocol:
    def test_the_truth_has_no_error(self, dataset):
        oracle = Oracle(all_cases(dataset, [UNIFORM]))
        (row,) = run_protocol(dataset, {"oracle": oracle}, samplings=[UNIFORM])
        assert row.maps == SCENES * ANTENNAS
        assert row.rmse_all == pytest.approx(0.0, abs=1e-6)
        assert row.rmse_outdoor_db == pytest.approx(0.0, abs=1e-4)
        assert (row.f1, row.jaccard, row.accuracy) == (1.0, 1.0, 1.0)

    def test_outdoor_errors_are_in_db_and_all_pixels_on_the_scale(self, dataset):
        oracle = Oracle(all_cases(dataset, [UNIFORM]), error_db=-2.0)
        (row,) = run_protocol(dataset, {"oracle": oracle}, samplings=[UNIFORM])
        assert row.rmse_outdoor_db == pytest.approx(2.0, abs=1e-3)
        assert row.bias_outdoor_db == pytest.approx(-2.0, abs=1e-3)
        assert row.rmse_outdoor_low_db == pytest.approx(2.0, abs=1e-3)
        assert row.rmse_outdoor_high_db == pytest.approx(2.0, abs=1e-3)
        built = 8 * 10 / SIDE**2
        assert row.rmse_all == pytest.approx(2.0 / GAIN_SPAN_DB * math.sqrt(1 - built), rel=1e-3)

    def test_a_map_that_is_0_in_buildings_is_not_painted_again(self, dataset):
        oracle = Oracle(all_cases(dataset, [UNIFORM]), flip=1.0)
        (row,) = run_protocol(dataset, {"oracle": oracle}, samplings=[UNIFORM])
        assert row.rmse_all == pytest.approx(0.0, abs=1e-6)

    def test_a_building_map_paints_all_pixels_but_not_the_outdoor_score(self, dataset):
        oracle = Oracle(all_cases(dataset, [UNIFORM]), flip=1.0, zero_in_buildings=False)
        (row,) = run_protocol(dataset, {"oracle": oracle}, samplings=[UNIFORM])
        assert row.f1 == 0.0
        assert row.rmse_all > 0.5
        assert row.rmse_outdoor_db == pytest.approx(0.0, abs=1e-4)

    def test_a_doubtful_building_map_dims_the_map_in_proportion(self, dataset):
        cases = list(all_cases(dataset, [UNIFORM]))
        truth_unit = np.concatenate([case.truth_unit for case in cases])
        oracle = Oracle(cases, flip=0.25, zero_in_buildings=False)
        (row,) = run_protocol(dataset, {"oracle": oracle}, samplings=[UNIFORM])
        assert row.f1 == 1.0
        expected = 0.25 * math.sqrt(float(np.mean(np.square(truth_unit))))
        assert row.rmse_all == pytest.approx(expected, rel=1e-3)

    def test_measured_pixels_count_outdoors_but_not_as_unobserved(self, dataset):
        (row,) = run_protocol(dataset, {"knn": get_method("knn")}, samplings=[UNIFORM])
        expected = row.rmse_outdoor_db / math.sqrt(1 - 0.2)
        assert row.rmse_unobserved_db == pytest.approx(expected, rel=0.01)

    def test_methods_without_building_maps_have_no_building_scores(self, dataset):
        (row,) = run_protocol(dataset, {"knn": get_method("knn")}, samplings=[UNIFORM])
        assert math.isnan(row.f1)
        assert "f1" not in markdown_table([row])

    def test_all_methods_get_the_same_input(self, dataset):
        seen = {"a": [], "b": []}

        class Spy:
            provenance: dict[str, str] = {}  # noqa: RUF012 - a protocol's attribute

            def __init__(self, name):
                self.name = name

            def estimate(self, batch):
                seen[self.name].append(batch.rsrp_dbm)
                return get_method("nearest").estimate(batch)

        run_protocol(dataset, {"a": Spy("a"), "b": Spy("b")}, samplings=[UNIFORM, ROUTE])
        assert len(seen["a"]) == SCENES * 2
        for first, second in zip(seen["a"], seen["b"], strict=True):
            np.testing.assert_array_equal(first, second)

    def test_assimilation_fits_the_measurements_and_keeps_the_building_map(self, dataset):
        # A constant would be taken back to the last digit everywhere, measured or not.
        rows, cols = np.indices((SIDE, SIDE))
        error_db = -6.0 + np.sin(rows / 3.0) * np.cos(cols / 4.0)

        def oracle():
            return Oracle(all_cases(dataset, [UNIFORM]), error_db=error_db)

        methods = {"plain": oracle(), "corrected": AssimilatedEstimator(oracle())}
        plain, corrected = run_protocol(dataset, methods, samplings=[UNIFORM])
        assert corrected.rmse_unobserved_db < 0.5 * plain.rmse_unobserved_db
        assert corrected.rmse_outdoor_db < corrected.rmse_unobserved_db
        assert corrected.f1 == plain.f1

    def test_the_pipeline_improves_on_the_baseline(self, dataset):
        class Sage(Oracle):
            """Knows the truth of a tile by its transmitter, however often it is asked."""

            def estimate(self, batch):
                return Estimate(
                    np.stack([self.truth_of(place) for place in batch.transmitter_rc])
                    + np.float32(self.error_db)
                )

            def truth_of(self, place):
                (found,) = {
                    unit_to_gain(truth).tobytes()
                    for cases in self.truths
                    for truth, site in zip(
                        cases.truth_unit, cases.batch.transmitter_rc, strict=True
                    )
                    if np.array_equal(site, place)
                }
                return np.frombuffer(found, np.float32).reshape(SIDE, SIDE)

        def oracle(error_db=0.0):
            return Sage(all_cases(dataset, [UNIFORM]), error_db=error_db)

        methods = {
            "classical-baseline": ClassicalBaselineEstimator(),
            "right": PipelineEstimator(oracle()),
            "shifted": PipelineEstimator(oracle(error_db=6.0)),
        }
        baseline, right, shifted = run_protocol(dataset, methods, samplings=[UNIFORM])
        assert methods["right"].name == "pipeline:oracle"
        assert right.rmse_unobserved_db < baseline.rmse_unobserved_db
        assert shifted.rmse_unobserved_db < baseline.rmse_unobserved_db  # assimilation
        assert baseline.missing == 0

    def test_tiles_without_a_measurement_stay_unknown_in_the_pipeline(self, dataset):
        nothing = TileBatch(
            rsrp_dbm=np.full((1, SIDE, SIDE), np.nan, np.float32),
            spacing_m=1.0,
            transmitter_rc=np.full((1, 2), np.nan, np.float32),
            intercept_dbm=np.full(1, np.nan, np.float32),
        )
        for estimator in (ClassicalBaselineEstimator(), PipelineEstimator(get_method("nearest"))):
            assert np.isnan(estimator.estimate(nothing).rsrp_dbm).all()

    def test_a_sampling_that_is_named_twice_is_run_once(self, dataset):
        (row,) = run_protocol(dataset, {"knn": get_method("knn")}, samplings=[UNIFORM, UNIFORM])
        assert row.maps == SCENES * ANTENNAS

    def test_fewer_transmitters_and_maps_limit_the_work(self, dataset):
        (row,) = run_protocol(
            dataset,
            {"nearest": get_method("nearest")},
            samplings=[UNIFORM],
            maps=[602],
            transmitters=2,
        )
        assert row.maps == 2


class TestSampling:
    @given(st.sampled_from(["uniform", "route"]), st.integers(1, 100))
    def test_is_read_as_it_is_written(self, kind, percent):
        sampling = Sampling.parse(f"{kind}:{percent / 100}")
        assert str(sampling) == f"{kind} {percent} %"

    @pytest.mark.parametrize("text", ["uniform", "spiral:0.1", "uniform:0", "route:1.5", "route:x"])
    def test_nonsense_is_refused(self, text):
        with pytest.raises(UsageError):
            Sampling.parse(text)


@given(st.sets(st.integers(0, 40), min_size=1))
def test_map_numbers_are_read_as_they_are_written(numbers):
    text = format_maps(numbers)
    assert parse_maps(text) == tuple(sorted(numbers))
    assert text.count(",") == sum(n + 1 not in numbers for n in numbers) - 1


def test_map_numbers_are_lists_and_ranges():
    assert parse_maps("601,605-607") == (601, 605, 606, 607)
    with pytest.raises(UsageError, match="601-700"):
        parse_maps("all")


class TestCommand:
    def run(self, *arguments):
        words = ["evaluate", "simulated", *arguments]
        return CliRunner().invoke(rm_geo, [str(word) for word in words])

    def test_writes_both_tables(self, dataset, tmp_path):
        result = self.run(
            dataset.path,
            "--methods=knn,nearest+assimilate",
            "--samplings=uniform:0.2,route:0.05",
            "--out",
            tmp_path / "out",
        )
        assert result.exit_code == 0, result.output
        with (tmp_path / "out" / "simulated.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [(row["sampling"], row["method"]) for row in rows] == [
            ("uniform 20 %", "knn"),
            ("uniform 20 %", "nearest+assimilate"),
            ("route 5 %", "knn"),
            ("route 5 %", "nearest+assimilate"),
        ]
        assert all(0.0 < float(row["rmse_outdoor_db"]) < 20.0 for row in rows)
        table = (tmp_path / "out" / "simulated.md").read_text()
        assert table.count("\n") == 2 + len(rows)
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            "simulated.csv",
            "simulated.md",
            "simulated.png",
        ]

    def test_parameters_are_those_of_the_networks(self, dataset, tmp_path):
        pytest.importorskip("torch")
        common = (dataset.path, "--samplings=uniform:0.2", "--transmitters=1", "--device=cpu")
        scores = {}
        for count in (1, 2):
            out = tmp_path / str(count)
            methods = "knn,radiocycle,pipeline:radiocycle+buildings"
            result = self.run(*common, f"--methods={methods}", f"-O symmetries={count}", "-o", out)
            assert result.exit_code == 0, result.output
            with (out / "simulated.csv").open() as file:
                scores[count] = {
                    row["method"]: row["rmse_outdoor_db"] for row in csv.DictReader(file)
                }
        changed = {name for name in scores[1] if scores[1][name] != scores[2][name]}
        assert changed == {"radiocycle", "pipeline:radiocycle+buildings"}
        for methods, option, message in (
            ("knn,classical-baseline", "symmetries=2", "is a network"),
            ("radiocycle", "symmetries=3", "1, 2, 4 or 8"),
            ("radiocycle", "neighbors=3", "neighbors"),
            ("radiocycle", "symmetries", "KEY=VALUE"),
        ):
            out = tmp_path / "none"
            result = self.run(*common, f"--methods={methods}", "-O", option, "-o", out)
            assert result.exit_code == 2, result.output
            assert message in result.output
            assert not out.exists()

    def test_errors_are_one_line_and_an_exit_code(self, dataset, tmp_path):
        unknown = self.run(dataset.path, "--methods=kn", "--out", tmp_path)
        assert (unknown.exit_code, "Did you mean knn" in unknown.output) == (2, True)
        missing = self.run(tmp_path / "nowhere", "--out", tmp_path)
        assert (missing.exit_code, "no simulated scenes" in missing.output) == (1, True)
        assert "Traceback" not in unknown.output + missing.output


class TestNames:
    def run(self, *words):
        return CliRunner().invoke(rm_geo, ["evaluate", *(str(word) for word in words)])

    def test_are_taken_without_the_spaces_around_them(self, dataset, tmp_path):
        result = self.run(
            "simulated",
            dataset.path,
            "--methods",
            "knn, idw,",
            "-o",
            tmp_path,
            "--samplings",
            "uniform:0.2",
            "--transmitters",
            "1",
        )
        assert result.exit_code == 0, result.output
        with (tmp_path / "simulated.csv").open() as file:
            assert [row["method"] for row in csv.DictReader(file)] == ["knn", "idw"]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("--methods", " ,"), "names nothing"),
            (("--methods", "knn", "--model", "x"), "is a network"),
            (("--methods", "knn", "--seed", "-1"), "-1"),
            (("--methods", "classical-baseline+buildings"), "no prefix and no suffix"),
            (
                ("--methods", "pipeline:classical-baseline,knn", "--seed", "1"),
                "no prefix and no suffix",
            ),
            (("--methods", "radiocycle", "-O", "device=cpu"), "--device"),
            (("--methods", "knn", "--maps", "700-601"), "map numbers"),
        ],
    )
    def test_and_options_that_concern_nothing_are_refused(self, dataset, tmp_path, words, message):
        result = self.run("simulated", dataset.path, "-o", tmp_path / "out", *words)
        assert result.exit_code == 2, result.output
        assert message in result.output
        assert not (tmp_path / "out").exists()
