"""Cancel is heard soon at every moment: the work between two looks does not grow with the picture.

Work is counted, not timed: numbers that torch's operations give, a picture's bands (progress.PIECE) made small in
proportion. `python -m dev.bench gaps` prints the same in seconds, for pictures of 4 and 16 megapixels.
"""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rackfocus.dev.bench import looks
from rackfocus.nodes import NODES
from rackfocus.pipelines.image import checks, filters, progress
from rackfocus.pipelines.optical.bokeh import surfaces, tiles
from rackfocus.pipelines.optical.deconvolution import estimate
from rackfocus.pipelines.optical.stacking import align, fuse, sharpness

# A picture of 16 megapixels, its bands and its tiles, each divided by this.
SMALLER = 32
SIZE = (577, 866)
# Numbers between two looks: two dozen planes of the picture. At 16 megapixels 32 times more, which takes half a second.
MOST = 12_000_000
# A tile of 640 pixels is deblurred at once and a table of spectra made, whatever the picture.
MORE = {"DeblurAiF": 40_000_000, "RefocusPhoto": 40_000_000}
# A case ends after so many: what comes in a picture's first tile comes in all.
ENOUGH = 1_500_000_000

# What takes long there is the host's own, a network's layer; "best" goes the ways that "fast" goes.
LEFT_OUT = {
    ("BokehSynthesize", "best"),
    ("DeblurAiF", "genfocus"),
    ("GenfocusConditioning", "bokeh"),
    ("RefocusPositionSweep", "sheet"),
    ("FocalStackGenerate", "learn2refocus"),
    ("FocalStackGenerate", "learn2refocus, automatic"),
}
CASES = [(node, case) for node in looks.CASES for case in looks.CASES[node] if (node, case) not in LEFT_OUT]


class Work(TorchDispatchMode):
    """done: numbers that all operations so far have given."""

    done = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = out if isinstance(out, tuple | list) else (out,)
        view = func.is_view if hasattr(func, "is_view") else False
        self.done += 0 if view else sum(t.numel() for t in given if isinstance(t, torch.Tensor))
        return out


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    with looks.models(tmp_path_factory.mktemp("models")) as made:
        yield made


@pytest.fixture
def small_bands(monkeypatch):
    piece = progress.PIECE // SMALLER
    for module in (progress, checks, filters, surfaces, tiles, estimate):
        monkeypatch.setattr(module, "PIECE", piece)
    monkeypatch.setattr(tiles, "TILE", 2048 // int(math.sqrt(SMALLER)))
    monkeypatch.setattr(fuse, "TILE_FLOATS", fuse.TILE_FLOATS // SMALLER)
    monkeypatch.setattr(sharpness, "SURVEY_AREA", sharpness.SURVEY_AREA // SMALLER)
    monkeypatch.setattr(align, "SIDE", align.SIDE // int(math.sqrt(SMALLER)))


def worst(node: str, case: str, size, models) -> looks.Looks:
    inputs = looks.CASES[node][case](*size)
    if "model" in inputs:
        inputs["model"] = models.get(inputs["model"], inputs["model"])
    with Work() as work, looks.counted(lambda: work.done, ENOUGH) as seen:
        looks.run(node, inputs)
    return seen


def test_every_node_has_a_case():
    assert set(looks.CASES) == {n.GET_SCHEMA().node_id for n in NODES}


@pytest.mark.parametrize("node, case", CASES)
def test_work_between_two_looks_is_bounded(node, case, models, depth_models, small_bands):
    seen = worst(node, case, SIZE, models)
    assert seen.worst <= MORE.get(node, MOST), (
        f"{seen.worst / 1e6:.0f} million between {seen.between[0]} and {seen.between[1]}"
    )
