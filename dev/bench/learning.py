"""The small model trained with and without what the method adds, and measured: python -m dev.bench learning.

Rows are measures, columns the variants; a cell is the mean over seeds, with its least and largest. All variants see the
same scenes for the same steps, on one thread. What is trained is kept in out/learning and not trained again.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from rackfocus.training.data import UNSEEN, Procedural
from rackfocus.training.evaluate import (
    ALL,
    BLURRED,
    BLURRED_ALL,
    BLURRED_PLAIN,
    BROKEN,
    GIVEN,
    MISSING,
    PHOTO,
    PLAIN,
    SHARP,
    evaluate,
)
from rackfocus.training.loop import Habits, Plan, train
from rackfocus.training.models import new_small, write_model
from rackfocus.training.optimizers import MUON
from rackfocus.training.trainee import trained

from ..host.paths import ROOT

OUT = Path(ROOT) / "out" / "learning"
SCENES, UNSEEN_SCENES, SIZE = 2048, 256, 32
STEPS, RATE, STEPS_OF_SAMPLER = 3000, 2e-3, 4
METHOD, WITHOUT_DROPOUT, WITHOUT_STACKING, STACKING_1 = "method", "no dropout", "no stacking", "stacking 1"
PLAN = Plan(steps=STEPS, optimizer=MUON, rate=RATE)
VARIANTS = {
    METHOD: PLAN,
    WITHOUT_DROPOUT: replace(PLAN, drop=0.0),
    WITHOUT_STACKING: replace(PLAN, stack=0.0),
    STACKING_1: replace(PLAN, stack=1.0, ramp_start=0.0, ramp_end=0.0),
}
REFOCUS, BLUR, NO_DEPTH, DISAGREE = (
    "refocusing, dB",
    "blur added to a sharp picture, dB",
    "depth missing, dB",
    "disagree",
)
PHOTO_IS, SHARP_IS = "the photo as it is, dB", "the sharp picture as it is, dB"
LVCORR, MONOTONE, ASKED = "LVCorr", "blur sweep monotone", "asked plane is the sharper one"
FUSED, FUSED_PHOTO = "three planes fused, against all in focus, dB", "the photo, against all in focus, dB"


class Bench:
    """Scenes made once, for all runs. seen: for training; unseen: for measuring."""

    def __init__(self, folder: Path = OUT, said=print, steps: int = STEPS):
        self.folder, self.said, self.steps = folder, said, steps
        torch.set_num_threads(1)
        self.seen = Procedural(SCENES, SIZE)
        self.unseen = Procedural(UNSEEN_SCENES, SIZE, first=UNSEEN).all

    def run(self, variant: str, seed: int, steps: int = STEPS_OF_SAMPLER) -> dict[str, float]:
        """Train one variant, or go on where it was stopped, and measure it."""
        plan = replace(VARIANTS[variant], seed=seed, steps=self.steps)
        model = new_small(self.seen.all[:512], seed)
        out, began = self.folder / f"{variant} {seed} {self.steps}", time.process_time()
        done, average = train(model, self.seen, plan, out, Habits(log_every=100, save_every=250), said=self.said)
        took = time.process_time() - began
        average.put(average.values, trained(model.module))
        write_model(out / "model.safetensors", model, done, (SIZE, SIZE), "dev.bench learning", {})
        report = evaluate(model, self.unseen, steps=steps, perceptual=())
        (out / "report.md").write_text(report.markdown(), encoding="utf-8")
        self.said(f"{variant}, seed {seed}: trained for {took:.0f} CPU s here")
        rows, sweep = report.rows, report.sweep
        return {
            PHOTO_IS: rows[PHOTO]["PSNR, dB"],
            REFOCUS: rows[GIVEN]["PSNR, dB"],
            "depth broken, dB": rows[BROKEN]["PSNR, dB"],
            NO_DEPTH: rows[MISSING]["PSNR, dB"],
            SHARP_IS: rows[SHARP]["PSNR, dB"],
            BLUR: rows[BLURRED]["PSNR, dB"],
            LVCORR: sweep["LVCorr from the sharp picture"],
            "LVCorr of the renderer": sweep["LVCorr the renderer's own"],
            MONOTONE: sweep["monotone from the sharp picture"],
            ASKED: rows[GIVEN]["asked plane sharper"],
            "... in truth": rows["truth"]["asked plane sharper"],
            DISAGREE: rows[GIVEN]["planes disagree"],
            FUSED_PHOTO: rows[PHOTO]["fused, dB"],
            FUSED: rows[GIVEN]["fused, dB"],
            "the photo, all in focus asked, dB": rows[PLAIN]["PSNR, dB"],
            "all in focus, dB": rows[ALL]["PSNR, dB"],
            "blurred photos, all in focus asked, dB": rows[BLURRED_PLAIN]["PSNR, dB"],
            "all in focus of blurred photos, dB": rows[BLURRED_ALL]["PSNR, dB"],
            "their planes fused, dB": rows[BLURRED_ALL]["fused, dB"],
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="*", help=f"of {', '.join(VARIANTS)}; all if none is named")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sampler", type=int, default=STEPS_OF_SAMPLER, help="steps of the sampler")
    given = parser.parse_args()
    unknown = set(given.variants) - set(VARIANTS)
    if unknown or given.seeds < 1:
        parser.error(
            f"unknown: {', '.join(sorted(unknown))}; choose of {', '.join(VARIANTS)}."
            if unknown
            else f"--seeds is {given.seeds}, but 1 or more is needed."
        )
    bench = Bench(steps=given.steps)
    found = {
        variant: [bench.run(variant, seed, given.sampler) for seed in range(given.seeds)]
        for variant in given.variants or VARIANTS
    }
    print(f"\n{given.steps} steps on {SCENES} scenes of {SIZE} px, {given.seeds} seeds; {UNSEEN_SCENES} unseen scenes,")
    print(f"{given.sampler} steps of the sampler; mean (least .. largest)\n")
    print("| | " + " | ".join(found) + " |\n" + "|---" * (len(found) + 1) + "|")
    for name in next(iter(found.values()))[0]:
        cells = []
        for runs in found.values():
            values = [run[name] for run in runs]
            cells.append(f"{sum(values) / len(values):.3f} ({min(values):.3f} .. {max(values):.3f})")
        print(f"| {name} | " + " | ".join(cells) + " |")
