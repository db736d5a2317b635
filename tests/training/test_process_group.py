"""Training with several processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from rm_geo.errors import CancelledError
from rm_geo.networks import DriveTestRadioCycle
from rm_geo.progress import SilentProgress
from rm_geo.training.checkpoint import load_checkpoint
from rm_geo.training.drive_task import DriveTestOptions, DriveTestTask
from rm_geo.training.loop import LoopOptions, TrainingLoop
from rm_geo.training.measurements import MeasurementMixture
from rm_geo.training.process_group import ProcessGroup
from rm_geo.training.scenes import ScenePool
from rm_geo.training.task import StepContext
from tests.support.scenes import free_space_set, save_set
from tests.support.waiting import HANG_S

CPU = torch.device("cpu")
TINY = {"f_widths": (8, 12), "f_depths": (1, 1), "g_widths": (8, 12), "g_depths": (1, 1)}


def make_task():
    torch.manual_seed(0)
    pool = ScenePool([free_space_set()], held_out=1)
    options = DriveTestOptions(batch=2, crop=32, final_crop=64)
    return DriveTestTask(DriveTestRadioCycle(**TINY), pool, pool, options, MeasurementMixture())


class StopAfter(SilentProgress):
    def __init__(self, checks):
        self.left = checks

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise CancelledError("stopped")


class Remembering(TrainingLoop):
    """Task that stores the means and the gradients of the first step."""

    def _step(self, share):
        losses = super()._step(share)
        if not hasattr(self, "first"):
            self.first = {n: p.grad.clone() for n, p in self.task.network.named_parameters()}
        return losses


def train_one(rank, port, folder, steps):
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE="2",
        LOCAL_RANK=str(rank),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    group = ProcessGroup.join(CPU)
    options = LoopOptions(max_minutes=1e6, steps_per_epoch=2, clip_norm=1e9, weight_decay=0.0)
    loop = Remembering(make_task(), folder / "run", options, CPU, group)
    try:
        loop.run(StopAfter(steps) if group.is_main else SilentProgress())
    except CancelledError:
        assert group.is_main
    torch.save(
        {
            "weights": loop.task.network.state_dict(),
            "first": loop.first,
            "steps": loop.training.step,
            "dwa": loop.task.dwa.history,
        },
        folder / f"rank{rank}.pt",
    )
    group.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def gradients_of(rank):
    task = make_task()
    seed = 0 if rank == 0 else 998_244_353
    context = StepContext(
        np.random.default_rng([0, 0, *([rank] if rank else [])]),
        torch.Generator().manual_seed(seed),
        0.0,
    )
    task.losses(context)["total"].backward()
    return {name: p.grad for name, p in task.network.named_parameters()}


def test_two_processes_average_their_gradients_and_stop_together(tmp_path):
    torch.multiprocessing.spawn(train_one, (free_port(), tmp_path, 4), nprocs=2)
    one, other = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert one["steps"] == other["steps"] == 4
    for name, weights in one["weights"].items():
        assert torch.equal(weights, other["weights"][name]), name
    assert one["dwa"] == other["dwa"]
    a, b = gradients_of(0), gradients_of(1)
    for name, gradient in one["first"].items():
        assert torch.allclose(gradient, (a[name] + b[name]) / 2, atol=1e-5), name
    assert any(not torch.allclose(a[name], b[name], atol=1e-4) for name in a)
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert len(log) == 2  # the first process's alone
    assert load_checkpoint(tmp_path / "run" / "checkpoint.safetensors")[0].step == 4


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_training_resumes_after_a_kill_at_any_moment(tmp_path):
    folder = save_set(free_space_set(), tmp_path / "scenes")
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "rm_geo",
        "train",
        "radiocycle-drive",
        "--data",
        str(folder),
        "--out",
        str(out),
        "--max-minutes",
        "60",
        "--threads",
        "1",
        "--quiet",
        "--set",
        "loop.checkpoint_every_s=0",
        "--set",
        "held_out=1",
        "--set",
        "task.batch=1",
        "--set",
        "task.crop=32",
        "--set",
        "task.final_crop=64",
    ]
    steps = []
    for _ in range(2):
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        checkpoint = out / "checkpoint.safetensors"
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        deadline = time.monotonic() + HANG_S
        while process.poll() is None and time.monotonic() < deadline:
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns > before:
                break
            time.sleep(0.01)
        time.sleep(0.37)  # somewhere in a step, or in the writing of a checkpoint
        process.send_signal(signal.SIGKILL)
        process.wait()
        steps.append(load_checkpoint(checkpoint)[0].step)
    assert 0 < steps[0] < steps[1]
