"""Focus stacking against path-traced truth: both scenes, PSNR in dB of the clipped sRGB picture."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import map_coordinates

from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optical.stacking import fuse_stack
from rackfocus.tests.pictures import psnr


@pytest.fixture(scope="module")
def scenes(truth):
    """(frames [N, H, W, 3], truth [1, H, W, 3], band [H, W] round depth edges) for each scene."""
    found = []
    for meta in sorted(truth.glob("scene_*/meta.json")):
        folder = meta.parent

        def shot(name, folder=folder):
            return torch.from_numpy(np.load(folder / f"{name}.npz")["linear"].astype(np.float32))[None]

        n = len(json.loads(meta.read_text())["stack_focus_m"])
        d = 1 / torch.from_numpy(np.load(folder / "aif.npz")["depth"])[None]
        step = ((F.max_pool2d(d, 3, 1, 1) + F.max_pool2d(-d, 3, 1, 1)) / d > 0.15).float()
        found.append(
            (
                encode_srgb(torch.cat([shot(f"stack_{i}") for i in range(n)])),
                encode_srgb(shot("aif")),
                F.max_pool2d(step, 27, 1, 13)[0] > 0,
            )
        )
    return found


def drifted(frames, seed):
    """Breathing up to 3 percent, shift 5 px at 480 wide, rotation 0.5 degrees, exposure 10 percent; the first frame
    stays. Quintic splines: the drift itself is to cost as little as it can."""
    g = torch.Generator().manual_seed(seed)
    n, h, w, _ = frames.shape
    y, x = np.mgrid[:h, :w] - np.array([(h - 1) / 2, (w - 1) / 2])[:, None, None]
    reach, out = 5 * w / 480, [frames[0]]
    for i in range(1, n):
        turn, dx, dy, light = (torch.rand(4, generator=g) * 2 - 1).tolist()
        scale, turn = 1 + 0.03 * i / (n - 1), math.radians(0.5 * turn)
        c, s = scale * math.cos(turn), scale * math.sin(turn)
        at = [s * x + c * y + reach * dy + (h - 1) / 2, c * x - s * y + reach * dx + (w - 1) / 2]
        f = np.stack([map_coordinates(p, at, order=5, mode="reflect") for p in frames[i].movedim(-1, 0).numpy()], -1)
        out.append(encode_srgb(decode_srgb(torch.from_numpy(f).clamp(0, 1)) * (1 + 0.1 * light)))
    return torch.stack(out)


@pytest.mark.parametrize("method, least", [("average", 28.6), ("depth", 28.7), ("pyramid", 29.0)])
def test_fused_picture_is_near_truth(scenes, method, least):
    fused = [(fuse_stack(f, method=method).image, f, t, band) for f, t, band in scenes]
    assert np.mean([psnr(image, t) for image, _, t, _ in fused]) > least
    # the plain mean of the light, and of the sRGB values, which scores higher
    for mean in (lambda f: encode_srgb(decode_srgb(f).mean(0, keepdim=True)), lambda f: f.mean(0, keepdim=True)):
        gain = [psnr(image, t, band) - psnr(mean(f), t, band) for image, f, t, band in fused]
        assert np.mean(gain) > 4


@pytest.mark.parametrize("seed", [0, 1])
def test_align_brings_a_drifted_stack_back(scenes, seed):
    lost, gained = [], []
    for frames, t, _ in scenes:
        drift = drifted(frames, seed)
        aligned = psnr(fuse_stack(drift, align=True).image, t)
        lost.append(psnr(fuse_stack(frames).image, t) - aligned)
        gained.append(aligned - psnr(fuse_stack(drift).image, t))
    assert np.mean(lost) < 0.7
    assert max(lost) < 0.85
    assert min(gained) > 6


def test_depth_keeps_colours_that_exist(scenes):
    """Each pixel lies between the colours that two neighbouring frames have there; octaves do not keep that."""
    for frames, _, _ in scenes:
        low, high = torch.minimum(frames[:-1], frames[1:]) - 1e-5, torch.maximum(frames[:-1], frames[1:]) + 1e-5

        def strange(method, frames=frames, low=low, high=high):
            image = fuse_stack(frames, method=method).image
            return float(1 - ((image >= low) & (image <= high)).all(-1).any(0).float().mean())

        assert strange("depth") == 0
        assert strange("pyramid") > 0.01
