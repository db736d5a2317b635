"""Training tasks, the training loop and its checkpoints."""

import dataclasses
import errno
import json
import os
import shutil

import numpy as np
import pytest
import torch

from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.errors import CancelledError, ConfigError, ModelError, OutputError
from rm_geo.networks import MARS, DriveTestRadioCycle, RadioCycle
from rm_geo.progress import SilentProgress
from rm_geo.training.card import CardText, publish
from rm_geo.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from rm_geo.training.config import TrainingConfig
from rm_geo.training.device_pool import DevicePool
from rm_geo.training.drive_task import DriveTestOptions, DriveTestTask
from rm_geo.training.loop import LoopOptions, TrainingLoop
from rm_geo.training.mars_task import (
    MarsOptions,
    MarsTask,
    cell_means,
    coarse_samples,
    filled_from_nearest,
    unit_map,
)
from rm_geo.training.measurements import MeasurementMixture, sample_measurements
from rm_geo.training.paper_task import PaperOptions, RadioCycleTask, paper_batch
from rm_geo.training.run import make_task, train
from rm_geo.training.scenes import ScenePool
from rm_geo.training.task import StepContext, batch_and_crop
from rm_geo.units import GAIN_FLOOR_DB, GAIN_SPAN_DB
from rm_geo.zoo.weights import save_model
from tests.support.scenes import free_space_set, save_set

TINY = {"f_widths": (8, 12), "f_depths": (1, 1), "g_widths": (8, 12), "g_depths": (1, 1)}
CPU = torch.device("cpu")


def draw(crop=32, batch=12, seed=0):
    return ScenePool([free_space_set()]).draw(np.random.default_rng(seed), batch, crop)


def context(step=0, progress=0.0):
    return StepContext(np.random.default_rng(step), torch.Generator().manual_seed(step), progress)


def test_crops_keep_gain_transmitter_and_intercept_together():
    crops = draw()
    rows = torch.arange(32)[:, None] + 0.5
    cols = torch.arange(32)[None, :] + 0.5
    for k in range(len(crops.gain_db)):
        row, col = crops.transmitter_rc[k]
        distance = torch.hypot(rows - row, cols - col).clamp(min=1.0)
        expected = crops.intercept_db[k] - 20.0 * torch.log10(distance)
        has_gain = crops.gain_db[k, 0] > GAIN_FLOOR_DB
        assert has_gain[crops.free[k, 0] > 0].all()
        # float16 of levels near -100 dB has steps of 1/16 dB
        assert torch.allclose(crops.gain_db[k, 0][has_gain], expected[has_gain], atol=0.1)


def test_crops_depend_only_on_the_generator():
    assert torch.equal(draw(seed=3).gain_db, draw(seed=3).gain_db)
    assert not torch.equal(draw(seed=3).gain_db, draw(seed=4).gain_db)


def test_crops_larger_than_scenes_are_rejected():
    with pytest.raises(ConfigError, match="do not fit"):
        draw(crop=128)


def test_training_on_test_maps_is_rejected():
    with pytest.raises(ConfigError):
        ScenePool([free_space_set(scenes=1, map_ids=[[601]])])


@pytest.mark.parametrize("crop", [16, 33, 64])
def test_crops_contain_their_transmitter_if_requested(crop):
    pool = ScenePool([free_space_set(scenes=5, antennas=4)], near_transmitter=True)
    crops = pool.draw(np.random.default_rng(0), 60, crop)
    place = crops.transmitter_rc
    assert ((place > 0) & (place < crop)).all()
    if crop < 64:  # and it may be anywhere in them
        assert place.min() < 0.2 * crop
        assert place.max() > 0.8 * crop


def test_training_does_not_use_validation_scenes():
    data = free_space_set(scenes=4)
    training = ScenePool([data], held_out=1)
    held = ScenePool([data], held_out=1, validation=True)
    marked = dataclasses.replace(data, gains_db=data.gains_db.copy())
    marked.gains_db[3] = -60.0
    training.sets = held.sets = (marked,)
    assert (training.draw(np.random.default_rng(0), 40, 16).gain_db != -60.0).any((1, 2, 3)).all()
    assert (held.draw(np.random.default_rng(0), 5, 16).gain_db == -60.0).all()


