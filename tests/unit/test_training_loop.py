"""The loop with the small model: going on bit for bit, states, logs, averages, and what is said when it fails."""

import errno
import json
import os
import signal

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.training import loop, optimizers, state
from rackfocus.training.batch import Batch
from rackfocus.training.loop import Habits, Plan, numbers_of, one_loss, seeded, train
from rackfocus.training.small import Small
from rackfocus.training.trainee import trained

CPU = torch.device("cpu")
PLAN = Plan(steps=4, scenes=2, planes=2, optimizer="muon", rate=2e-3, ramp_start=0.25, ramp_end=0.75)


class Drawn:
    """Six scenes of noise, half of whose pixels are sharp: nothing is rendered."""

    def __init__(self):
        random = torch.Generator().manual_seed(5)
        aif, other = (torch.rand(6, n, 16, 24, 3, generator=random) for n in (1, 3))
        sharp = torch.zeros(6, 3, 16, 24, dtype=torch.bool)
        sharp[:, 0, :, :12] = sharp[:, 1:, :, 12:] = True
        self.all = Batch(
            aif=aif[:, 0],
            source=other[:, 0],
            disparity=torch.rand(6, 16, 24, generator=random),
            targets=torch.where(sharp[..., None], aif, other),
            blur=torch.rand(6, 3, generator=random),
            focus=torch.rand(6, 3, generator=random),
            point=torch.rand(6, 3, 2, generator=random),
            sharp=sharp,
            source_blur=torch.zeros(6),
            source_focus=torch.zeros(6),
        )

    def __len__(self):
        return 6

    def batch(self, numbers, planes, random):
        which = torch.rand(len(numbers), 3, generator=random).argsort(1)[:, :planes]
        return self.all[torch.as_tensor(numbers)].planes(which)


def model(width=16, seed=0):
    torch.manual_seed(seed)
    made = Small(width=width, inner=4, layers=1)
    made.fit(Drawn().all)
    return made


def lines(folder):
    read = [json.loads(line) for line in (folder / loop.LOG).read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read]


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, name):
    plan = Plan(**{**vars(PLAN), "optimizer": name})
    straight, halted = model(), model()
    done, average = train(straight, Drawn(), plan, tmp_path / "a", Habits(log_every=1))
    assert done == 4
    assert train(halted, Drawn(), plan, tmp_path / "b", Habits(log_every=1, stop_after=2))[0] == 2
    halted = model(seed=9)  # another process knows nothing of the first
    halted.fit(Drawn().all)
    done, other = train(halted, Drawn(), plan, tmp_path / "b", Habits(log_every=1))
    assert done == 4
    for key, p in trained(straight.module).items():
        assert torch.equal(p, trained(halted.module)[key]), key
        assert torch.equal(average.values[key], other.values[key]), key
    assert lines(tmp_path / "a") == lines(tmp_path / "b")
    assert [line["step"] for line in lines(tmp_path / "b")] == [1, 2, 3, 4]
    assert not [p for p in (tmp_path / "b").iterdir() if p.name not in (loop.STATE, loop.LOG)]


def test_it_learns_something_and_changes_nothing_else(tmp_path):
    made = model()
    before = {k: v.clone() for k, v in made.module.state_dict().items()}
    train(made, Drawn(), PLAN, tmp_path)
    after = made.module.state_dict()
    for name in ("spread", "latents.mean", "latents.axes", "latents.scale"):
        assert torch.equal(before[name], after[name])
    moved = [k for k in trained(made.module) if not torch.equal(before[k], after[k])]
    assert "last.weight" in moved and "first.weight" in moved and "blocks.0.mix.linear.weight" in moved


def test_stacking_is_weighed_by_its_ramp(tmp_path):
    train(model(), Drawn(), PLAN, tmp_path, Habits(log_every=1))
    assert [line["weight"] for line in lines(tmp_path)] == [0, 0, 0.125, 0.25]
    line = lines(tmp_path)[-1]
    assert line["loss"] == pytest.approx(line["flow"] + 0.25 * line["stack"], rel=1e-4)
    assert line["stack"] > 0 and 0 < line["stacked"] <= 1


