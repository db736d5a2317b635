"""Training loop with a time budget, a learning rate schedule, checkpoints and weight averaging."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rm_geo._util.atomic import output_error, replacing
from rm_geo.errors import ConfigError
from rm_geo.progress import Progress
from rm_geo.training.checkpoint import (
    TrainingState,
    load_checkpoint,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from rm_geo.training.process_group import ProcessGroup
from rm_geo.training.task import StepContext, TrainingTask

CHECKPOINT_NAME = "checkpoint.safetensors"
LOG_NAME = "log.jsonl"


@dataclass(frozen=True)
class LoopOptions:
    """Budget and optimiser of a training.

    Attributes
    ----------
    max_minutes : float
        Time budget of the whole training, including resumed runs. It determines the schedule of
        the learning rate.
    max_steps : int or None
        Budget in steps, in addition to the minutes. The training ends when one of them is spent,
        and the learning rate follows the one that is further advanced. With it, methods can be
        compared at equal steps on machines of any speed. No limit if None.
    learning_rate : float
        Peak of the learning rate, reached after 2 % of the budget.
    weight_decay : float
        Weight decay of AdamW.
    ema_decay : float
        Decay of the exponential moving average of the weights, which is the result, 0..1.
    clip_norm : float
        Largest norm of the gradient.
    steps_per_epoch : int
        Steps between two log lines and two updates of the loss weights.
    validate_every_s, checkpoint_every_s : float
        Seconds between two validations and between two checkpoints.
    seed : int
        Seed of all random generators, from 0 to 2**32 - 1.
    precision : {"float32", "bfloat16"}
        Precision of the forward and backward pass. Weights are float32.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    max_minutes: float = 120.0
    max_steps: int | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    ema_decay: float = 0.999
    clip_norm: float = 1.0
    steps_per_epoch: int = 100
    validate_every_s: float = 900.0
    checkpoint_every_s: float = 180.0
    seed: int = 0
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name in ("max_minutes", "learning_rate", "clip_norm", "steps_per_epoch"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}.")
        if self.max_steps is not None and self.max_steps < 1:
            raise ConfigError(f"max_steps must be positive, not {self.max_steps}.")
        for name in ("weight_decay", "validate_every_s", "checkpoint_every_s", "seed"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} must not be negative, but is {getattr(self, name)}.")
        if self.seed >= 2**32:
            raise ConfigError(f"seed must be below 2**32, not {self.seed}.")
        if not 0.0 <= self.ema_decay < 1.0:
            raise ConfigError(f"ema_decay must lie in 0..1, below 1, not {self.ema_decay}.")
        if self.precision not in {"float32", "bfloat16"}:
            raise ConfigError(f"precision must be float32 or bfloat16, not {self.precision!r}.")

    def rate(self, progress: float) -> float:
        """Return the learning rate at a fraction of the budget: linear rise, then half a cosine."""
        if progress < 0.02:
            return self.learning_rate * (0.05 + 0.95 * progress / 0.02)
        fall = 0.5 * (1.0 + math.cos(math.pi * min(1.0, (progress - 0.02) / 0.98)))
        return self.learning_rate * (0.01 + 0.99 * fall)


class _Losses(nn.Module):
    """Module whose forward pass computes the losses of a task, for DistributedDataParallel."""

    def __init__(self, task: TrainingTask) -> None:
        super().__init__()
        self.network = task.network
        self._task = task

    def forward(self, context: StepContext) -> dict[str, Tensor]:
        """Compute the losses of one batch."""
        return self._task.losses(context)