@pytest.mark.parametrize("way", ["uniform", "grid", "routes"])
def test_measurements_are_outdoor_gains(way):
    shares = {"uniform": 0.0, "grid": 0.0, "routes": 0.0, way: 1.0}
    clean = MeasurementMixture(
        **shares, noisy_probability=0.0, quantised_probability=0.0, outlier_probability=0.0
    )
    crops = draw(crop=64)
    tiles = sample_measurements(crops, clean, torch.Generator().manual_seed(0))
    seen = tiles.observed > 0
    assert seen.any((1, 2, 3)).all()
    assert (crops.free[seen] == 1.0).all()
    assert torch.equal(tiles.rsrp_dbm[seen], crops.gain_db[seen])
    assert (tiles.rsrp_dbm[~seen] == 0.0).all()


def test_route_samples_are_on_the_drive():
    routes = MeasurementMixture(uniform=0.0, grid=0.0, routes=1.0, block_probability=0.0)
    crops = draw(crop=64)
    tiles = sample_measurements(crops, routes, torch.Generator().manual_seed(0))
    assert (crops.order[tiles.observed > 0] >= 0).all()


def test_uniform_samples_have_the_requested_fraction():
    mixture = MeasurementMixture(
        uniform=1.0, grid=0.0, routes=0.0, block_probability=0.0, uniform_fraction=(0.2, 0.2)
    )
    crops = draw(crop=64)
    tiles = sample_measurements(crops, mixture, torch.Generator().manual_seed(0))
    share = tiles.observed.sum() / crops.free.sum()
    assert share == pytest.approx(0.2, abs=0.01)


def test_transmitters_are_unknown_with_the_requested_probability():
    always = MeasurementMixture(unknown_transmitter=1.0)
    tiles = sample_measurements(draw(), always, torch.Generator().manual_seed(0))
    assert torch.isnan(tiles.transmitter_rc).all()
    assert torch.isnan(tiles.intercept_dbm).all()


def drive_task(**options):
    torch.manual_seed(0)
    pool = ScenePool([free_space_set()], held_out=1)
    held = ScenePool([free_space_set()], held_out=1, validation=True)
    chosen = DriveTestOptions(**{"batch": 4, "crop": 32, "final_crop": 64, **options})
    return DriveTestTask(DriveTestRadioCycle(**TINY), pool, held, chosen, MeasurementMixture())


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.0, (16, 128)), (0.7, (16, 128)), (0.71, (4, 256))]
)
def test_large_crops_come_last_with_the_same_number_of_pixels_per_step(progress, expected):
    assert batch_and_crop(DriveTestOptions(final_share=0.3), progress) == expected


@pytest.mark.parametrize("mode", ["single", "dual", "dual-dwa"])
def test_drive_test_losses_have_gradients_in_both_networks(mode):
    task = drive_task(mode=mode)
    losses = task.losses(context())
    assert ("loop_map" in losses) == (mode != "single")
    losses["total"].backward()
    for network in (task.network.F, task.network.G):
        assert network.head.weight.grad.abs().sum() > 0.0


def test_training_reduces_the_loss_of_mars():
    torch.manual_seed(0)
    pool = ScenePool([free_space_set(side=64)], held_out=1)
    network = MARS(4, width=16, blocks=1, repeats=1, heads=4)
    task = MarsTask(network, pool, pool, MarsOptions(batch=4, crop=32, final_crop=64))
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    first = float(task.losses(context())["mse"])
    for _ in range(30):
        losses = task.losses(context())
        optimiser.zero_grad()
        losses["total"].backward()
        optimiser.step()
    assert float(task.losses(context())["mse"]) < 0.7 * first


def test_images_of_the_paper_task_are_on_the_unit_scale():
    crops = draw(crop=64)
    b = paper_batch(crops, (0.2, 0.2), torch.Generator().manual_seed(0))
    sampled = b.x > 0
    assert torch.equal(b.x[sampled], b.y[sampled])
    assert (b.x[b.z > 0] == 0.0).all()
    assert sampled.sum() / crops.free.sum() == pytest.approx(0.2, abs=0.02)
    assert b.t.sum((1, 2, 3)).max() == 1.0
    row, col = crops.transmitter_rc[0].int().tolist()
    assert b.t[0, 0, row, col] == 1.0


