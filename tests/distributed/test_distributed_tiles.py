"""Tiles of one cell on a real cluster give the same bytes as one process."""

import json
import os
import signal
import threading
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rm_geo.distributed.jobs import read_jobs
from rm_geo.distributed.packing import PackedTiles
from rm_geo.errors import CancelledError, ClusterError, ModelError
from rm_geo.estimators.base import TileBatch
from rm_geo.inference.method_spec import MethodRecipe
from rm_geo.inference.methods import open_method
from rm_geo.inference.runner import Clock
from rm_geo.options import PredictOptions
from rm_geo.pipeline import predict as predict_module
from rm_geo.pipeline import tile_pass
from rm_geo.pipeline.predict import predict
from rm_geo.progress import SilentProgress

pytest.importorskip("distributed")

from rm_geo.distributed import tiles
from rm_geo.distributed.batch import run_batch
from rm_geo.distributed.cluster import local_workers
from rm_geo.distributed.dry_run import dry_run_on_cluster
from rm_geo.distributed.tiles import DaskTiles, run_on_cluster
from rm_geo.distributed.worker_methods import MethodFacts
from tests.support.clusters import reachable_cluster
from tests.support.interruption import KilledError
from tests.support.measurements import drive, write_drive
from tests.support.outputs import contents, map_contents
from tests.support.waiting import HANG_S, wait_until

OPTIONS = PredictOptions(
    method="idw", tile_size_px=64, overlap_px=16, reach_m=20.0, batch_size=2, device="cpu"
)
RECIPE = MethodRecipe.of(OPTIONS)


@pytest.fixture(scope="module")
def cluster():
    with reachable_cluster(workers=2) as client:
        yield client


@pytest.fixture(scope="module")
def points():
    return drive(300, (200.0, 260.0))


@pytest.fixture(scope="module")
def whole(points, tmp_path_factory):
    """Files that one process made."""
    folder = tmp_path_factory.mktemp("whole")
    (result,) = predict(points, folder, OPTIONS)
    assert result.tiles > 15
    return contents(folder)


class AtTile(SilentProgress):
    """Runs an action once, after a number of tiles."""

    def __init__(self, tiles, action):
        self.done = 0
        self._tiles, self._action = tiles, action

    def advance(self, amount=1):
        self.done += amount
        if self._action is not None and self.done >= self._tiles:
            action, self._action = self._action, None
            action()


def raising(error):
    def action():
        raise error

    return action


def tasks_left(client):
    return client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))


def wait_until_forgotten(client):
    """Wait until the scheduler knows of no task."""
    wait_until(lambda: not tasks_left(client), "the scheduler to forget its tasks")


def batches(count, seen=None):
    """Small batches; the number of each is appended to ``seen`` when it is taken."""
    for number in range(count):
        if seen is not None:
            seen.append(number)
        level = np.full((2, 32, 32), np.nan, dtype=np.float32)
        level[:, 3, 4] = -70.0 - number
        unknown = np.full(2, np.nan, dtype=np.float32)
        yield TileBatch(level, 1.0, np.stack([unknown, unknown]), unknown)


@given(
    level=arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=3, max_dims=3, max_side=6),
        elements=st.floats(-150.0, 0.0, width=32) | st.just(float("nan")),
    )
)
@settings(max_examples=30)
def test_packed_batch_is_unpacked_unchanged(level):
    transmitter = np.zeros((len(level), 2), dtype=np.float32)
    batch = TileBatch(level, 2.0, transmitter, transmitter[:, 0], 800.0, 30.0)
    packed = PackedTiles.of(batch)
    back = packed.unpacked()
    np.testing.assert_array_equal(back.rsrp_dbm, level)
    assert back.rsrp_dbm.dtype == level.dtype
    assert packed.level_dbm.size == np.isfinite(level).sum()
    assert (back.spacing_m, back.frequency_mhz, back.transmitter_height_m) == (2.0, 800.0, 30.0)
    assert len(packed) == len(batch)


def test_workers_give_the_same_bytes_as_one_process(points, whole, cluster, tmp_path):
    progress, clock = AtTile(0, None), Clock()
    with DaskTiles(cluster, OPTIONS) as tiles:
        (result,) = predict(points, tmp_path, OPTIONS, progress, clock, tile_executor=tiles)
    assert contents(tmp_path) == whole
    assert progress.done >= result.tiles == clock.tiles
    assert clock.forward_s > 0.0
    wait_until_forgotten(cluster)
    kept = cluster.run(lambda dask_worker: hasattr(dask_worker, "rm_geo_methods"))
    assert not any(kept.values())