class TrainingLoop:
    """Training of one task, with checkpoint and log in a folder.

    Parameters
    ----------
    task : TrainingTask
        Network, data and losses.
    folder : Path
        Folder of checkpoint and log, created if missing.
    options : LoopOptions
        Budget and schedule.
    device : torch.device
        Device of the network.
    group : ProcessGroup, optional
        Processes that train together. Default: only this one.
    """

    def __init__(
        self,
        task: TrainingTask,
        folder: Path,
        options: LoopOptions,
        device: torch.device,
        group: ProcessGroup | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.task, self.folder, self.options, self.device = task, folder, options, device
        self.group = group or ProcessGroup()
        self._losses: nn.Module | None = None
        self.average = copy.deepcopy(task.network).eval().requires_grad_(False)
        self.names: dict[Tensor, str] = {p: n for n, p in task.network.named_parameters()}
        self.optimiser = torch.optim.AdamW(
            task.network.parameters(),
            lr=options.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=options.weight_decay,
        )
        self.training = TrainingState()

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint."""
        return self.folder / CHECKPOINT_NAME

    def resume(self) -> bool:
        """Continue from the checkpoint in the folder; return False if there is none."""
        if not self.checkpoint.exists():
            return False
        self.training, tensors = load_checkpoint(self.checkpoint)
        for prefix, module in (("network.", self.task.network), ("average.", self.average)):
            own = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
            module.load_state_dict(own)
        restore_optimiser(self.optimiser, self.names, tensors)
        self.task.restore(self.training.task)
        return True

    def save(self) -> None:
        """Write the checkpoint, in the main process only."""
        if not self.group.is_main:
            return
        self.training.task = self.task.state()
        tensors = {f"network.{k}": v for k, v in self.task.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= optimiser_tensors(self.optimiser, self.names)
        save_checkpoint(self.checkpoint, self.training, tensors)

    def run(self, progress: Progress) -> nn.Module:
        """Train until a budget is spent.

        Parameters
        ----------
        progress : Progress
            Receiver of the progress, which may also cancel. The checkpoint is written in any
            case.

        Returns
        -------
        torch.nn.Module
            Moving average of the network.
        """
        budget_s = 60.0 * self.options.max_minutes
        if self.group.is_main:
            self._truncate_log(self.training.step)
        # Wrap here, after resume: DDP copies the weights of the main process when it is created.
        self._losses = self.group.wrap(_Losses(self.task))
        last = time.monotonic()
        saved_s = validated_s = self.training.trained_s
        epoch: list[dict[str, float]] = []
        progress.start(round(budget_s), "s", "training")
        progress.advance(round(min(self.training.trained_s, budget_s)))
        try:
            while (share := self._share(budget_s, progress)) is not None:
                epoch.append(self._step(share))
                now = time.monotonic()
                before = int(self.training.trained_s)
                self.training.trained_s += now - last
                last = now
                progress.advance(int(self.training.trained_s) - before)
                if len(epoch) == self.options.steps_per_epoch:
                    self._end_epoch(epoch, progress)
                    epoch = []
                if self.training.trained_s - saved_s > self.options.checkpoint_every_s:
                    self.save()
                    saved_s = self.training.trained_s
                if self.training.trained_s - validated_s > self.options.validate_every_s:
                    self._validate(progress)
                    validated_s = self.training.trained_s
                    last = time.monotonic()  # validation is not part of the time budget
        finally:
            self.save()
            progress.finish()
        self._validate(progress)
        return self.average

    def _share(self, budget_s: float, progress: Progress) -> float | None:
        """Return the fraction of the budget spent, measured by the main process; None to stop."""
        spent = self.training.trained_s / budget_s
        if self.options.max_steps is not None:
            spent = max(spent, self.training.step / self.options.max_steps)
        try:
            progress.check()
        except BaseException:
            self.group.broadcast(None)  # otherwise the other processes would wait forever
            raise
        return self.group.broadcast(spent if spent < 1.0 else None)

    def _validate(self, progress: Progress) -> None:
        """Validate the moving average in the main process; the others wait at the next step."""
        if self.group.is_main:
            self._log({"validation": self.task.validate(self.average)}, progress)

    def _step(self, share: float) -> dict[str, float]:
        """Perform one optimiser step and return the losses."""
        step = self.training.step
        # The main process draws the same numbers as a single process, the others different ones.
        rank = self.group.rank
        seed = self.options.seed * 1_000_003 + step + rank * 998_244_353
        context = StepContext(
            numpy_rng=np.random.default_rng([self.options.seed, step, *([rank] if rank else [])]),
            torch_rng=torch.Generator(self.device).manual_seed(seed),
            progress=share,
        )
        for group in self.optimiser.param_groups:
            group["lr"] = self.options.rate(share)
        self.task.network.train()
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.options.precision == "bfloat16"
        ):
            losses = (self._losses or self.task.losses)(context)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(losses["total"])
        norm = nn.utils.clip_grad_norm_(self.task.network.parameters(), self.options.clip_norm)
        if torch.isfinite(norm):  # skip a batch with an overflow
            self.optimiser.step()
        self.training.step += 1
        self._average()
        return {name: float(value.detach()) for name, value in losses.items()}

    @torch.no_grad()
    def _average(self) -> None:
        """Update the moving average, with a smaller decay at the start."""
        decay = min(
            self.options.ema_decay, (1.0 + self.training.step) / (10.0 + self.training.step)
        )
        own = self.task.network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(own[name], 1.0 - decay)
            else:
                value.copy_(own[name])

    def _end_epoch(self, epoch: list[dict[str, float]], progress: Progress) -> None:
        """Pass the mean losses of an epoch to the task and the log."""
        means = self.group.mean(
            {name: float(np.mean([losses[name] for losses in epoch])) for name in epoch[0]}
        )
        self.task.end_epoch(means)
        self._log({"losses": means}, progress)

    def _truncate_log(self, step: int) -> None:
        """Remove lines of the log after the step of the checkpoint, all lines for step 0."""
        log = self.folder / LOG_NAME
        if not log.exists():
            return
        lines = log.read_text("utf-8", "replace").splitlines(keepends=True)
        kept = [line for line in lines if step and _step_of(line) <= step]
        with replacing(log) as part:
            part.write_text("".join(kept), "utf-8")

    def _log(self, entry: dict[str, object], progress: Progress) -> None:
        """Append a line to the log and report it, in the main process only."""
        if not self.group.is_main:
            return
        head = {"step": self.training.step, "minutes": round(self.training.trained_s / 60.0, 2)}
        line = json.dumps({**head, **entry})
        log = self.folder / LOG_NAME
        try:
            with log.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise output_error(log, error) from error
        shown = [
            f"{name} {value:.4g}"
            for values in entry.values()
            if isinstance(values, dict)
            for name, value in values.items()
        ]
        what = "validation: " if "validation" in entry else ""
        progress.log(f"step {head['step']}, {head['minutes']:.1f} min: {what}{', '.join(shown)}")


def _step_of(line: str) -> float:
    """Return the step of a line of the log, infinity for an incomplete line."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return math.inf