def test_targets_keep_the_gains_of_building_pixels():
    crops = draw(crop=64)
    unit = unit_map(crops, -3.0)
    has_gain = crops.gain_db > GAIN_FLOOR_DB
    assert (unit[has_gain] > 0.0).all()
    assert (unit[~has_gain] == 0.0).all()
    assert (has_gain & (crops.buildings > 0.0)).any()
    assert torch.allclose(
        unit[has_gain] * GAIN_SPAN_DB + GAIN_FLOOR_DB, crops.gain_db[has_gain] - 3.0, atol=0.1
    )


def test_crops_without_rotation_are_windows_of_their_scenes():
    data = free_space_set(scenes=1, antennas=1)
    pool = ScenePool([data], turned=False)
    crops = pool.draw(np.random.default_rng(0), 30, 33)
    windows = np.lib.stride_tricks.sliding_window_view(data.gains_db[0, 0], (33, 33))
    for gain in crops.gain_db[:, 0].numpy():
        assert (np.maximum(windows, np.float32(GAIN_FLOOR_DB)) == gain).all((2, 3)).any()


@pytest.mark.parametrize("mode", ["single", "dual", "dual-dwa"])
def test_paper_losses_have_gradients_in_both_networks(mode):
    torch.manual_seed(0)
    pool = ScenePool([free_space_set()], held_out=1)
    options = PaperOptions(batch=2, crop=64, final_crop=64, mode=mode)
    task = RadioCycleTask(RadioCycle(0.05), pool, pool, options)
    losses = task.losses(context())
    losses["total"].backward()
    for network in (task.network.F, task.network.G):
        assert any(p.grad.abs().sum() > 0.0 for p in network.parameters())
    task.end_epoch({name: float(value.detach()) for name, value in losses.items()})
    assert 0.0 <= task.validate(task.network)["f1"] <= 1.0


def test_coarse_samples_are_at_the_centres_of_blocks():
    fine = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert coarse_samples(fine, 4).tolist() == [[[[18.0, 22.0], [50.0, 54.0]]]]


def test_blocks_in_buildings_take_the_nearest_level():
    coarse = torch.arange(16.0).reshape(1, 1, 4, 4).repeat(2, 1, 1, 1)
    known = torch.zeros_like(coarse)
    known[0, 0, 0, 0] = known[0, 0, 3, 3] = 1.0
    filled = filled_from_nearest(coarse, known)
    assert filled[0, 0, 0].tolist() == [0.0, 0.0, 0.0, filled[0, 0, 0, 3]]
    assert filled[0, 0, 3].tolist()[1:] == [15.0, 15.0, 15.0]
    assert torch.equal(filled[1], coarse[1])


@pytest.mark.parametrize("sampling", ["point", "cell", "filled"])
def test_only_filled_sampling_has_no_buildings_in_the_input(sampling):
    torch.manual_seed(0)
    network = MARS(scale=4, width=8, blocks=1, repeats=1, heads=2)
    pool = ScenePool([free_space_set(side=64)])
    seen = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    task = MarsTask(
        network, pool, pool, MarsOptions(batch=4, crop=64, final_crop=64, sampling=sampling)
    )
    losses = task.losses(
        StepContext(np.random.default_rng(0), torch.Generator().manual_seed(0), 0.5)
    )
    assert np.isfinite(float(losses["total"].detach()))
    assert bool((seen[0] == 0.0).any()) is (sampling != "filled")


def test_block_means_are_centred_and_use_only_outdoor_pixels():
    rows = torch.arange(8.0)[:, None].expand(8, 8)[None, None]
    free = torch.ones_like(rows)
    assert cell_means(rows, free, 4, 4)[0, 0, :, 0].tolist() == [1.5, 5.5]
    assert cell_means(rows, free, 4, 2)[0, 0, :, 0].tolist() == [1.5, 5.5]
    half = free.clone()
    half[..., :2, :] = 0.0
    assert cell_means(rows, half, 4, 4)[0, 0, :, 0].tolist() == [2.5, 5.5]
    half[..., 2, 0] = 0.0
    assert cell_means(rows, half, 4, 4)[0, 0, 0].tolist() == [0.0, 2.5]


