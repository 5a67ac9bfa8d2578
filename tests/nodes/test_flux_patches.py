"""What other nodes hang on the MODEL and FLUX's own forward honours: patches of the input, the place of the image."""

import pytest
import torch

from rackfocus.dev.host.library import use_comfy

use_comfy()
from rackfocus.dev.tiny import native_flux as native  # noqa: E402
from rackfocus.nodes.genfocus.prepare import attach  # noqa: E402
from rackfocus.pipelines.genfocus import BOKEH, DEBLUR, DEBLUR_PRE  # noqa: E402
from rackfocus.pipelines.image.checks import RefocusError  # noqa: E402
from rackfocus.tests.parity.golden import error  # noqa: E402

RUN = {"steps": 2, "guidance": 2.0}


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def model(transformer):
    return native.stock_model(transformer)


@pytest.fixture
def style(model, small):
    """(five more tokens of text, the patch that puts them before the text as USO's style tokens are)."""
    text = small[2]
    more = torch.randn(1, 5, text.shape[-1], generator=torch.Generator().manual_seed(4))
    flux = model.model.diffusion_model

    def patch(given):
        ids = torch.cat([torch.zeros(len(given["txt"]), 5, 3), given["txt_ids"]], 1)
        return {**given, "txt": torch.cat([flux.txt_in(more), given["txt"]], 1), "txt_ids": ids}

    return more, patch


def patched(model, *patches):
    clone = model.clone()
    for patch in patches:
        clone.set_model_post_input_patch(patch)
    return clone


@pytest.mark.parametrize("tiling", ["off", "on"])
def test_tokens_that_a_patch_adds_are_text(model, patcher, small, style, tiling):
    """Seen by all, modulated as text, outside of the LoRA and of the picture: the same as a longer text."""
    noise, grids, text, pooled = small
    more, patch = style
    settings = {**RUN, "tiling": tiling, "tile": 5}
    longer = torch.cat([more, text], 1)
    expected = native.generate(model, BOKEH, noise, grids, patcher, longer, pooled, **settings)
    out = native.generate(patched(model, patch), BOKEH, noise, grids, patcher, text, pooled, **settings)
    assert error(out, expected) < 1e-6
    assert error(out, native.generate(model, BOKEH, noise, grids, patcher, text, pooled, **settings)) > 1e-3


def test_patches_run_in_order_on_what_is_embedded(model, patcher, small, style):
    """Noise and conditions through img_in, the text, positions of each; the second sees what the first made."""
    noise, grids, text, pooled = small
    seen = []

    def look(given):
        names = ("img", "txt", "img_ids", "txt_ids")
        seen.append([tuple(given[name].shape) for name in names] + ["sigmas" in given["transformer_options"]])
        return given

    native.generate(patched(model, look, style[1], look), BOKEH, noise, grids, patcher, text, pooled, **RUN)
    t, hidden = text.shape[1], model.model.diffusion_model.params.hidden_size
    before = [(1, 135, hidden), (1, t, hidden), (1, 135, 3), (1, t, 3), True]
    after = [(1, 135, hidden), (1, t + 5, hidden), (1, 135, 3), (1, t + 5, 3), True]
    assert seen == [before, after] * 2


def test_positions_and_tokens_that_a_patch_changes_are_used(model, patcher, small):
    """The first condition moved by 32 tokens to the right is the one of DeblurNet with a pre-deblurred picture."""
    noise, grids, text, pooled = small

    def move(given):
        ids = given["img_ids"].clone()
        ids[:, 45:90, 2] += 32
        return {**given, "img_ids": ids}

    plain, moved = (attach(m, BOKEH, patcher) for m in (model, patched(model, move)))
    expected = native.generate(model, DEBLUR_PRE, noise, grids, patcher, text, pooled, **RUN)
    assert error(native.generate(moved, BOKEH, noise, grids, patcher, text, pooled, **RUN), expected) < 1e-6
    assert error(native.generate(plain, BOKEH, noise, grids, patcher, text, pooled, **RUN), expected) > 1e-3
    dark = patched(model, lambda given: {**given, "img": given["img"] * 0})
    out = native.generate(dark, BOKEH, noise, grids, patcher, text, pooled, **RUN)
    assert error(out, native.generate(model, BOKEH, noise, grids, patcher, text, pooled, **RUN)) > 1e-3


def test_a_patch_that_cuts_image_tokens_is_refused(model, patcher, small):
    noise, grids, text, pooled = small
    cut = patched(model, lambda given: {**given, "img": given["img"][:, :-45]})
    with pytest.raises(RefocusError, match="makes 45 image tokens of 90, but the conditions need them all"):
        native.generate(cut, DEBLUR, noise, grids[:1], patcher, text, pooled, **RUN)


@pytest.mark.parametrize("added", [0, 5])
def test_single_blocks_are_told_where_the_image_is(model, patcher, small, style, added):
    """Behind the text, with its added tokens, to the end: what a patch of the attention (NAG) cuts out."""
    noise, grids, text, pooled = small
    clone, seen = patched(model, *[style[1]] * (added > 0)), []
    for kind in ("double_block", "single_block"):

        def call(args, extra, kind=kind):
            seen.append((kind, args["transformer_options"].get("img_slice")))
            return extra["original_block"](args)

        clone.set_model_patch_replace(call, "dit", kind, 0)
    native.generate(clone, BOKEH, noise, grids, patcher, text, pooled, **RUN)
    t = text.shape[1] + added
    assert seen == [("double_block", None), ("single_block", [t, t + 135])] * 2