def test_parts_of_a_step_add_up_to_their_mean():
    """What accumulate computes one after another is what processes compute side by side."""
    made = model()
    grads = []
    for part in range(2):
        made.module.zero_grad()
        one_loss(made, Drawn(), PLAN, 1, part, 2, CPU)[0].backward()
        grads.append(made.module.last.weight.grad.clone())
    assert not torch.equal(*grads)
    made.module.zero_grad()
    for part in range(2):
        (one_loss(made, Drawn(), PLAN, 1, part, 2, CPU)[0] / 2).backward()
    assert torch.allclose(made.module.last.weight.grad, (grads[0] + grads[1]) / 2, atol=1e-7)


def test_depth_is_dropped_as_often_as_asked(monkeypatch):
    made, seen = model(), []
    real = made.conditions
    made.conditions = lambda given: seen.append(given.known) or real(given)
    for drop in (0.0, 1.0, 0.5):
        seen.clear()
        for step in range(20):
            one_loss(made, Drawn(), Plan(**{**vars(PLAN), "drop": drop}), step, 0, 1, CPU)
        share = 1 - torch.cat(seen).float().mean()
        assert abs(share - drop) < 0.3 * (0 < drop < 1) + 1e-6


def test_every_scene_comes_once_in_each_round():
    numbers = numbers_of(7, 0, 21, 3)
    for start in (0, 7, 14):
        assert sorted(numbers[start : start + 7]) == list(range(7))
    assert numbers[:7] != numbers[7:14]
    assert numbers_of(7, 5, 9, 3) == numbers[5:14]
    assert numbers_of(7, 0, 7, 4) != numbers[:7]


def test_what_is_drawn_depends_on_seed_and_purpose():
    a, b, c, d = (torch.rand(1, generator=seeded(*what)) for what in ((0, 1, 2), (0, 1, 2), (0, 2, 1), (1, 1, 2)))
    assert a == b and a != c and a != d


def test_the_rate_rises_stays_and_falls():
    plan = Plan(steps=100, warmup=0.1, decay=0.5)
    rates = [plan.rate_at(i) for i in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:51] == [1.0] * 42
    assert rates[75] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate": 1e-3}, "another run: its rate is 0.002"),
        ({"seed": 1}, "another run: its seed is 0"),
        ({"width": 24}, "another model: its width is 16 and now it is 24"),
    ],
)
def test_a_state_of_another_run_is_refused(tmp_path, change, words):
    train(model(), Drawn(), PLAN, tmp_path, Habits(stop_after=1))
    before = (tmp_path / loop.STATE).read_bytes()
    width = change.pop("width", 16)
    with pytest.raises(RefocusError, match=words):
        train(model(width), Drawn(), Plan(**{**vars(PLAN), **change}), tmp_path)
    assert (tmp_path / loop.STATE).read_bytes() == before


def test_a_broken_state_is_refused(tmp_path):
    train(model(), Drawn(), PLAN, tmp_path, Habits(stop_after=1))
    whole = (tmp_path / loop.STATE).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"rubbish"):
        (tmp_path / loop.STATE).write_bytes(content)
        with pytest.raises(RefocusError, match="cannot be read as a state of training"):
            train(model(), Drawn(), PLAN, tmp_path)
    torch.save({"version": 99}, tmp_path / loop.STATE)
    with pytest.raises(RefocusError, match="no state of version 1"):
        train(model(), Drawn(), PLAN, tmp_path)


