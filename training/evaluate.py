"""How good a model is: on scenes that it has not seen, with depth given, missing and broken."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..pipelines.image.checks import RefocusError
from ..pipelines.optical import render_bokeh
from ..pipelines.optics import DefocusMap
from . import metrics
from .batch import Batch
from .example import in_steps
from .mosaic import render_mosaic
from .trainee import Asked, Trainee, asked, sample, with_broken_depth

PHOTO, GIVEN, MISSING, BROKEN = "the photo as it is", "depth given", "depth missing", "depth broken"
SHARP, BLURRED = "the sharp picture", "blur added to it"
ALL, PLAIN = "all in focus", "the photo as it is, against all in focus"
BLURRED_ALL, BLURRED_PLAIN = "all in focus, of blurred photos", "blurred photos as they are, against all in focus"
IN_FOCUS = 0.2  # a photo that was taken with less blur is nearly sharp
LEVELS = 5  # of a sweep of blur, 0 among them
SWEPT = 32  # scenes of which a sweep is made
SHOWN = 4  # scenes of the contact sheet
STEPS = 4
MOSAIC = 128  # pixels up to which a scene is rendered in a mosaic


@dataclass(frozen=True)
class Report:
    """rows: {what was measured: {measure: value}}; sweep: numbers of the blur sweep; sheet [H, W, 3]: pictures, one row
    a scene: photo, then for each plane truth and result, then the results without depth."""

    rows: dict[str, dict[str, float]]
    sweep: dict[str, float]
    sheet: Tensor
    scenes: int
    steps: int

    def markdown(self) -> str:
        """As a table; a dash where nothing was measured."""
        columns = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        lines = [f"{self.scenes} scenes, {self.steps} steps of the sampler.", ""]
        lines += ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for name, row in self.rows.items():
            cells = ("-" if row.get(c) is None or math.isnan(row[c]) else f"{row[c]:.3f}" for c in columns)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines += ["", "| blur sweep | |", "|---|---|"]
        lines += [f"| {name} | {value:.3f} |" for name, value in self.sweep.items()]
        return "\n".join(lines) + "\n"


def evaluate(
    trainee: Trainee,
    batch: Batch,
    *,
    steps: int = STEPS,
    seed: int = 0,
    perceptual: tuple[str, ...] = ("lpips", "dists"),
    progress: Callable[[int, int], object] | None = None,
) -> Report:
    """batch: S scenes with at least two targets each. progress(part, parts) after each kind of picture."""
    s, k = batch.blur.shape
    if k < 2:
        raise RefocusError("validation needs two focal planes of each scene or more: simulate with more planes.")
    random = torch.Generator().manual_seed(seed)
    kinds: dict[str, Asked] = {
        GIVEN: asked(batch),
        MISSING: asked(batch, torch.zeros(s, dtype=torch.bool)),
        BROKEN: with_broken_depth(asked(batch), random),
    }
    done = 0

    def make(given: Asked) -> Tensor:
        nonlocal done
        out = sample(trainee, given, steps=steps, seed=seed)
        done += 1
        if progress is not None:
            progress(done, len(kinds) + 4)
        return out

    truth = batch.targets
    rows = {PHOTO: _against(batch.source[:, None].expand_as(truth), batch, perceptual)}
    results = {}
    for name, given in kinds.items():
        results[name] = make(given).unflatten(0, (s, k))
        rows[name] = _against(results[name], batch, perceptual)
        rows[name]["fused, dB"] = float(metrics.psnr(metrics.fused(results[name]), batch.aif).mean())
    rows[PHOTO]["fused, dB"] = float(metrics.psnr(batch.source, batch.aif).mean())
    rows["truth"] = {
        "asked plane sharper": float(metrics.focus_accuracy(truth, batch.point, batch.focus, batch.blur)),
        "planes disagree": float(metrics.disagreement(truth, batch.sharp)),
        "fused, dB": float(metrics.psnr(metrics.fused(truth), batch.aif).mean()),
    }
    first = batch.planes(torch.zeros(s, 1, dtype=torch.long))
    blurred = make(asked(first, source=batch.aif))
    rows[SHARP] = _alike(batch.aif, first.targets[:, 0], perceptual)
    rows[BLURRED] = _alike(blurred, first.targets[:, 0], perceptual)
    focused = make(replace(asked(first), blur=torch.zeros(s)))
    rows[PLAIN] = _alike(batch.source, batch.aif, perceptual)
    rows[ALL] = _alike(focused, batch.aif, perceptual)
    soft = batch.source_blur > IN_FOCUS
    if soft.any():  # what is sharp already hides in a mean of decibels what became of the rest
        rows[BLURRED_PLAIN] = _alike(batch.source[soft], batch.aif[soft], perceptual)
        rows[BLURRED_ALL] = _alike(focused[soft], batch.aif[soft], perceptual)
        for name, planes in ((BLURRED_PLAIN, batch.source[:, None]), (BLURRED_ALL, results[GIVEN])):
            rows[name]["fused, dB"] = float(metrics.psnr(metrics.fused(planes[soft]), batch.aif[soft]).mean())
    sheet = _sheet(batch, results[GIVEN], results[MISSING], focused)
    return Report(rows, _sweep(first[: min(s, SWEPT)], make), sheet, s, steps)


def _alike(pictures: Tensor, truth: Tensor, perceptual: tuple[str, ...]) -> dict[str, float]:
    found = {"PSNR, dB": metrics.psnr(pictures, truth), "SSIM": metrics.ssim(pictures, truth)}
    for name in perceptual:
        value = metrics.perceptual(name, pictures, truth)
        if value is not None:
            found[name.upper()] = value
    return {name: float(value.mean()) for name, value in found.items()}


def _against(planes: Tensor, batch: Batch, perceptual: tuple[str, ...]) -> dict[str, float]:
    return _alike(planes.flatten(0, 1), batch.targets.flatten(0, 1), perceptual) | {
        "asked plane sharper": float(metrics.focus_accuracy(planes, batch.point, batch.focus, batch.blur)),
        "planes disagree": float(metrics.disagreement(planes, batch.sharp)),
    }


def _sweep(first: Batch, make: Callable[[Asked], Tensor]) -> dict[str, float]:
    """The same plane with more and more blur: from the sharp picture (LVCorr) and from the photo."""
    s = len(first)
    away = (first.focus[:, :1, None] - first.disparity).abs().amax((1, 2))
    most = (0.8 / away.clamp(min=0.4))[:, None]  # radii up to 8 % of the width, as in training
    blur = most * torch.linspace(0, 1, LEVELS)  # [s, L]
    given = asked(first)
    rows = torch.arange(s).repeat_interleave(LEVELS)
    swept = replace(given.rows(rows), blur=blur.flatten())
    results = {
        "from the sharp picture": make(replace(swept, source=first.aif)),
        "from the photo": make(swept),
        "the renderer's own": render(first.aif[rows], swept.radius),
    }
    found = {}
    for name, pictures in results.items():
        sharpness = metrics.laplacian_variance(pictures).unflatten(0, (s, LEVELS))
        found[f"LVCorr {name}"] = float(metrics.level_correlation(blur, sharpness))
        found[f"monotone {name}"] = float(metrics.monotone(sharpness))
    return found


def render(pictures: Tensor, radius: Tensor) -> Tensor:
    """[n, H, W, 3] through a circle at radius [n, H, W], in the steps of 8 bits; small ones as a mosaic."""
    if max(radius.shape[1:]) <= MOSAIC and radius.shape[1] == radius.shape[2]:
        return in_steps(render_mosaic(pictures, radius), 255)
    taken = [
        render_bokeh(p[None], DefocusMap(r[None]), quality="fast", highlights=1)
        for p, r in zip(pictures, radius, strict=True)
    ]
    return in_steps(torch.cat(taken), 255)


def _sheet(batch: Batch, given: Tensor, missing: Tensor, focused: Tensor) -> Tensor:
    rows = []
    for i in range(min(SHOWN, len(batch))):
        row = [batch.source[i]]
        for plane in range(batch.blur.shape[1]):
            row += [batch.targets[i, plane], given[i, plane], missing[i, plane]]
        rows.append(row + [batch.aif[i], focused[i]])
    return contact_sheet(rows)


def contact_sheet(rows: list[list[Tensor]], gap: int = 2, least: int = 96) -> Tensor:
    """Pictures [H, W, 3] of one size, row by row on grey; each pixel is repeated until a side has `least` of them."""
    h, w = rows[0][0].shape[:2]
    times = max(1, -(-least // min(h, w)))
    high, wide = h * times + gap, w * times + gap
    sheet = torch.full((high * len(rows) + gap, wide * max(map(len, rows)) + gap, 3), 0.5)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            big = picture.repeat_interleave(times, 0).repeat_interleave(times, 1)
            top, left = gap + y * high, gap + x * wide
            sheet[top : top + h * times, left : left + w * times] = big
    return sheet


def write_picture(path: Path, picture: Tensor) -> None:
    """[H, W, 3] in 0..1 as a PNG, whole or not at all."""
    from PIL import Image

    from .state import whole

    pixels = Image.fromarray((picture.clamp(0, 1) * 255).round().byte().numpy())
    with whole(path) as temporary:
        pixels.save(temporary, "PNG")
