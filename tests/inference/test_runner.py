"""Device, precision, batches: the estimator is always called with what fits."""

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo import devices
from rm_geo.devices import choose_device, choose_precision
from rm_geo.errors import CancelledError, DeviceError, UsageError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.inference.runner import Clock, run_tiles
from rm_geo.progress import SilentProgress
from tests.support.waiting import HANG_S


def batch_of(values):
    tiles = np.full((len(values), 4, 4), 0, np.float32) + np.float32(values)[:, None, None]
    unknown = np.full((len(values), 2), np.nan, np.float32)
    return TileBatch(tiles, 1.0, unknown, np.full(len(values), np.nan, np.float32))


@dataclass
class Doubling:
    """Twice the input; refuses batches above a limit like a device that is full."""

    fits: int = 10**6
    sizes: list = field(default_factory=list)
    name = "doubling"
    maps_buildings = True
    provenance = {}  # noqa: RUF012 - a protocol's attribute

    def estimate(self, batch):
        self.sizes.append(len(batch))
        if len(batch) > self.fits:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return Estimate(batch.rsrp_dbm * 2, np.clip(batch.rsrp_dbm, 0, 1))


class Counting(SilentProgress):
    def __init__(self):
        self.units = 0

    def advance(self, amount=1):
        self.units += amount


@given(sizes=st.lists(st.integers(1, 9), max_size=5), fits=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_results_do_not_depend_on_the_memory_of_the_device(sizes, fits):
    batches = [batch_of(np.arange(size) + 10 * i) for i, size in enumerate(sizes)]
    progress = Counting()
    results = list(run_tiles(Doubling(fits), batches, progress))
    assert progress.units == sum(sizes)
    for batch, result in zip(batches, results, strict=True):
        np.testing.assert_array_equal(result.rsrp_dbm, batch.rsrp_dbm * 2)
        assert result.building_probability is not None
        assert result.std_db is None


def test_a_smaller_batch_is_kept_once_memory_ran_out():
    estimator = Doubling(fits=2)
    list(run_tiles(estimator, [batch_of(np.zeros(8)), batch_of(np.zeros(4))]))
    assert estimator.sizes == [8, 4, 2, 2, 2, 2, 2, 2]


def test_one_tile_that_does_not_fit_is_an_error_with_a_way_out():
    with pytest.raises(DeviceError) as raised:
        list(run_tiles(Doubling(fits=0), [batch_of([1.0])]))
    assert "`device=cpu`" in raised.value.hint


def test_other_errors_of_an_estimator_pass():
    class Broken(Doubling):
        def estimate(self, batch):
            raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        list(run_tiles(Broken(), [batch_of([1.0])]))


def test_errors_of_the_preparation_pass():
    def batches():
        yield batch_of([1.0])
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        list(run_tiles(Doubling(), batches()))


def test_the_next_batch_is_prepared_while_the_device_computes():
    preparing = threading.Event()

    def batches():
        yield batch_of([1.0])
        preparing.set()
        yield batch_of([2.0])

    class Waiting(Doubling):
        def estimate(self, batch):
            assert preparing.wait(timeout=HANG_S)
            return super().estimate(batch)

    assert len(list(run_tiles(Waiting(), batches()))) == 2


def test_cancellation_is_seen_between_batches():
    class Impatient(Counting):
        def check(self):
            if self.units >= 2:
                raise CancelledError("Stopped.")

    progress = Impatient()
    with pytest.raises(CancelledError):
        list(run_tiles(Doubling(), (batch_of([1.0]) for _ in range(10)), progress))
    assert progress.units == 2


def test_the_clock_counts_time_in_the_estimator_alone(monkeypatch):
    now_s = [0.0]
    monkeypatch.setattr("rm_geo.inference.runner.time.perf_counter", lambda: now_s[0])

    class Slow(Doubling):
        def estimate(self, batch):
            now_s[0] += 2.0
            return super().estimate(batch)

    def batches():
        now_s[0] += 30.0
        yield batch_of([1.0, 2.0])

    clock = Clock()
    list(run_tiles(Slow(), batches(), clock=clock))
    assert clock.tiles == 2
    assert clock.forward_s == 2.0


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(False, False, "cpu"), (True, False, "cuda"), (False, True, "mps"), (True, True, "cuda")],
)
def test_auto_prefers_cuda_then_mps_then_cpu(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)
    monkeypatch.setattr(devices, "likely_device", lambda: "cuda" if cuda else "mps")
    assert choose_device("auto") == expected
    monkeypatch.setattr(devices, "likely_device", lambda: "cpu")
    assert choose_device("auto") == "cpu"
    assert choose_device("cpu") == "cpu"


def test_a_device_that_is_absent_is_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(DeviceError) as raised:
            choose_device(name)
        assert name in raised.value.message
        assert "`device=cpu`" in raised.value.hint


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "CPU"])
def test_an_unknown_device_is_a_usage_error(name):
    with pytest.raises(UsageError):
        choose_device(name)


def test_a_cpu_computes_in_float32_unless_bfloat16_is_asked_for():
    assert choose_precision("cpu") == "float32"
    assert choose_precision("cpu", "bfloat16") == "bfloat16"
    with pytest.raises(UsageError, match="precision must be"):
        choose_precision("cpu", "float16")


def test_mps_computes_in_float32():
    assert choose_precision("mps") == "float32"
