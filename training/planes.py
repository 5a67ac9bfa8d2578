"""Which focal planes a scene offers: depths of enough area, far enough from one another."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..pipelines.image.filters import window_min
from ..pipelines.optics import focus_at_point

MOST_CLUSTERS = 12
BINS = 256


@dataclass(frozen=True)
class Plane:
    """disparity of a focal plane, and the point (x, y) in 0..1 of the picture at which it is read."""

    disparity: float
    point: tuple[float, float]


def planes_of(
    disparity: Tensor, random: np.random.Generator, count: tuple[int, int], apart: float, area: float
) -> list[Plane]:
    """disparity [H, W] in 0..1 -> planes from the nearest to the farthest, at most as many as were drawn of `count`.

    The depths are clusters; a plane is the depth at a random pixel of one that is not at its border. Where clusters lie
    too near to one another for the number that was drawn, they are made finer. Fewer than count[0] may be found.
    """
    wanted = int(random.integers(count[0], count[1] + 1))
    best: list[Plane] = []
    for clusters in range(wanted, MOST_CLUSTERS + 1):
        found = _planes(disparity, random, _clustered(disparity, clusters), apart, area)[:wanted]
        best = max(best, found, key=len)
        if len(best) == wanted:
            break
    return sorted(best, key=lambda p: -p.disparity)


def _clustered(disparity: Tensor, count: int) -> list[Tensor]:
    """k-means of the values (Lloyd, on a histogram), started from even steps -> bool [H, W] of each cluster."""
    step = (disparity * (BINS - 1)).round().long().numpy()
    weight, value = np.bincount(step.ravel(), minlength=BINS), np.arange(BINS)
    centre = (np.arange(count) + 0.5) / count * BINS
    while True:
        border = (centre[1:] + centre[:-1]) / 2
        label = np.searchsorted(border, value)
        filled = np.bincount(label, weight, count)
        mean = np.where(filled > 0, np.bincount(label, weight * value, count) / np.maximum(filled, 1), centre)
        if np.array_equal(mean, centre):  # Lloyd's rounds end: each lowers the sum of squares
            break
        centre = mean
    own = torch.from_numpy(label[step])
    return [own == i for i in range(count)]


def _planes(
    disparity: Tensor, random: np.random.Generator, clusters: list[Tensor], apart: float, area: float
) -> list[Plane]:
    """One plane of each cluster that is large enough and leaves room, the clusters in random order."""
    h, w = disparity.shape
    border = 2 * max(1, round(w / 128)) + 1
    found: list[Plane] = []
    for i in random.permutation(len(clusters)):
        if clusters[i].float().mean() < area:
            continue
        within = window_min(clusters[i].float()[None, None], border)[0, 0] > 0
        for plane in found:
            within &= (disparity - plane.disparity).abs() >= apart
        places = within.nonzero()
        if not len(places):
            continue
        y, x = places[int(random.integers(len(places)))].tolist()
        point = ((x + 0.5) / w, (y + 0.5) / h)
        at = float(focus_at_point(disparity[None], *point)[0])  # what RefocusLens reads there
        if all(abs(at - plane.disparity) >= apart for plane in found):
            found.append(Plane(at, point))
    return found
