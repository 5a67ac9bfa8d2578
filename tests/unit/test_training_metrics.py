"""Measures by cases whose answer is known."""

import pytest
import torch
import torch.nn.functional as F

from rackfocus.training import metrics


def soft(pictures, size):
    if size == 1:
        return pictures
    x = F.pad(pictures.permute(0, 3, 1, 2), (size // 2,) * 4, mode="replicate")
    return F.avg_pool2d(x, size, 1).permute(0, 2, 3, 1)


@pytest.fixture
def picture():
    return torch.rand(4, 20, 28, 3, generator=torch.Generator().manual_seed(0))


def test_psnr_of_a_known_error(picture):
    assert torch.allclose(metrics.psnr(picture, picture + 0.1), torch.full((4,), 20.0), atol=1e-3)
    assert torch.equal(metrics.psnr(picture, picture), torch.full((4,), 50.0))


def test_ssim_is_one_for_the_same_and_falls(picture):
    assert torch.allclose(metrics.ssim(picture, picture), torch.ones(4), atol=1e-4)
    assert (metrics.ssim(picture, soft(picture, 3)) < 0.9).all()


def test_more_blur_is_less_sharp(picture):
    swept = torch.stack([metrics.laplacian_variance(soft(picture, k)) for k in (1, 3, 5, 7)], 1)
    assert metrics.monotone(swept) == 1
    assert metrics.monotone(swept.flip(1)) == 0


def test_levels_correlate_as_pearson_says():
    blur = torch.tensor([[0.0, 1, 2, 3], [0, 2, 4, 6]])
    assert metrics.level_correlation(blur, 5 - blur) == pytest.approx(1)
    assert metrics.level_correlation(blur, blur) == pytest.approx(-1)
    assert metrics.level_correlation(blur, torch.tensor([[1.0, 0, 0, 1], [2, 1, 1, 2]])) == pytest.approx(0, abs=1e-6)


def planes(picture):
    """Scene with a sharp left half in plane 0 and a sharp right half in plane 1."""
    left = torch.zeros(20, 28, dtype=torch.bool)
    left[:, :14] = True
    blurred = soft(picture, 7)
    sharp = torch.stack([left, ~left]).expand(4, 2, 20, 28)
    return torch.where(sharp[..., None], picture[:, None], blurred[:, None]), sharp


def test_the_plane_that_was_asked_for_is_the_sharper_one(picture):
    made, _ = planes(picture)
    point = torch.tensor([[0.25, 0.5], [0.75, 0.5]]).expand(4, 2, 2)
    focus, blur = torch.tensor([0.9, 0.1]).expand(4, 2), torch.ones(4, 2)
    assert metrics.focus_accuracy(made, point, focus, blur) == 1
    assert metrics.focus_accuracy(made, point.flip(1), focus, blur) == 0
    assert metrics.focus_accuracy(made, point.flip(2), focus, blur) < 1  # x is not y
    assert metrics.focus_accuracy(made, point, focus * 0.1, blur).isnan()
    assert metrics.focus_accuracy(made, point, focus, 0 * blur).isnan()


def test_planes_disagree_where_both_are_sharp_alone(picture):
    same = picture[:, None].expand(-1, 2, -1, -1, -1).clone()
    both = torch.zeros(4, 2, 20, 28, dtype=torch.bool)
    both[:, :, 5:9, 5:9] = True
    assert metrics.disagreement(same, both) == 0
    same[:, 1, 15:] += 0.5  # not sharp there
    assert metrics.disagreement(same, both) == 0
    same[:, 1, 5:9, 5:9] += 2 / 255
    assert metrics.disagreement(same, both) == pytest.approx(2, abs=1e-3)


def test_fused_planes_are_sharp_everywhere(picture):
    made, _ = planes(picture)
    inner = [*range(2, 10), *range(18, 26)]
    assert torch.equal(metrics.fused(made)[:, :, inner], picture[:, :, inner])


def test_a_point_is_x_and_y():
    maps = torch.arange(20 * 28.0).view(1, 20, 28)
    assert metrics.at_points(maps, torch.tensor([[0.5, 0.25]])) == maps[0, 5, 14]
    assert metrics.at_points(maps, torch.tensor([[1.0, 1.0]])) == maps[0, 19, 27]


def test_what_torchmetrics_lacks_is_left_out(monkeypatch, picture):
    monkeypatch.setattr(metrics, "_PERCEPTUAL", {})
    monkeypatch.setattr(metrics.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    assert metrics.perceptual("lpips", picture, picture) is None


def test_a_measure_that_is_there_is_used(monkeypatch, picture):
    monkeypatch.setattr(metrics, "_PERCEPTUAL", {"lpips": lambda a, b: (a - b).abs().mean()})
    found = metrics.perceptual("lpips", picture, picture + 0.25)
    assert torch.allclose(found, torch.full((4,), 0.25))
