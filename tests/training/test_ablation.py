"""Comparison of forms of RadioCycle's losses."""

import csv

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from rm_geo.errors import ConfigError
from rm_geo.networks import RadioCycle
from rm_geo.training.ablation import FORMS, Ablation, main
from rm_geo.training.losses import RunningMeans
from rm_geo.training.paper_task import PaperOptions, RadioCycleTask
from rm_geo.training.scenes import ScenePool
from rm_geo.training.task import StepContext
from tests.support.scenes import free_space_set, save_set


def task(**options):
    torch.manual_seed(0)
    pool = ScenePool([free_space_set()], held_out=1)
    return RadioCycleTask(
        RadioCycle(0.05), pool, pool, PaperOptions(batch=2, crop=64, final_crop=64, **options)
    )


def losses(own, progress=0.5):
    random = torch.Generator().manual_seed(0)
    return own.losses(StepContext(np.random.default_rng(0), random, progress))


def gradients(own, progress=0.5):
    own.network.zero_grad()
    losses(own, progress)["total"].backward()
    return {
        name: [p.grad.clone() for p in getattr(own.network, name).parameters()] for name in "FG"
    }


def equal(one, other, **tolerance):
    return all(torch.allclose(a, b, **tolerance) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_trains_both_networks(form):
    for parts in gradients(task(**FORMS[form])).values():
        assert any(part.abs().sum() > 0.0 for part in parts)


def test_warm_up_begins_with_single_losses():
    dual, single = task(mode="dual", warm_up=0.3), task(mode="single")
    early, late = (losses(dual, progress)["total"] for progress in (0.1, 0.5))
    assert early == losses(single)["total"]
    assert late > early


def test_the_inner_network_gets_no_gradient_of_the_outer_losses():
    single, outer, inner = (
        gradients(task(**options))
        for options in (
            {"mode": "single"},
            {"mode": "dual", "loop_gradient": "outer"},
            {"mode": "dual", "loop_gradient": "inner"},
        )
    )
    both = gradients(task(mode="dual"))
    for name in "FG":
        parts = zip(outer[name], inner[name], single[name], strict=True)
        # the three together: outer + inner = both + single
        summed = [a + b - c for a, b, c in parts]
        assert equal(summed, both[name], atol=1e-4, rtol=1e-3)
        assert not equal(outer[name], both[name])
        assert not equal(inner[name], single[name])


def test_sampled_loops_show_f_the_map_in_the_sampled_pixels_only():
    own = task(mode="dual", loop_input="sampled")
    seen = []
    own.network.F.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, 0]))
    losses(own)
    first, loop = seen
    assert (loop[first == 0.0] == 0.0).float().mean() > 0.99
    assert (loop != 0.0).any()


def test_statistics_of_loops_can_be_left_out():
    plain, own = task(mode="dual"), task(mode="dual", loop_statistics=False)
    single = task(mode="single")
    for each in (plain, own, single):
        losses(each)
    found = [
        {n: b for n, b in each.network.F.named_buffers() if "running" in n}
        for each in (plain, own, single)
    ]
    for name, value in found[2].items():
        assert torch.equal(found[1][name], value)
    assert any(not torch.equal(found[0][name], value) for name, value in found[2].items())


def test_balanced_losses_have_equal_weight_at_the_start():
    own = task(mode="single", balanced=True)
    assert float(losses(own)["total"].detach()) == pytest.approx(2.0)
    again = task(mode="single", balanced=True)
    again.restore(own.state())
    assert again.means == own.means


def test_running_means_leave_out_losses_that_are_not_finite():
    means = RunningMeans()
    means.update([1.0, 2.0])
    assert means.update([float("nan"), 4.0]) == [1.0, 3.0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loop_input": "x"}, "loop_input must be"),
        ({"loop_gradient": "x"}, "loop_gradient must be"),
        ({"warm_up": 2.0}, "warm_up"),
    ],
)
def test_invalid_options_are_refused_by_name(options, words):
    with pytest.raises(ConfigError, match=words):
        PaperOptions(**options)


def test_unknown_forms_are_refused():
    with pytest.raises(ConfigError, match="no form 'XL'"):
        Ablation("a", "b", "c", 1, forms=["XL"])


def test_the_command_compares_forms_and_keeps_complete_runs(tmp_path, monkeypatch):
    tiny = {"width": 0.05}
    monkeypatch.setattr("rm_geo.training.ablation.network_of_size", lambda *_: tiny)
    data = save_set(free_space_set(scenes=18, antennas=1), tmp_path / "set")
    unseen = free_space_set(scenes=1, antennas=1, map_ids=[[601]])
    test = save_set(unseen, tmp_path / "test")
    arguments = ["--data", str(data), "--test", str(test), "--out", str(tmp_path / "out")]
    arguments += ["--steps", "1", "--batch", "1", "--crop", "64", "--transmitters", "1"]
    arguments += ["--final-crop", "64", "--rates", "0.2", "--form", "ML + DWA"]
    result = CliRunner().invoke(main, [*arguments, "--seeds", "0,1"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / "ablation.csv").open() as file:
        rows = list(csv.DictReader(file))
    (row,) = rows
    assert (row["form"], row["seeds"]) == ("ML + DWA", "2")
    assert float(row["rmse_std"]) > 0.0
    for name in ("ablation.png", "ablation-rmse.png"):
        assert (tmp_path / "out" / name).stat().st_size > 1000
    monkeypatch.setattr("rm_geo.training.ablation.train", None)  # nothing is trained again
    assert CliRunner().invoke(main, [*arguments, "--seeds", "0,1"]).exit_code == 0