@pytest.mark.parametrize("how", ["oserror", "torch"])
def test_a_full_disk_leaves_the_last_state(tmp_path, monkeypatch, how):
    train(model(), Drawn(), PLAN, tmp_path, Habits(stop_after=2))
    before = (tmp_path / loop.STATE).read_bytes()

    def full(what, path):
        with open(path, "wb") as file:
            file.write(b"half")
        if how == "torch":
            raise RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file data/1")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(state.torch, "save", full)
    with pytest.raises(RefocusError, match=r"the disk is full: state\.pt could not be written"):
        train(model(), Drawn(), PLAN, tmp_path, Habits(save_every=1))
    monkeypatch.undo()
    assert (tmp_path / loop.STATE).read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [loop.LOG, loop.STATE]
    assert train(model(), Drawn(), PLAN, tmp_path)[0] == 4


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RefocusError, match="could not be written"):
        train(model(), Drawn(), PLAN, tmp_path / "file" / "run")


def test_ctrl_c_ends_the_step_and_saves(tmp_path):
    said = []

    def stop(line):
        said.append(line)
        if line.startswith("step 2"):
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(model(), Drawn(), PLAN, tmp_path, Habits(log_every=1), said=stop)
    assert signal.getsignal(signal.SIGINT) is before
    assert torch.load(tmp_path / loop.STATE, weights_only=True)["step"] == 2
    halted = model(seed=4)
    train(halted, Drawn(), PLAN, tmp_path, said=said.append)
    assert "going on from step 2" in said
    straight = model()
    train(straight, Drawn(), PLAN, tmp_path / "straight")
    assert torch.equal(halted.module.last.weight, straight.module.last.weight)


def test_lines_after_the_state_are_dropped_and_cut_ones_too(tmp_path):
    path = tmp_path / loop.LOG
    path.write_text('{"step": 1}\n{"step": 5}\n{"ste')
    log = state.Log(path, 3)
    log(4, loss=1.5)
    log.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"step": 1}, {"step": 4, "loss": 1.5}]


def test_samples_are_made_with_the_average(tmp_path):
    made, seen = model(), []

    def look(step):
        seen.append((step, made.module.last.weight.detach().clone()))

    _, average = train(made, Drawn(), PLAN, tmp_path, Habits(sample_every=2), samples=look)
    assert [step for step, _ in seen] == [2, 4]
    assert torch.equal(seen[1][1], average.values["last.weight"])
    assert not torch.equal(seen[1][1], made.module.last.weight)  # and the parameters are back


def test_an_average_of_a_constant_is_that_constant():
    p = {"a": torch.ones(3)}
    average = state.Average(p, 0.9)
    for _ in range(5):
        average.update(p)
    assert torch.allclose(average.values["a"], torch.ones(3))
    p["a"] = torch.full((3,), 2.0)
    average.steps = 1000
    average.update(p)
    assert torch.allclose(average.values["a"], torch.full((3,), 1.1))


def test_a_gradient_that_is_no_number_ends_in_a_sentence(tmp_path):
    made = model()
    made.velocity = lambda *given: made.module(*given) * float("nan")
    with pytest.raises(RefocusError, match="not a finite number"):
        train(made, Drawn(), PLAN, tmp_path)


def test_eight_bits_need_their_library(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes.optim", None)
    with pytest.raises(RefocusError, match="needs bitsandbytes"):
        optimizers.make_optimizers("adamw8bit", {"a": torch.nn.Parameter(torch.ones(2))}, 1e-3)


def test_all_parameters_have_one_optimizer():
    parameters = trained(model().module)
    for name in ("adamw", "muon"):
        found = [
            p for o in optimizers.make_optimizers(name, parameters, 1e-3) for g in o.param_groups for p in g["params"]
        ]
        assert {id(p) for p in found} == {id(p) for p in parameters.values()}
        assert len(found) == len(parameters)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"drop": 1.5}, "drop is 1.5"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'"),
        ({"ramp_start": 0.8}, "ends before it starts"),
        ({"rate": float("nan")}, "rate is"),
    ],
)
def test_a_plan_is_checked(wrong, words):
    with pytest.raises(RefocusError, match=words):
        Plan(**wrong)
