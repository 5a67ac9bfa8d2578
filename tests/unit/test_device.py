"""What a device can do is found by trying; what it cannot is done in 32 bits, with the same result, or by the CPU."""

import logging

import pytest
import torch
import torch.nn.functional as F

from rackfocus.pipelines.image import device as devices
from rackfocus.pipelines.optical import rehearsal, render_bokeh
from rackfocus.pipelines.optical.bokeh import views
from rackfocus.pipelines.optical.bokeh.highlights import nearest_lens_point
from rackfocus.pipelines.optical.bokeh.lens import make_lens
from rackfocus.pipelines.optical.stacking import warp
from rackfocus.pipelines.optics import DefocusMap
from rackfocus.pipelines.optics.aperture import aperture_mask, aperture_points
from rackfocus.tests.pictures import random
from rackfocus.tests.pretended_mps import CPU, DEVICE, pretended_mps

TRIALS = (devices.elements_of_16_bytes, devices.maxima_of_64_bits, devices.bordered_bicubic, devices.means_over_areas)
REHEARSALS = (rehearsal.lens_blur, rehearsal.deblurring, rehearsal.blur_estimation, rehearsal.focus_stacking)


@pytest.fixture(autouse=True)
def tried_anew():
    devices._failure.cache_clear()
    devices._tell.cache_clear()


@pytest.mark.parametrize("trial", TRIALS)
def test_an_apple_gpu_fails_the_trials(trial):
    with pretended_mps():
        assert not devices.can(DEVICE, trial)
    assert devices.can(CPU, trial) and trial(CPU).numel() > 1


def test_a_device_of_another_kind_passes_what_it_can():
    def doubled(device):
        return torch.arange(3.0, device=device) * 2

    with pretended_mps():
        assert devices.can(DEVICE, doubled)


def test_a_wrong_result_is_a_failure():
    def wrong(device):
        return torch.ones(3) * (1.01 if device == DEVICE else 1)

    assert not devices.can(DEVICE, wrong)
    assert devices.can(DEVICE, wrong, 0.02)


def test_a_device_is_tried_once():
    asked = []
    for _ in range(3):
        devices.can(DEVICE, lambda device, asked=asked: torch.ones(len(asked.append(device) or [0])))
        assert len(asked) == 2  # there and on the CPU
        asked.clear()

    def counted(device):
        asked.append(device)
        return torch.ones(1)

    assert all(devices.can(DEVICE, counted) for _ in range(3)) and len(asked) == 2


def test_want_of_memory_is_tried_again():
    def full(device):
        if device == DEVICE:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)")
        return torch.ones(1)

    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of memory"):
            devices.can(DEVICE, full)


def test_other_errors_are_not_swallowed():
    def broken(device):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        devices.can(DEVICE, broken)


def test_the_log_has_one_line_for_what_the_cpu_does(caplog):
    def unable(device):
        if device == DEVICE:
            raise NotImplementedError("aten::lens is not there\nand more")
        return torch.ones(1)

    with caplog.at_level(logging.WARNING), pretended_mps():
        places = [devices.place_for("lens blur", DEVICE, unable) for _ in range(3)]
        made = [devices.where_able("doubling", unable, lambda t: t * 2, torch.ones(2, device=DEVICE)) for _ in range(2)]
    assert places == [CPU] * 3
    assert all(m.device == DEVICE and m.tolist() == [2, 2] for m in made)
    assert [line.split(",")[0] for line in caplog.messages] == [
        "Rackfocus: the CPU does the lens blur",
        "Rackfocus: the CPU does the doubling",
    ]
    assert (
        "pretended cannot: NotImplementedError: aten::lens is not there" in caplog.text and "\nand" not in caplog.text
    )


@pytest.mark.parametrize("rehearsed", REHEARSALS)
def test_every_rehearsal_passes_on_an_apple_gpu(rehearsed):
    result = rehearsed(CPU)
    assert result.isfinite().all() and result.std() > 1e-3
    with pretended_mps():
        assert devices.place_for("work", DEVICE, rehearsed) == DEVICE


# The z-buffer of 32 bits.


def points_and_cells(count=500, height=6, width=9):
    """Depth levels with many ties and some at the farthest level, and cells that are shared, and left empty."""
    g = torch.Generator().manual_seed(3)
    level = torch.randint(0, 7, (count,), generator=g) * 500_000
    cell = torch.randint(0, (height + 2) * (width + 2), (count,), generator=g)
    return level, torch.where(cell % 5 == 0, 1, cell), height, width


@pytest.mark.parametrize("exact", [views._EXACT, 100])
def test_the_nearest_point_in_32_bits_is_that_in_64(exact, monkeypatch):
    monkeypatch.setattr(views, "_EXACT", exact)  # 100: numbers in two halves
    monkeypatch.setattr(views, "_HALF", 16)
    level, cell, height, width = points_and_cells()
    found, behind = [], []
    for kind in (views.Packed, views.InTurn):
        nearest = kind(level, height, width, len(level))
        found.append(nearest.find(cell, torch.empty(height, width, dtype=torch.int64)))
        occluders = torch.arange(-1, 8).repeat_interleave(10) * 400_000
        behind.append(nearest.behind(torch.arange(90) % ((height + 2) * (width + 2)), occluders))
    assert torch.equal(*found) and torch.equal(*behind)
    assert (found[0] == len(level)).any() and len(found[0].unique()) > 10 and 0 < behind[0].sum() < 90


def test_cells_beyond_what_float32_counts_to_are_numbered_in_integers(monkeypatch):
    image, defocus = random(1, 30, 43, 3), DefocusMap(torch.linspace(-4, 6, 43).repeat(1, 30, 1))
    usual = render_bokeh(image, defocus, quality="fast")
    monkeypatch.setattr(views, "_EXACT", 0)
    assert torch.equal(usual, render_bokeh(image, defocus, quality="fast"))
    projection = views._Projection(
        torch.tensor([4998.0]), torch.tensor([4997.0]), torch.zeros(1), 5000, 5000, views.Field(0, 0, 5000, 5000)
    )
    assert projection.cells((0.0, 0.0)).item() == 4998 * 5002 + 4999


# Equal in another way.


@pytest.mark.parametrize("size, radius", [(1, 0.3), (5, 1.5), (41, 19.7), (64, 32.0)])
def test_the_nearest_lens_point_is_looked_up_as_grid_sample_does(size, radius):
    lens = make_lens(aperture_mask(shape="star"), 40)
    c = ((torch.arange(size) - size // 2) / max(radius, 0.5)).clamp(-1, 1)
    where = torch.stack(torch.meshgrid(c, c, indexing="xy"), -1)[None]
    sampled = F.grid_sample(
        lens.nearest.float()[None, None], where, mode="nearest", padding_mode="border", align_corners=False
    )
    assert torch.equal(nearest_lens_point(lens, size, radius), sampled[0, 0].long())


def test_what_a_device_makes_stays_on_it():
    with pretended_mps():
        points, weight = aperture_points(aperture_mask(blades=5).to(DEVICE), 20)
        frame = random(3, 12, 17).to(DEVICE)
        q = warp.place(warp.coordinates(slice(0, 12), slice(0, 17), 12, 17, DEVICE), warp.Pose(warp.IDENTITY), 12, 17)
        for t in (points, weight, q, warp.sample(frame, q, 12, 17), warp.sample_sharply(frame, q, 12, 17)):
            assert t.device == DEVICE
        assert (warp.sample(frame, q, 12, 17) - frame).abs().max() < 1e-5