class StopAfter(SilentProgress):
    """Cancels at the n-th check."""

    def __init__(self, checks):
        self.left = checks

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise CancelledError("stopped")


def loop_in(folder):
    return TrainingLoop(drive_task(), folder, LoopOptions(max_minutes=1e6, steps_per_epoch=2), CPU)


def test_a_resumed_training_gives_the_same_weights(tmp_path):
    whole = loop_in(tmp_path / "whole")
    with pytest.raises(CancelledError):
        whole.run(StopAfter(6))
    first = loop_in(tmp_path / "parts")
    with pytest.raises(CancelledError):
        first.run(StopAfter(4))
    second = loop_in(tmp_path / "parts")
    assert second.resume()
    assert second.training.step == 4
    with pytest.raises(CancelledError):
        second.run(StopAfter(2))
    ours, theirs = second.task.network.state_dict(), whole.task.network.state_dict()
    # the learning rate follows the clock, so equal up to what milliseconds change
    assert all(torch.allclose(ours[k], theirs[k], atol=1e-5) for k in ours)
    assert np.allclose(second.task.dwa.history, whole.task.dwa.history, rtol=1e-3)


def test_the_log_is_json_lines(tmp_path):
    loop = loop_in(tmp_path)
    with pytest.raises(CancelledError):
        loop.run(StopAfter(4))
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [2, 4]
    assert "total" in entries[0]["losses"]


def test_a_damaged_checkpoint_is_rejected(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, TrainingState(step=7), {"x": torch.ones(1000)})
    assert load_checkpoint(path)[0].step == 7
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ModelError, match=r"checkpoint\.safetensors"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"loop": {"max_minutes": -1}}, "max_minutes"),
        ({"loop": {"minutes": 1}}, "minutes"),
        ({"task": {"mode": "triple"}}, "triple"),
        ({"kind": "radiocycle", "task": {"only": "buildings"}}, "mode single"),
        ({"kind": "radiocycle", "task": {"only": "both", "mode": "single"}}, "both"),
        ({"kind": "interpolation-net", "network": {}, "task": {"mode": "single"}}, "task.mode"),
        ({"data": []}, "There are no training data"),
        ({"kind": "unet"}, "unet"),
    ],
)
def test_invalid_configurations_are_rejected(tmp_path, monkeypatch, changes, match):
    monkeypatch.setattr(SimulatedSet, "open", lambda path: free_space_set())
    config = TrainingConfig(
        **{"kind": "radiocycle-drive", "data": ["x"], "network": TINY, "held_out": 1, **changes}
    )
    with pytest.raises((ConfigError, ModelError), match=match):
        train(config, tmp_path)


def short_training(**changes):
    """Training of two steps on scenes in memory."""
    return TrainingConfig(
        **{
            "kind": "radiocycle-drive",
            "data": ["x"],
            "network": TINY,
            "held_out": 1,
            "loop": {"max_minutes": 1e6, "max_steps": 2, "steps_per_epoch": 1},
            "task": {"batch": 2, "crop": 32, "final_crop": 64},
            **changes,
        }
    )


def test_a_training_starts_from_the_weights_of_another_model(tmp_path, monkeypatch):
    monkeypatch.setattr(SimulatedSet, "open", lambda path: free_space_set())
    torch.manual_seed(5)
    other = DriveTestRadioCycle(**TINY)
    save_model(tmp_path / "other", other, "radiocycle-drive", TINY)
    config = short_training(start_from=str(tmp_path / "other"))
    started = make_task(config, CPU).network.state_dict()
    assert all(torch.equal(started[key], value) for key, value in other.state_dict().items())
    wider = dataclasses.replace(config, network={**TINY, "f_widths": (8, 16)})
    with pytest.raises(ConfigError, match="another shape"):
        make_task(wider, CPU)


