"""One scene of the training data: an all-in-focus picture, photographed by our own lens at several focal planes.

    source   I(f1, b1), with noise and JPEG: the photo that a model gets
    targets  I(f_k, b2), the photos that it is to make; one lens, one blur for all planes

Convention: disparity is scaled so that its 1 % and 99 % quantiles are 0 and 1, and held to 0..1. Blur b is the strength
of RefocusLens / 100: 100 b pixels of radius per unit of disparity in a picture 1000 px wide. Pictures lie on steps of 8
bits, disparity on those of 16, so that files keep them bit for bit.
"""

import hashlib
import io
import math
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..pipelines.image.checks import RefocusError, check_choice, check_image, check_number, check_plane, check_whole
from ..pipelines.image.light import decode_srgb, encode_srgb
from ..pipelines.optical import SAMPLES, render_bokeh
from ..pipelines.optics import aperture_mask, defocus_from_disparity, from_1000
from .planes import Plane, planes_of

STRENGTH = 100  # of RefocusLens, for a blur of 1
QUANTILES = 0.01, 0.99  # of disparity, which become 0 and 1


class UnfitError(RefocusError):
    """A picture of which no example can be made. why: in a few words, for a count."""

    def __init__(self, said: str, why: str):
        super().__init__(said)
        self.why = why

    def __reduce__(self):
        return type(self), (str(self), self.why)


UnfitError.__module__ = "rackfocus"


@dataclass(frozen=True)
class Settings:
    """What examples are like; DIFFCAMERA's simulation as far as it is published, and our own figures.

    planes            fewest and most focal planes of a scene
    apart             least difference of disparity between two of them
    area              least share of the picture that a depth must have to be focused on
    source_in_focus   probability of b = 0 for the photo that is given
    targets_in_focus  the same for the photos that are asked for
    weakest, strongest  else strength is log-uniform between them, pixels of a picture 1000 px wide
    largest           blur radius, as a share of the picture's width: a strength that exceeds it is lowered
    least_glow, most_glow  highlights, times white, log-uniform
    noise             most sensor noise of the source, of linear white
    jpeg              worst JPEG quality of the source, to 100; 100: no JPEG
    quality           of the renderer: "fast" or "best"
    """

    planes: tuple[int, int] = (3, 6)
    apart: float = 0.15
    area: float = 0.03
    source_in_focus: float = 0.25
    targets_in_focus: float = 0.1
    weakest: float = 4.0
    strongest: float = 100.0
    largest: float = 0.08
    least_glow: float = 1.0
    most_glow: float = 30.0
    noise: float = 0.02
    jpeg: int = 70
    quality: str = "fast"

    def __post_init__(self):
        low, high = (check_whole("the number of planes", n, 2, 12) for n in self.planes)
        object.__setattr__(self, "planes", (low, check_whole("the most planes", high, low, 12)))
        for name in ("apart", "area", "source_in_focus", "targets_in_focus", "largest", "noise"):
            check_number(name, getattr(self, name), 0, 1)
        check_number("weakest", self.weakest, 1e-3, 1000)
        check_number("strongest", self.strongest, self.weakest, 1000)
        check_number("least_glow", self.least_glow, 1, 1000)
        check_number("most_glow", self.most_glow, self.least_glow, 1000)
        check_whole("jpeg", self.jpeg, 1, 100)
        check_choice("quality", self.quality, SAMPLES)


@dataclass(frozen=True, eq=False)
class Photo:
    """image float32 [H, W, 3] in 0..1, sRGB. focus: disparity of the focal plane. point: (x, y) in 0..1 where that was
    read. blur: strength / 100. sharp: bool [H, W], where image equals the all-in-focus picture bit for bit."""

    image: Tensor
    focus: float
    point: tuple[float, float]
    blur: float
    sharp: Tensor


@dataclass(frozen=True, eq=False)
class Example:
    """key: of the picture; variant: 0, 1, ... of the scenes made of it. aif: float32 [H, W, 3], the all-in-focus
    picture. disparity: float32 [H, W]. lens: what all photos were taken with, as plain numbers and words."""

    key: str
    variant: int
    aif: Tensor
    disparity: Tensor
    source: Photo
    targets: list[Photo]
    lens: dict


def example(
    picture: Tensor, disparity: Tensor, seed: int, key: str, variant: int = 0, settings: Settings | None = None
) -> Example:
    """A picture [H, W, 3] in 0..1 that is sharp everywhere, and its disparity [H, W] (larger is nearer) -> Example.

    A pure function: the same arguments give the same bits, in any process. Raises UnfitError where the depths are
    too few for the planes that are asked for, RefocusError on wrong input.
    """
    settings = settings or Settings()
    aif = in_steps(check_image(picture[None], "the picture")[0].clamp(0, 1), 255)
    d = check_plane(disparity, "disparity")
    if d.shape[1:] != aif.shape[:2]:
        raise RefocusError(
            f"the disparity is {d.shape[1]} x {d.shape[2]} and the picture {aif.shape[0]} x {aif.shape[1]}, but both "
            "must have one size: scale the map to the picture."
        )
    d = in_steps(scaled(d[0]), 65535)
    random = random_of(seed, key, variant)
    shots = shots_of(d, random, settings)
    with one_thread():
        source, *targets = _photograph(aif, d, shots, settings.quality)
        source = in_steps(as_from_a_camera(source, random, settings), 255)
    photos = [
        Photo(image, plane.disparity, plane.point, blur, (image == aif).all(-1))
        for image, (plane, blur) in zip((source, *targets), (shots.source, *shots.targets), strict=True)
    ]
    return Example(key, variant, aif, d, photos[0], photos[1:], shots.lens)