def test_killed_worker_does_not_change_the_result(points, whole, cluster, tmp_path):
    victim = next(iter(cluster.run(os.getpid).values()))
    progress = AtTile(4, lambda: os.kill(victim, signal.SIGKILL))
    with DaskTiles(cluster, OPTIONS) as tiles:
        predict(points, tmp_path, OPTIONS, progress, tile_executor=tiles)
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("error", [KilledError, CancelledError])
def test_stopped_run_continues_with_or_without_workers(
    points, whole, cluster, tmp_path, monkeypatch, error
):
    monkeypatch.setattr(tile_pass, "MIN_KEPT_S", 0.0)
    monkeypatch.setattr(predict_module, "MIN_RESUMABLE_S", 0.0)
    tiles = DaskTiles(cluster, OPTIONS)
    with pytest.raises((KilledError, CancelledError)):
        predict(
            points, tmp_path, OPTIONS, AtTile(9, raising(error("Enough."))), tile_executor=tiles
        )
    wait_until_forgotten(cluster)
    assert not list(tmp_path.glob("*.tif"))
    clock = Clock()
    executor = tiles if error is KilledError else None
    (result,) = predict(points, tmp_path, OPTIONS, clock=clock, tile_executor=executor)
    assert contents(tmp_path) == whole
    assert 0 < clock.tiles < result.tiles


def test_number_of_batches_in_flight_is_bounded(cluster):
    seen: list[int] = []
    facts = MethodFacts.of(RECIPE.opened())
    found = run_on_cluster(cluster, RECIPE, facts, batches(40, seen), SilentProgress(), Clock())
    with closing(found):
        for number in range(3):
            estimate = next(found)
            assert estimate.rsrp_dbm[0, 0, 0] == pytest.approx(-70.0 - number)
            assert len(seen) <= number + 1 + 2 * 2
    wait_until_forgotten(cluster)


@pytest.mark.parametrize(
    ("recipe", "kind", "words"),
    [
        (replace(RECIPE, version="0.0.1"), ClusterError, r"Worker tls://.*rm_geo 0\.0\.1"),
        (
            replace(RECIPE, method="radiocycle", model="/nowhere/else"),
            ModelError,
            r"Worker tls://.*/nowhere/else",
        ),
        (replace(RECIPE, options={"neighbors": 3}), ClusterError, "neighbors 3 instead of"),
    ],
)
def test_worker_with_another_configuration_is_named(cluster, recipe, kind, words):
    facts = MethodFacts.of(open_method("idw"))
    found = run_on_cluster(cluster, recipe, facts, batches(2), SilentProgress(), Clock())
    with pytest.raises(kind, match=words):
        list(found)
    wait_until_forgotten(cluster)


def dying(*_):
    os._exit(1)


def test_tiles_that_kill_their_workers_are_not_retried_forever(cluster, monkeypatch):
    monkeypatch.setattr(tiles, "estimate_remotely", dying)
    allowed = cluster.run_on_scheduler(lambda dask_scheduler: dask_scheduler.allowed_failures)
    set_allowed = "lambda dask_scheduler, n: setattr(dask_scheduler, 'allowed_failures', n)"
    cluster.run_on_scheduler(eval(set_allowed), n=0)
    try:
        facts = MethodFacts.of(RECIPE.opened())
        with pytest.raises(ClusterError, match="died"):
            list(run_on_cluster(cluster, RECIPE, facts, batches(1), SilentProgress(), Clock()))
    finally:
        cluster.run_on_scheduler(eval(set_allowed), n=allowed)


def test_jobs_spread_their_tiles_even_if_all_workers_have_jobs(cluster, tmp_path):
    drives = tmp_path / "drives"
    drives.mkdir()
    for number in range(2):
        write_drive(drives / f"d{number}.csv", ["1"], extent=120.0, seed=number)
    options = OPTIONS.replace(crs="EPSG:32633")
    jobs = read_jobs([drives], tmp_path / "out", options)
    before = len(cluster.get_events("worker-client"))
    states = run_batch(jobs, tmp_path / "out", cluster, spread_tiles=8)
    assert [state.status for state in states] == ["done"] * 2
    assert len(cluster.get_events("worker-client")) == before + 2
    for job in jobs:
        predict(job.measurements, tmp_path / "alone" / job.name, options)
        assert map_contents(job.output) == map_contents(tmp_path / "alone" / job.name)
    wait_until_forgotten(cluster)


def test_stopping_a_batch_stops_its_tasks(cluster, tmp_path):
    (tmp_path / "drives").mkdir()
    write_drive(tmp_path / "drives" / "large.csv", ["1"], extent=700.0)
    write_drive(tmp_path / "drives" / "small.csv", ["1"], extent=20.0)
    jobs = read_jobs([tmp_path / "drives"], tmp_path, OPTIONS.replace(crs="EPSG:32633"))

    finished = []

    class Stopping(SilentProgress):
        def check(self):
            # Tiles of the large one go before the small one: either may be the first.
            finished.extend(
                name for name in ("large", "small") if (tmp_path / name / "1_rsrp.tif").exists()
            )
            if finished:
                raise CancelledError("Enough.")

    def busy():
        counts = cluster.run(
            lambda dask_worker: (
                len(dask_worker.state.executing) + len(dask_worker.state.long_running)
            )
        )
        return sum(counts.values())

    with pytest.raises(CancelledError):
        run_batch(jobs, tmp_path, cluster, spread_tiles=8, progress=Stopping())
    wait_until_forgotten(cluster)
    wait_until(lambda: not busy(), "the workers to be idle")
    assert finished
    assert "large" in finished or not list((tmp_path / "large").glob("*"))