def test_arguments_other_than_sizes_must_match_the_initial_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(SimulatedSet, "open", lambda path: free_space_set())
    save_model(tmp_path / "other", DriveTestRadioCycle(**TINY), "radiocycle-drive", TINY)
    config = short_training(network={**TINY, "trend": True}, start_from=str(tmp_path / "other"))
    with pytest.raises(ConfigError, match="trend is False, not True"):
        make_task(config, CPU)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"network": {**TINY, "f_widths": (8, 16)}}, "another network"),
        ({"kind": "interpolation-net", "network": {}}, "kind, network"),
        ({"task": {"batch": 3, "crop": 32, "final_crop": 64}}, "another task"),
        ({"held_out": 2}, "held_out"),
        ({"loop": {"max_steps": 4, "seed": 1}}, r"loop\.seed"),
    ],
)
def test_a_training_is_resumed_only_with_its_own_configuration(
    tmp_path, monkeypatch, changes, match
):
    monkeypatch.setattr(SimulatedSet, "open", lambda path: free_space_set())
    train(short_training(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match=match):
        train(short_training(**changes), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    longer = {"max_minutes": 2e6, "max_steps": 4, "steps_per_epoch": 1, "learning_rate": 1e-4}
    train(short_training(loop=longer), tmp_path)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")[0].step == 4


def test_a_training_is_resumed_only_with_its_own_data_in_any_folder(tmp_path):
    here = save_set(free_space_set(), tmp_path / "here")
    other = save_set(free_space_set(scenes=5), tmp_path / "other")
    run = tmp_path / "run"
    train(short_training(data=[str(here)]), run)
    here.rename(tmp_path / "there")
    train(short_training(data=[str(tmp_path / "there")]), run)
    with pytest.raises(ConfigError, match="another data"):
        train(short_training(data=[str(other)]), run)


def test_a_training_without_resume_discards_the_old_one(tmp_path, monkeypatch):
    monkeypatch.setattr(SimulatedSet, "open", lambda path: free_space_set())
    loop = {"max_minutes": 1e6, "max_steps": 6, "steps_per_epoch": 1}
    train(short_training(loop=loop), tmp_path)
    train(short_training(), tmp_path, resume=False)
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert max(steps) == 2


def test_the_log_of_a_resumed_training_is_truncated_at_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(SimulatedSet, "open", lambda path: free_space_set())
    train(short_training(), tmp_path)
    with (tmp_path / "log.jsonl").open("a") as log:  # of steps that a kill lost, and a torn line
        log.write('{"step": 3, "minutes": 9.0, "losses": {"total": 9.0}}\n{"step": 4, "min')
    longer = {"max_minutes": 1e6, "max_steps": 4, "steps_per_epoch": 1}
    train(short_training(loop=longer), tmp_path)
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries if "losses" in entry] == [1, 2, 3, 4]
    assert all(entry["minutes"] < 9.0 for entry in entries)


def test_a_resumed_training_does_not_need_the_model_with_the_initial_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(SimulatedSet, "open", lambda path: free_space_set())
    parent = tmp_path / "parent"
    save_model(parent, DriveTestRadioCycle(**TINY), "radiocycle-drive", TINY, {"minutes": 12.5})
    config = short_training(start_from=str(parent))
    train(config, tmp_path / "run")
    shutil.rmtree(parent)
    train(config, tmp_path / "run")
    text = CardText("a", "b", (), "c", {})
    publish(tmp_path / "run", tmp_path / "model", "s", text)
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["started_from"]["parent_minutes"] == 12.5
    assert len(card["started_from"]["parent_sha256"]) == 64
    assert "started from | parent after 12.5 minutes" in (tmp_path / "model/card.md").read_text()
    assert f"start_from: {parent}" in (tmp_path / "model/recipe.yaml").read_text()


def test_a_failed_write_gives_one_message_and_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, TrainingState(step=7), {"x": torch.ones(10)})

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="full"):
        save_checkpoint(path, TrainingState(step=8), {"x": torch.ones(10)})
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    assert load_checkpoint(path)[0].step == 7


def test_a_wider_network_starts_from_a_narrow_one_or_parts_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(SimulatedSet, "open", lambda path: free_space_set())
    torch.manual_seed(5)
    other = DriveTestRadioCycle(**TINY)
    save_model(tmp_path / "other", other, "radiocycle-drive", TINY)
    config = short_training(
        network={**TINY, "f_widths": (16, 24)}, start_from=str(tmp_path / "other")
    )
    wide = make_task(config, CPU).network
    fine, smooth = torch.rand(1, 3, 64, 64), torch.rand(1, 9, 16, 16)
    assert torch.allclose(wide.F(fine, smooth), other.F(fine, smooth), atol=1e-5)
    assert torch.equal(wide.G.stem.weight, other.G.stem.weight)
    part = make_task(dataclasses.replace(config, start_parts=["F"]), CPU).network
    assert torch.allclose(part.F(fine, smooth), other.F(fine, smooth), atol=1e-5)
    assert not torch.equal(part.G.stem.weight, other.G.stem.weight)
    with pytest.raises(ConfigError, match="no part 'H'"):
        make_task(dataclasses.replace(config, start_parts=["H"]), CPU)