@contextmanager
def one_thread():
    """torch on one thread: sums in another order have other bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def random_of(seed: int, key: str, variant: int) -> np.random.Generator:
    """The random numbers of one sample: nothing else decides about it."""
    digest = hashlib.sha256(f"rackfocus {seed} {key} {variant}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def in_steps(values: Tensor, steps: int) -> Tensor:
    """0..1, rounded to multiples of 1 / steps, as a file keeps them."""
    return (values * steps).round() / steps


def scaled(disparity: Tensor) -> Tensor:
    """[H, W] -> its 1 % and 99 % quantiles at 0 and 1, held to 0..1; a scene of one depth is 0. UnfitError for values
    that are not finite."""
    if not disparity.isfinite().all():
        raise UnfitError("the disparity holds values that are not finite: mend the depth map.", "broken depth")
    values = disparity.double().flatten().sort().values
    low, high = (values[round(q * (len(values) - 1))] for q in QUANTILES)
    return ((disparity.double() - low) / (high - low).clamp(min=1e-12)).clamp(0, 1).float()


Shot = tuple[Plane, float]  # focal plane and b


@dataclass(frozen=True)
class Shots:
    """What is photographed of a scene, and through which lens."""

    source: Shot
    targets: list[Shot]
    lens: dict


def shots_of(disparity: Tensor, random: np.random.Generator, settings: Settings) -> Shots:
    """disparity [H, W], scaled -> all that is drawn by lot before the pictures are made. Raises UnfitError."""
    planes = planes_of(disparity, random, settings.planes, settings.apart, settings.area)
    if len(planes) < settings.planes[0]:
        raise UnfitError(
            f"the scene has {len(planes)} depths of enough area, but {settings.planes[0]} are needed, "
            f"{settings.apart:g} of its disparity apart: leave it out, or ask for fewer planes.",
            "too few depths",
        )
    lens = _lens(random, settings)
    first = planes[int(random.integers(len(planes)))]
    b1 = _blur(random, settings.source_in_focus, [first], disparity, settings)
    b2 = _blur(random, settings.targets_in_focus, planes, disparity, settings)
    return Shots((first, b1), [(plane, b2) for plane in planes], lens)


def _lens(random: np.random.Generator, settings: Settings) -> dict:
    """A circle (.5), blades (.35) or another shape (.15), and how bright its highlights are taken to be."""
    kind = random.random()
    lens: dict = {"shape": "iris"}
    if kind >= 0.5:
        lens |= {"rotation": round(float(random.uniform(0, 360)), 3)}
        if kind < 0.85:
            lens |= {"blades": int(random.integers(5, 10)), "roundness": round(float(random.uniform(0, 0.8)), 3)}
        else:
            lens["shape"] = str(random.choice(["ring", "heart", "star", "cats_eye"]))
    lens["highlights"] = round(_log_uniform(random, settings.least_glow, settings.most_glow), 3)
    return lens


def _blur(random: np.random.Generator, in_focus: float, planes: list[Plane], d: Tensor, settings: Settings) -> float:
    """b, low enough that no radius of these planes exceeds the largest."""
    if random.random() < in_focus:
        return 0.0
    strength = _log_uniform(random, settings.weakest, settings.strongest)
    low, high = float(d.min()), float(d.max())
    reach = max(max(p.disparity - low, high - p.disparity) for p in planes)
    return min(strength, 1000 * settings.largest / max(reach, 1e-6)) / STRENGTH


def _log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    return float(math.exp(random.uniform(math.log(low), math.log(high))))


def _photograph(aif: Tensor, d: Tensor, shots: Shots, quality: str) -> list[Tensor]:
    """The source and the targets, in 8 bits."""
    lens = dict(shots.lens)
    highlights = lens.pop("highlights")
    mask, out = aperture_mask(**lens), []
    for plane, b in (shots.source, *shots.targets):
        radius = defocus_from_disparity(d[None], plane.disparity, from_1000(STRENGTH * b, d.shape[1]))
        taken = render_bokeh(aif[None], radius, aperture=mask, quality=quality, highlights=highlights)
        out.append(in_steps(taken[0], 255))
    return out


def as_from_a_camera(image: Tensor, random: np.random.Generator, settings: Settings) -> Tensor:
    """Shot and read noise in linear light, var = s^2 (x + 0.05), then JPEG; what is set to nothing does nothing."""
    sigma, quality = float(random.uniform(0, settings.noise)), int(random.integers(settings.jpeg, 101))
    if sigma > 0:
        light = decode_srgb(image)
        grain = torch.from_numpy(random.standard_normal(tuple(image.shape), dtype=np.float32))
        image = encode_srgb(light + sigma * (light + 0.05).sqrt() * grain)
    if quality < 100:
        file = io.BytesIO()
        Image.fromarray((image * 255).round().byte().numpy()).save(file, "JPEG", quality=quality)
        image = torch.from_numpy(np.array(Image.open(file))).float() / 255
    return image


def plain(settings: Settings) -> dict:
    """The settings as JSON has them."""
    return {**asdict(settings), "planes": list(settings.planes)}
