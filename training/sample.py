"""Make pictures with a trained model: a photo of yours, or a procedural scene beside its truth.

    sample --checkpoint run/model.safetensors --photo a.jpg --depth a_depth.png --focus 0.3,0.6 --blur 0,1 --out made
    sample --checkpoint run/model.safetensors --scene 3 --out made

Writes one PNG for each blur, and sheet.png with all of them. Blur 1 is RefocusLens's strength 100.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..pipelines.image.checks import RefocusError, check_number, check_whole
from ..pipelines.optics import focus_at_point
from .data import UNSEEN, Procedural
from .evaluate import contact_sheet, write_picture
from .example import in_steps, scaled
from .files import read_depth, read_picture
from .trainee import Asked, Trainee, asked, sample
from .validate import add_model, open_model

SUMMARY = "make pictures with a trained model"
SHEET = "sheet.png"
LARGEST_BLUR = 10.0


def arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--photo", type=Path, help="any photo; it is made as large as those of training")
    what.add_argument("--scene", type=int, help="number of a procedural scene, for the small model")
    add("--depth", type=Path, help="depth of the photo, near white; without it the model goes by the photo alone")
    add("--focus", default="0.5,0.5", help="x,y of the point in focus, 0 to 1 (default %(default)s)")
    add("--blur", default="0,0.25,0.5,1", help="one or several (default %(default)s)")
    add("--size", type=int, default=0, help="longer side in pixels; 0: that of training")
    add("--out", required=True, help="folder for the pictures")


def run(given: argparse.Namespace) -> int:
    blurs = _numbers("--blur", given.blur, LARGEST_BLUR)
    x, y = _pair(given.focus)
    check_whole("--size", given.size, 0, 4096)
    if given.photo:
        _there(given.photo)
    if given.depth:
        _there(given.depth)
    model, side = open_model(given)
    out = Path(given.out)
    if given.photo is None:
        sheet = _scene(model, side, check_whole("--scene", given.scene, 0, UNSEEN), given)
    else:
        task = _task(model, given, given.size or side, (x, y), blurs)
        made = sample(model, task, steps=given.steps, seed=given.seed, most=1)
        for b, picture in zip(blurs, made, strict=True):
            write_picture(out / f"blur_{b:g}.png", picture)
        sheet = contact_sheet([[task.source[0], *made]])
    write_picture(out / SHEET, sheet)
    print(f"wrote {out / SHEET}")
    return 0


def _scene(model: Trainee, side: int, number: int, given: argparse.Namespace) -> Tensor:
    """One row for each plane: photo, truth, result, and the result without depth."""
    batch = Procedural(1, side, first=UNSEEN + number).all
    results = [
        sample(model, asked(batch, torch.tensor([known])), steps=given.steps, seed=given.seed)
        for known in (True, False)
    ]
    return contact_sheet(
        [[batch.source[0], batch.targets[0, k], *(r[k] for r in results)] for k in range(batch.blur.shape[1])]
    )


def _task(
    model: Trainee, given: argparse.Namespace, side: int, point: tuple[float, float], blurs: list[float]
) -> Asked:
    """The photo at the size of training, its sides whole tokens; one picture for each blur."""
    photo = torch.from_numpy(np.array(read_picture(given.photo))).float() / 255
    h, w = photo.shape[:2]
    size = tuple(max(1, round(n * side / max(h, w) / model.token)) * model.token for n in (h, w))
    photo = F.interpolate(photo.permute(2, 0, 1)[None], size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    n = len(blurs)
    if given.depth:
        disparity = read_depth(given.depth).float()
        disparity = disparity.mean(-1) if disparity.ndim == 3 else disparity
        disparity = scaled(F.interpolate(disparity[None, None], size, mode="bilinear", antialias=True)[0, 0])
    else:
        disparity = torch.zeros(size)
    return Asked(
        source=in_steps(photo.clamp(0, 1), 255)[None],
        scene=torch.zeros(n, dtype=torch.long),
        point=torch.tensor(point).expand(n, 2),
        blur=torch.tensor(blurs),
        focus=focus_at_point(disparity[None], *point).expand(n),
        disparity=disparity.expand(n, *size),
        known=torch.full((n,), bool(given.depth)),
    )


def _there(path: Path) -> None:
    if not path.is_file():
        raise RefocusError(f"{path} is not there, but a picture is needed: look at its path.")


def _numbers(name: str, text: str, most: float) -> list[float]:
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        found = []
    if not found:
        raise RefocusError(f"{name} is '{text[:40]}', but numbers with commas between them are needed, as 0,0.5,1.")
    return [check_number(name, v, 0, most) for v in found]


def _pair(text: str) -> tuple[float, float]:
    found = _numbers("--focus", text, 1)
    if len(found) != 2:
        raise RefocusError(f"--focus is '{text[:40]}', but x,y is needed, both from 0 to 1, as 0.5,0.5.")
    return found[0], found[1]