def test_predict_command_uses_a_running_scheduler(cluster, tmp_path):
    from rm_geo.cli.group import rm_geo

    write_drive(tmp_path / "d.csv", ["1"])
    arguments = [
        "predict",
        str(tmp_path / "d.csv"),
        "--crs",
        "EPSG:32633",
        "--method",
        "idw",
        "--tile-size",
        "64",
        "--overlap",
        "16",
        "--reach",
        "20",
        "--quiet",
    ]
    address = cluster.scheduler.address
    for more in (["-o", "alone"], ["-o", "spread", "--scheduler", address]):
        more[1] = str(tmp_path / more[1])
        result = CliRunner().invoke(rm_geo, [*arguments, *more])
        assert result.exit_code == 0, result.output
    assert contents(tmp_path / "alone") == contents(tmp_path / "spread")


def test_dry_run_reports_the_workers_and_computes_no_tile(cluster, tmp_path, monkeypatch):
    from rm_geo.cli.group import rm_geo

    write_drive(tmp_path / "d.csv", ["1"], extent=60.0)
    arguments = [
        "predict",
        str(tmp_path / "d.csv"),
        "-o",
        str(tmp_path / "out"),
        "--dry-run",
        "--crs",
        "EPSG:32633",
        "--method",
        "idw",
        "--device",
        "cpu",
        "--json",
    ]

    def dry_run(*more):
        result = CliRunner().invoke(rm_geo, [*arguments, *more])
        return result.exit_code, json.loads(result.stdout.splitlines()[-1])

    monkeypatch.setattr(tiles, "estimate_remotely", dying)
    cluster.wait_for_workers(2, timeout=HANG_S)  # one that another test ended comes back by itself
    address = cluster.scheduler.address
    code, plan = dry_run("--scheduler", address)
    assert code == 0
    assert (plan["spread"]["workers"], plan["spread"]["threads"]) == (2, 2)
    assert address in plan["spread"]["where"]
    wait_until_forgotten(cluster)
    _, alone = dry_run()
    assert alone["spread"] is None
    assert alone["tiles"] == plan["tiles"]
    monkeypatch.setattr("rm_geo.distributed.cluster.ANSWER_TIMEOUT_S", 1)
    refused = dry_run("--scheduler", "tcp://127.0.0.1:9")
    arguments.remove("--dry-run")
    assert refused == dry_run("--scheduler", "tcp://127.0.0.1:9")
    assert refused[0] == 1
    arguments.append("--dry-run")
    started = raising(AssertionError("Local workers were started."))
    monkeypatch.setattr("rm_geo.distributed.dry_run.open_cluster", started)
    code, plan = dry_run("--workers", "3")
    assert code == 0
    assert plan["spread"]["workers"] == 3
    assert "on this machine" in plan["spread"]["where"]
    assert not (tmp_path / "out").exists()


def test_dry_run_detects_worker_of_another_version(cluster, monkeypatch):
    monkeypatch.setattr(MethodRecipe, "of", lambda options: replace(RECIPE, version="0.0.1"))
    with pytest.raises(ClusterError, match=r"Worker tls://.*rm_geo 0\.0\.1"):
        dry_run_on_cluster(
            drive(60), OPTIONS, SilentProgress(), scheduler=cluster.scheduler.address
        )


def test_cancellation_does_not_wait_for_the_workers(cluster, monkeypatch, tmp_path):
    released, finished = tmp_path / "released", tmp_path / "finished"

    def waiting(*_):
        for _ in range(int(20 * HANG_S)):
            if released.exists():
                return
            time.sleep(0.05)
        finished.touch()

    monkeypatch.setattr(tiles, "estimate_remotely", waiting)
    stop = threading.Event()

    class Stopping(SilentProgress):
        def check(self):
            if stop.is_set():
                raise CancelledError("Enough.")

    facts = MethodFacts.of(RECIPE.opened())
    threading.Timer(0.5, stop.set).start()
    try:
        with pytest.raises(CancelledError):
            list(run_on_cluster(cluster, RECIPE, facts, batches(9), Stopping(), Clock()))
        assert not finished.exists()
    finally:
        released.touch()


@pytest.mark.parametrize(("chosen", "most"), [("1", 1), ("1000000", 1000000), ("", 1000000)])
def test_local_workers_respect_the_thread_limit(monkeypatch, chosen, most):
    monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    monkeypatch.setattr("rm_geo.distributed.cluster.usable_cores", lambda: 8)
    assert local_workers(2, "cpu").cores == min(4, most)
