"""The loop: batches in, a checkpoint out. The same for the small model and for FLUX.1-dev.

Everything that a step draws comes from (seed, step, part), so that a run that was stopped goes on as if it had not
been: no state of a generator is kept, and no order of data.
"""

import contextlib
import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..pipelines.diffcamera.objective import RAMP, WEIGHT, draw_times, losses, noised, stack_weight, token_mask
from ..pipelines.image.checks import RefocusError, check_choice, check_number, check_whole
from .batch import TURNS, Batch
from .optimizers import ADAMW, NAMES, make_optimizers
from .state import Average, Log, load_state, save_state
from .trainee import Trainee, asked, trained, with_broken_depth

STATE, LOG = "state.pt", "log.jsonl"


class Data(Protocol):
    """Scenes by their number; a pure function of it."""

    def __len__(self) -> int: ...

    def batch(self, numbers: Sequence[int], planes: int, random: torch.Generator) -> Batch:
        """These scenes, with so many targets of each, drawn by `random`."""


@dataclass(frozen=True)
class Plan:
    """What a run is.

    steps; scenes of a step on each device, with `planes` targets each; accumulate: such parts to a step
    rate: of the optimizer; warmup, decay: shares of the steps in which it rises, and at the end falls to a fiftieth
    drop: probability that depth is missing; broken: that a kept map is one as models get them wrong
    stack, ramp_start, ramp_end: lambda and its ramp, see objective.py
    mean, spread: of the logit-normal times; average: decay of the moving average; clip: largest norm of the gradient
    turn: whether scenes are mirrored (of square ones also about the diagonal)
    """

    steps: int = 3000
    scenes: int = 16
    planes: int = 2
    accumulate: int = 1
    optimizer: str = ADAMW
    rate: float = 1e-4
    warmup: float = 0.02
    decay: float = 0.6
    drop: float = 0.3
    broken: float = 0.0
    stack: float = WEIGHT
    ramp_start: float = RAMP[0]
    ramp_end: float = RAMP[1]
    mean: float = 0.0
    spread: float = 1.0
    average: float = 0.998
    clip: float = 1.0
    turn: bool = True
    seed: int = 0

    def __post_init__(self):
        for name, least in (("steps", 1), ("scenes", 1), ("planes", 1), ("accumulate", 1), ("seed", 0)):
            check_whole(name, getattr(self, name), least)
        for name in ("warmup", "decay", "drop", "broken", "ramp_start", "ramp_end", "average"):
            check_number(name, getattr(self, name), 0, 1)
        for name in ("rate", "stack", "spread", "clip"):
            check_number(name, getattr(self, name), 0)
        check_choice("the optimizer", self.optimizer, NAMES)
        if self.ramp_end < self.ramp_start:
            raise RefocusError("the ramp of the stacking weight ends before it starts: give ramp_end the larger value.")

    def rate_at(self, step: int) -> float:
        """Of the whole rate: up, along, and down to a fiftieth."""
        up = min(1.0, (step + 1) / max(1.0, self.warmup * self.steps))
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        return up * max(0.02, min(1.0, left))


@dataclass(frozen=True)
class Habits:
    """What a run does beside learning, which may change when it goes on: how often it logs, saves and samples."""

    log_every: int = 20
    save_every: int = 500
    sample_every: int = 500
    stop_after: int = 0  # steps of this call; 0: all that are left


