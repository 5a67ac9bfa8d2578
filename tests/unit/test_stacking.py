"""Focus stacking as properties."""

import pytest
import torch
import torch.nn.functional as F

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optical.stacking import METHODS, fuse_stack
from rackfocus.tests.pictures import psnr, random


def disc_blur(linear, radius):
    """[H, W, C] -> blurred by a disc, anti-aliased; 0 returns the input."""
    if radius <= 0:
        return linear
    n = int(radius) + 2
    t = torch.arange(-n, n + 1).float()
    k = (radius + 0.5 - (t[:, None] ** 2 + t**2).sqrt()).clamp(0, 1)
    k = (k / k.sum()).expand(linear.shape[-1], 1, -1, -1)
    x = F.pad(linear.movedim(-1, 0)[None], (n,) * 4, mode="reflect")
    return F.conv2d(x, k, groups=linear.shape[-1])[0].movedim(0, -1)


def texture(h, w):
    return random(h, w, 3, low=0.2, high=0.8)


def planes(n=5, h=96, w=160, step=2.0):
    """A scene of n upright strips side by side, strip k in focus in frame k (no occlusion: blurred as one picture)."""
    sharp = decode_srgb(texture(h, w))
    strip = (torch.arange(w) * n // w).expand(h, w)
    frames = []
    for i in range(n):
        out = torch.zeros_like(sharp)
        for k in range(n):
            out = torch.where((strip == k)[..., None], disc_blur(sharp, abs(i - k) * step), out)
        frames.append(encode_srgb(out))
    return encode_srgb(sharp), strip, torch.stack(frames)


@pytest.mark.parametrize("method", METHODS)
def test_flat_stack_returns_itself(method):
    frames = torch.full((4, 37, 53, 3), 0.4)
    assert (fuse_stack(frames, method=method).image - 0.4).abs().max() < 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_identical_frames_return_the_frame(method):
    frame = texture(45, 61)
    r = fuse_stack(frame.expand(5, -1, -1, -1), method=method)
    assert (r.image[0] - frame).abs().max() < 2e-4
    assert r.confidence.max() < 0.05


@pytest.mark.parametrize("method", METHODS)
def test_one_frame_is_returned_exactly(method):
    frame = texture(20, 31)[None]
    r = fuse_stack(frame, method=method)
    assert torch.equal(r.image, frame) and r.order.shape == r.confidence.shape == (1, 20, 31)


@pytest.mark.parametrize("method", METHODS)
def test_each_strip_comes_from_its_frame(method):
    sharp, strip, frames = planes()
    r = fuse_stack(frames, method=method)
    inside = F.max_pool2d((F.pad(strip, (1, 0), value=0)[:, :-1] != strip).float()[None], 17, 1, 8)[0] == 0
    gain = psnr(r.image[0][inside], sharp[inside]) - max(psnr(f[inside], sharp[inside]) for f in frames)
    assert gain > 10
    wrong = (r.order[0] * 4 - strip).abs()[inside]
    assert wrong.max() < 0.5 and r.confidence[0][inside].min() > 0.3


def test_order_rises_with_depth():
    _, strip, frames = planes(n=7, w=210)
    order = fuse_stack(frames, method="depth").order[0]
    means = torch.stack([order[strip == k].mean() for k in range(7)])
    assert (means.diff() > 0.05).all()


def test_order_is_found_between_frames():
    sharp = decode_srgb(texture(48, 71))
    for at in (1.3, 1.7, 2.0):
        frames = torch.stack([encode_srgb(disc_blur(sharp, 3 * abs(i - at))) for i in range(5)])  # at: in focus
        assert abs(float(fuse_stack(frames, method="depth").order.mean()) * 4 - at) < 0.25


def test_depth_keeps_colours_of_neighbouring_frames():
    _, _, frames = planes(n=5)
    image = fuse_stack(frames, method="depth").image[0]
    low, high = torch.minimum(frames[:-1], frames[1:]), torch.maximum(frames[:-1], frames[1:])
    between = ((image >= low - 1e-6) & (image <= high + 1e-6)).all(-1)
    assert between.any(0).all()


@pytest.mark.parametrize("method", METHODS)
def test_range_controls_which_frames_take_part(method):
    sharp, strip, frames = planes()
    for k in (0, 3):
        r = fuse_stack(frames, method=method, first=k, last=k)
        assert torch.equal(r.image[0], frames[k])
        assert torch.allclose(r.order, torch.tensor(k / 4))
    near = fuse_stack(frames, method=method, first=0, last=1)
    everything = fuse_stack(frames, method=method)
    assert psnr(near.image[0][strip == 0], sharp[strip == 0]) > 25
    far = strip == 4
    assert psnr(near.image[0][far], sharp[far]) < psnr(everything.image[0][far], sharp[far]) - 5
    assert near.order.max() <= 0.25 + 1e-6
    back = fuse_stack(frames, method=method, first=2, last=4)
    assert back.order.min() >= 0.5 - 1e-6
    inside = (slice(8, -8), slice(104, 120))  # the fourth strip, away from its neighbours
    assert torch.allclose(back.order[0][inside], torch.tensor(0.75), atol=0.1)
    assert torch.allclose(everything.order[0][inside], torch.tensor(0.75), atol=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_progress_is_told_and_can_cancel(method):
    frames = planes(n=3)[2]
    seen = []
    fuse_stack(frames, method=method, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] and [d for d, _ in seen] == sorted(d for d, _ in seen)

    class Stop(Exception):
        pass

    def stop(done, total):
        raise Stop

    with pytest.raises(Stop):
        fuse_stack(frames, method=method, progress=stop)


@pytest.mark.parametrize(
    "bad, kwargs, words",
    [
        ("text", {}, "needed"),
        (torch.zeros(0, 8, 8, 3), {}, "empty batch"),
        (torch.zeros(3, 8, 8), {}, "shape"),
        (torch.full((2, 8, 8, 3), float("nan")), {}, "NaN"),
        (torch.zeros(3, 8, 8, 3), {"method": "magic"}, "average, depth, pyramid"),
        (torch.zeros(3, 8, 8, 3), {"first": 3}, "0 to 2"),
        (torch.zeros(3, 8, 8, 3), {"last": -1}, "0 to 2"),
        (torch.zeros(3, 8, 8, 3), {"first": 2, "last": 1}, "exceed"),
    ],
)
def test_wrong_input_is_one_sentence(bad, kwargs, words):
    with pytest.raises(RefocusError, match=words) as e:
        fuse_stack(bad, **kwargs)
    assert "\n" not in str(e.value) and str(e.value).endswith(".")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 90)])
def test_small_and_odd_sizes(method, size):
    r = fuse_stack(random(3, *size, 3), method=method)
    assert r.image.shape == (1, *size, 3) and torch.isfinite(r.image).all()
