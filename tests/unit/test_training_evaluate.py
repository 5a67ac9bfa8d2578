"""The report: a perfect model and one that does nothing, the table, the sheet."""

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.training import evaluate as e
from rackfocus.training.evaluate import ALL, BLURRED, BROKEN, GIVEN, MISSING, PHOTO, PLAIN, SHARP, evaluate
from rackfocus.training.mosaic import small_scenes


class Lazy:
    """A model whose picture is the photo itself."""

    name, token = "lazy", 4
    module = torch.nn.Linear(1, 1)

    def encode(self, images):
        return images[:, ::4, ::4]

    def decode(self, latents):
        return self.out

    def conditions(self, given):
        self.out = given.source[given.scene]
        return None

    def velocity(self, noisy, t, conditions):
        return torch.zeros_like(noisy)


class Renderer(Lazy):
    """One that renders what is asked for, of the sharp pictures that it remembers; without depth it gives the photo."""

    def __init__(self, batch):
        self.batch = batch

    def conditions(self, given):
        known = [next(i for i, d in enumerate(self.batch.disparity) if torch.equal(d, m)) for m in self._maps(given)]
        made = e.render(self.batch.aif[known], given.radius)
        self.out = torch.where(given.known[:, None, None, None], made, given.source[given.scene])

    def _maps(self, given):
        return [
            m if any(torch.equal(m, d) for d in self.batch.disparity) else self.batch.disparity[0]
            for m in given.disparity
        ]


@pytest.fixture(scope="module")
def batch():
    return small_scenes(0, 50, 4, 32)


@pytest.fixture(scope="module")
def lazy(batch):
    return evaluate(Lazy(), batch, steps=1, perceptual=())


@pytest.fixture(scope="module")
def perfect(batch):
    return evaluate(Renderer(batch), batch, steps=1, perceptual=())


def test_who_does_nothing_is_as_good_as_the_photo(lazy):
    rows = lazy.rows
    for name in (GIVEN, MISSING, BROKEN):
        assert rows[name]["PSNR, dB"] == pytest.approx(rows[PHOTO]["PSNR, dB"])
        assert rows[name]["planes disagree"] == 0  # which alone says nothing
        assert rows[name]["asked plane sharper"] == 0
    assert rows[BLURRED]["PSNR, dB"] == pytest.approx(rows[SHARP]["PSNR, dB"])
    assert rows[ALL]["PSNR, dB"] == pytest.approx(rows[PLAIN]["PSNR, dB"])
    assert lazy.sweep["LVCorr from the photo"] == 0


def test_who_renders_is_far_better(perfect, lazy):
    rows = perfect.rows
    assert rows[GIVEN]["PSNR, dB"] > rows[PHOTO]["PSNR, dB"] + 8
    assert rows[GIVEN]["SSIM"] > 0.98
    assert rows[MISSING]["PSNR, dB"] == pytest.approx(rows[PHOTO]["PSNR, dB"])
    assert rows[GIVEN]["planes disagree"] < 0.5
    assert rows[GIVEN]["asked plane sharper"] == pytest.approx(rows["truth"]["asked plane sharper"], abs=0.1)
    assert rows[GIVEN]["fused, dB"] == pytest.approx(rows["truth"]["fused, dB"], abs=0.5)
    assert rows[ALL]["PSNR, dB"] > 45
    assert rows[BLURRED]["PSNR, dB"] > rows[SHARP]["PSNR, dB"] + 8
    sweep = perfect.sweep
    assert sweep["LVCorr from the photo"] == pytest.approx(sweep["LVCorr the renderer's own"])
    assert sweep["monotone the renderer's own"] > 0.8 and sweep["LVCorr the renderer's own"] > 0.8


def test_the_table_has_every_row_and_says_how_it_was_made(lazy):
    table = lazy.markdown()
    assert "4 scenes, 1 steps" in table
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    for name in (*lazy.rows, *lazy.sweep):
        assert sum(line.startswith(f"| {name} |") for line in rows) == 1
    wide = [line for line in rows if line.count("|") > 3]
    assert len({line.count("|") for line in wide}) == 1
    assert "nan" not in table


def test_the_sheet_shows_the_pictures_row_by_row(lazy, batch):
    h, w = lazy.sheet.shape[:2]
    assert (h, w) == (4 * 98 + 2, 12 * 98 + 2)
    assert torch.equal(lazy.sheet[2:98:3, 2:98:3], batch.source[0])
    assert torch.equal(lazy.sheet[100:196:3, 100:196:3], batch.targets[1, 0])


def test_progress_is_told(batch):
    told = []
    evaluate(Lazy(), batch[:2], steps=1, perceptual=(), progress=lambda *at: told.append(at))
    assert told == [(i, 7) for i in range(1, 8)]


def test_one_plane_is_too_few(batch):
    with pytest.raises(RefocusError, match="two focal planes"):
        evaluate(Lazy(), batch.planes(torch.zeros(4, 1, dtype=torch.long)), steps=1)


def test_large_pictures_are_rendered_one_by_one():
    picture = torch.rand(1, 140, 150, 3, generator=torch.Generator().manual_seed(0))
    radius = torch.full((1, 140, 150), 3.0)
    assert e.render(picture, radius).std() < 0.5 * picture.std()
    assert torch.equal(e.render(picture, 0 * radius), (picture * 255).round() / 255)


def test_a_picture_is_written_whole(tmp_path):
    from PIL import Image

    e.write_picture(tmp_path / "new" / "a.png", torch.full((4, 6, 3), 0.5))
    assert Image.open(tmp_path / "new" / "a.png").size == (6, 4)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]