def seeded(seed: int, *what) -> torch.Generator:
    """A generator for one purpose: the same for the same words."""
    digest = hashlib.sha256(f"rackfocus training {seed} {what}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def numbers_of(total: int, start: int, count: int, seed: int) -> list[int]:
    """Places start .. start + count - 1 of an endless row, in which each scene comes once in every `total`."""
    found: list[int] = []
    for place in range(start, start + count):
        if not found or place % total == 0:
            order = torch.randperm(total, generator=seeded(seed, "order", place // total)).tolist()
        found.append(order[place % total])
    return found


def one_loss(trainee: Trainee, data: Data, plan: Plan, step: int, part: int, parts: int, device) -> tuple[Tensor, dict]:
    """The loss of one part of a step, and what to log of it. parts: of a step, on all devices together."""
    random = seeded(plan.seed, step, part)
    numbers = numbers_of(len(data), (step * parts + part) * plan.scenes, plan.scenes, plan.seed)
    batch = data.batch(numbers, plan.planes, random)
    h, w = batch.size
    if plan.turn:
        batch = batch.turned(int(torch.randint(TURNS if h == w else TURNS // 2, (1,), generator=random)))
    s, k = batch.blur.shape
    tokens = h // trainee.token * (w // trainee.token)
    t = draw_times(s, tokens, random, plan.mean, plan.spread)
    known = torch.rand(s, generator=random) >= plan.drop
    given = asked(batch, known)
    broken = torch.rand((), generator=random) < plan.broken  # drawn whatever `broken` is: runs stay comparable
    if broken:
        given = with_broken_depth(given, random)
    batch, given, t = batch.to(device), given.to(device), t.to(device)
    z = trainee.encode(batch.targets.flatten(0, 1))
    noise = torch.randn((s, *z.shape[1:]), generator=random).to(z)
    z = z.unflatten(0, (s, k))
    noisy = noised(z, noise, t.to(z)).flatten(0, 1)
    v = trainee.velocity(noisy, t.repeat_interleave(k), trainee.conditions(given)).unflatten(0, (s, k))
    weight = stack_weight(step, plan.steps, plan.stack, (plan.ramp_start, plan.ramp_end))
    found = losses(v, z, noise, token_mask(batch.sharp, trainee.token), trainee.encode(batch.aif), weight)
    said = {"loss": found.total, "flow": found.flow, "stack": found.stack, "stacked": found.stacked}
    return found.total, {name: value.detach() for name, value in said.items()} | {"weight": weight}


def train(
    trainee: Trainee,
    data: Data,
    plan: Plan,
    out: Path,
    habits: Habits = Habits(),
    *,
    accelerator=None,
    samples: Callable[[int], None] | None = None,
    said: Callable[[str], object] = lambda line: None,
) -> tuple[int, Average]:
    """Train until plan.steps, from the state in `out` if there is one. -> (steps done, the average of the parameters).

    accelerator: accelerate's, for devices other than this process's CPU. samples(step) is called with the average in
    the place of the parameters. Ctrl+C ends the step and saves the state. At the end the trainee has the parameters
    themselves.
    """
    device = accelerator.device if accelerator else torch.device("cpu")
    rank, ranks = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    first = rank == 0
    parameters = trained(trainee.module)
    optimizers = make_optimizers(plan.optimizer, parameters, plan.rate)
    average = Average(parameters, plan.average)
    about = {"name": trainee.name, **trainee.config()}
    settings = asdict(plan) | {"ranks": ranks, "data": len(data)}
    state = load_state(out / STATE, about, settings)
    done = _restore(state, parameters, optimizers, average) if state else 0
    if state:
        said(f"going on from step {done}")
    log = Log(out / LOG, done) if first else None
    until = plan.steps if not habits.stop_after else min(plan.steps, done + habits.stop_after)
    parts = plan.accumulate * ranks

    def save() -> None:
        if first:
            save_state(out / STATE, _state(done, about, settings, parameters, optimizers, average))

    began, recent = time.monotonic(), done
    with _stopping() as stopped:
        while done < until:
            values: dict[str, Any] = {}
            for i in range(plan.accumulate):
                loss, values = one_loss(trainee, data, plan, done, i * ranks + rank, parts, device)
                (loss / plan.accumulate).backward()
            norm = _gradients(parameters, accelerator, plan.clip)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["full"] * plan.rate_at(done)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            average.update(parameters)
            done += 1
            if log and (done % habits.log_every == 0 or done == until):
                each = (time.monotonic() - began) / max(1, done - recent)
                began, recent = time.monotonic(), done
                numbers = {name: round(float(v), 6) for name, v in values.items()}
                numbers |= {"gradient": round(float(norm), 6), "rate": plan.rate * plan.rate_at(done - 1)}
                log(done, **numbers, seconds=round(each, 4), **_memory(device))
                flow, stack = numbers["flow"], numbers["stack"]
                said(f"step {done} of {plan.steps}: flow {flow:.4f}, stack {stack:.4f}, {each:.2f} s a step")
            if done % habits.save_every == 0 or done == until or stopped:
                save()
            if stopped:
                raise KeyboardInterrupt
            if samples and first and (done % habits.sample_every == 0 or done == plan.steps):
                with average.applied(parameters):
                    samples(done)
    if log:
        log.close()
    return done, average


def _gradients(parameters: dict[str, Tensor], accelerator, clip: float) -> Tensor:
    """The mean over devices, and at most `clip` long. -> its norm. RefocusError where it is no number."""
    for p in parameters.values():
        if p.grad is None:  # nothing of this step reached it, as depth's part where all depth was dropped
            p.grad = torch.zeros_like(p)
        if accelerator and accelerator.num_processes > 1:
            p.grad = accelerator.reduce(p.grad, reduction="mean")
    norm = torch.nn.utils.clip_grad_norm_(parameters.values(), clip)
    if not norm.isfinite():
        raise RefocusError(
            "the gradient is not a finite number, so nothing can be learned from it: lower --rate, or start again from "
            "the last state."
        )
    return norm


def _state(done: int, about: dict, settings: dict, parameters, optimizers, average: Average) -> dict[str, Any]:
    return {
        "step": done,
        "model": about,
        "plan": settings,
        "parameters": {name: p.detach().cpu() for name, p in parameters.items()},
        "average": {name: p.cpu() for name, p in average.values.items()},
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }


def _restore(state: dict[str, Any], parameters, optimizers, average: Average) -> int:
    Average.put(state["parameters"], parameters)
    for name, value in average.values.items():
        value.copy_(state["average"][name])
    average.steps = state["step"]
    for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(kept)
    return int(state["step"])


@contextlib.contextmanager
def _stopping() -> Iterator[list[bool]]:
    """The first Ctrl+C is noted, so that the step can end and be saved; the second one stops at once."""
    stopped: list[bool] = []

    def note(number, frame):
        if stopped:
            raise KeyboardInterrupt
        stopped.append(True)

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield stopped
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _memory(device: torch.device) -> dict[str, float]:
    """Largest memory of the device so far, in GiB; nothing for a CPU."""
    if device.type != "cuda":
        return {}
    return {"gib": round(torch.cuda.max_memory_allocated(device) / 2**30, 2)}


PLAN_FIELDS = tuple(f.name for f in fields(Plan))
