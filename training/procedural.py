"""Scenes made of numbers, for tests and the small model: textured cut-outs at several depths before a ground."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from ..pipelines.image.checks import check_whole

LAYERS = 3, 6  # cut-outs
LEAST_SEEN, VISIBLE = 4, 0.06


def procedural(seed: int, index: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """-> picture [H, W, 3] in 0..1, sharp everywhere, and its disparity [H, W] in 0..1; size: (H, W) from 16 px on.

    A pure function. Where disparity steps, the picture does: each cut-out has a texture and a colour of its own.
    """
    h, w = (check_whole("the size of a scene", n, 16, 1 << 14) for n in size)
    digest = hashlib.sha256(f"rackfocus scene {seed} {index}".encode()).digest()
    random = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
    layer, depth = _arrangement(random, h, w)
    picture = np.empty((h, w, 3))
    for i in range(int(layer.max()) + 1):
        picture = np.where((layer == i)[..., None], _texture(random, h, w), picture)
    for _ in range(int(random.integers(0, 5))):  # lights
        at_y, at_x, half = int(random.integers(h)), int(random.integers(w)), max(1, w // 128)
        picture[max(0, at_y - half) : at_y + half, max(0, at_x - half) : at_x + half] = 1.0
    return torch.from_numpy(picture.astype(np.float32)), torch.from_numpy(depth.astype(np.float32))


def _arrangement(random: np.random.Generator, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """(layer [h, w], 0 for the ground, disparity [h, w]); at least LEAST_SEEN of them fill a share of VISIBLE each."""
    y, x = np.meshgrid((np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w, indexing="ij")
    while True:
        tilt = random.uniform(-1, 1, 2)
        layer, depth = np.zeros((h, w), int), 0.12 + 0.1 * (tilt[0] * (x - 0.5) + tilt[1] * (y - 0.5))
        count = int(random.integers(LAYERS[0], LAYERS[1] + 1))
        for i in range(count):
            inside = _shape(random, x, y, h / w)
            slope = random.uniform(-0.08, 0.08, 2) / count
            own = 0.3 + 0.65 * (i + random.uniform(0.35, 0.65)) / count
            depth = np.where(inside, own + slope[0] * (x - 0.5) + slope[1] * (y - 0.5), depth)
            layer[inside] = i + 1
        if (np.bincount(layer.ravel()) >= VISIBLE * h * w).sum() >= LEAST_SEEN:
            return layer, depth


def _texture(random: np.random.Generator, h: int, w: int) -> np.ndarray:
    """[h, w, 3] in 0.02..0.95: a natural spectrum (1 / f) about a colour, with hard-edged spots."""
    f = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w))
    white = np.fft.rfft2(random.standard_normal((3, h, w)) * 0.4 + random.standard_normal((1, h, w)))
    x = np.fft.irfft2(white / np.maximum(f, 2 / max(h, w)), s=(h, w))
    colour, contrast = random.uniform(0.15, 0.75, (3, 1, 1)), random.uniform(0.06, 0.16)
    x = colour + contrast * (x - x.mean()) / max(x.std(), 1e-6)
    for _ in range(int(random.integers(4, 14))):
        top, left = int(random.integers(h)), int(random.integers(w))
        tall, wide = (max(2, int(n * random.uniform(0.02, 0.12))) for n in (h, w))
        x[:, top : top + tall, left : left + wide] += random.uniform(-0.3, 0.3, (3, 1, 1))
    return np.clip(x, 0.02, 0.95).transpose(1, 2, 0)


def _shape(random: np.random.Generator, x: np.ndarray, y: np.ndarray, aspect: float) -> np.ndarray:
    """bool [h, w]: an ellipse or a turned rectangle, somewhere, of 6 to 20 % of the picture."""
    centre, angle, ratio = random.uniform(0.15, 0.85, 2), random.uniform(0, np.pi), random.uniform(0.4, 1)
    u, v = (x - centre[0]), (y - centre[1]) * aspect
    u, v = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    size = np.sqrt(random.uniform(0.06, 0.2) * aspect / ratio / np.pi)
    if random.random() < 0.5:
        return (u / size) ** 2 + (v / (size * ratio)) ** 2 <= 1
    half = size * np.sqrt(np.pi) / 2
    return (np.abs(u) <= half) & (np.abs(v) <= half * ratio)
