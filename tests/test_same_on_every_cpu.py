"""Maps do not depend on the kind of CPU: float32 everywhere, within 0.001 dB.

ONNX Runtime chooses its kernels by the processor and has no switch for them. PyTorch has: its
results under each instruction set are compared with those of ONNX Runtime on this machine.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from rm_geo.estimators.base import TileBatch
from rm_geo.estimators.radiocycle import RadioCycleEstimator
from rm_geo.inference.methods import open_method
from rm_geo.inference.unit_scale import UnitScale
from rm_geo.zoo.catalog import default_model
from rm_geo.zoo.superres_network import SuperResolutionNetwork

BOUND_DB = 1e-3

BY_PYTORCH = """
import sys
import numpy as np
from tests.test_same_on_every_cpu import enlarged_db, mapped_db
np.savez(sys.argv[1], map=mapped_db("torch"), fine=enlarged_db("torch"))
"""

INSTRUCTION_SETS = {
    "this machine's": {},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "SSE4.1": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}


def mapped_db(engine):
    """Levels of a tile by the default model, sampled along streets."""
    rng = np.random.default_rng(3)
    level = np.full((1, 256, 256), np.nan, np.float32)
    for street in (40, 120, 200):
        level[0, street, ::3] = rng.normal(-90.0, 8.0, 86)
        level[0, ::3, street] = rng.normal(-85.0, 8.0, 86)
    tile = TileBatch(level, 1.0, np.array([[-40, 300]], np.float32), np.full(1, -30, np.float32))
    return RadioCycleEstimator(None, "cpu", engine=engine).estimate(tile).rsrp_dbm


def enlarged_db(engine):
    """A window enlarged four times by the default model."""
    row, col = np.mgrid[:64, :64]
    level = (-70.0 - 0.4 * row - 10.0 * np.sin(col / 9.0))[None, None].astype(np.float32)
    scale = UnitScale.fit(level)
    network = SuperResolutionNetwork(default_model("superres-4"), "cpu", engine=engine)
    assert network.engine(64, 64) == engine
    return scale.to_dbm(network(scale.to_unit(level)))


@pytest.fixture(scope="module")
def by_onnx():
    return {"map": mapped_db("onnx"), "fine": enlarged_db("onnx")}


@pytest.mark.parametrize("instructions", INSTRUCTION_SETS)
def test_pytorch_under_each_instruction_set_gives_what_onnx_runtime_gives(
    by_onnx, instructions, tmp_path
):
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, "-c", BY_PYTORCH, str(tmp_path / "made.npz")],
        env={**os.environ, **INSTRUCTION_SETS[instructions]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = np.load(tmp_path / "made.npz")
    for name, expected in by_onnx.items():
        assert np.abs(made[name] - expected).max() <= BOUND_DB, name


def test_every_cpu_computes_in_float32_by_onnx_runtime():
    provenance = open_method("radiocycle", device="cpu").provenance
    assert (provenance["engine"], provenance["precision"]) == ("onnx", "float32")
    network = SuperResolutionNetwork(default_model("superres-4"), "cpu")
    assert (network.engine(64, 64), network.precision) == ("onnx", "float32")


def test_bfloat16_is_computed_by_pytorch_when_asked_for():
    pytest.importorskip("torch")
    method = open_method("radiocycle", device="cpu", options={"precision": "bfloat16"})
    assert method.provenance["engine"] == "torch"
    assert method.provenance["precision"] == "bfloat16"