@pytest.mark.parametrize(("only", "rests"), [("buildings", "G"), ("map", "F")])
def test_one_network_of_the_published_pair_can_be_trained_alone(tmp_path, only, rests):
    network = RadioCycle(0.05)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pool = ScenePool([free_space_set()], near_transmitter=True)
    options = PaperOptions(batch=1, crop=64, final_crop=64, mode="single", only=only)
    task = RadioCycleTask(network, pool, pool, options)
    loop = TrainingLoop(task, tmp_path, LoopOptions(max_minutes=1e6, max_steps=2), CPU)
    loop.run(SilentProgress())
    for module in (network, loop.average):
        moved = {
            name[0]
            for name, value in module.state_dict().items()
            if not torch.equal(value, before[name])
        }
        assert moved == {"F", "G"} - {rests}
    assert TrainingLoop(task, tmp_path, loop.options, CPU).resume()


def test_the_budget_of_steps_includes_resumed_runs_and_sets_the_learning_rate(tmp_path):
    options = LoopOptions(max_minutes=1e6, max_steps=6, steps_per_epoch=2)
    loop = TrainingLoop(drive_task(), tmp_path, options, CPU)
    with pytest.raises(CancelledError):
        loop.run(StopAfter(4))
    resumed = TrainingLoop(drive_task(), tmp_path, options, CPU)
    assert resumed.resume()
    resumed.run(SilentProgress())
    assert resumed.training.step == 6
    assert resumed.optimiser.param_groups[0]["lr"] == pytest.approx(options.rate(5 / 6))


@pytest.mark.parametrize("pool_class", [ScenePool, DevicePool])
@pytest.mark.parametrize("kind", ["drive", "paper", "mars"])
def test_training_in_bfloat16_keeps_crops_and_weights_in_float32(tmp_path, kind, pool_class):
    torch.manual_seed(0)
    pool = pool_class([free_space_set()], near_transmitter=True)
    sizes = {"batch": 2, "crop": 64, "final_crop": 64}
    task = {
        "drive": lambda: drive_task(),
        "paper": lambda: RadioCycleTask(RadioCycle(0.05), pool, pool, PaperOptions(**sizes)),
        "mars": lambda: MarsTask(
            MARS(width=8, blocks=1, repeats=1, heads=2, scale=4), pool, pool, MarsOptions(**sizes)
        ),
    }[kind]()
    task.pool = pool
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    with torch.autocast("cpu", torch.bfloat16):
        assert task.pool.draw(np.random.default_rng(0), 2, 32).gain_db.dtype == torch.float32
    options = LoopOptions(max_minutes=1e6, max_steps=2, precision="bfloat16")
    TrainingLoop(task, tmp_path, options, CPU).run(SilentProgress())
    after = task.network.state_dict()
    assert all(value.dtype == before[name].dtype for name, value in after.items())
    assert all(torch.isfinite(value).all() for value in after.values())
    assert any(not torch.equal(value, before[name]) for name, value in after.items())


def test_training_stops_when_the_time_budget_is_spent(tmp_path, monkeypatch):
    monkeypatch.setattr(SimulatedSet, "open", lambda path: free_space_set())
    config = short_training(loop={"max_minutes": 0.01})
    network = train(config, tmp_path)
    assert not network.training
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["kind"] == "radiocycle-drive"
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")[0].trained_s >= 0.6


def test_a_symbolic_link_instead_of_the_checkpoint_is_rejected(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".c.safetensors.part").symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match="symbolic link"):
        save_checkpoint(tmp_path / "c.safetensors", TrainingState(step=7), {"x": torch.ones(10)})
    assert (tmp_path / "precious").read_text() == "precious"
