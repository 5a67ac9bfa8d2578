"""Whatever kind of tensor comes over a link, of pictures, maps and masks: the result is that of an ordinary one."""

import comfy.model_management as mm
import pytest
import torch

from rackfocus.pipelines.optics import DefocusMap
from rackfocus.tests.nodes.scenes import BY_ID, run
from rackfocus.tests.nodes.test_pretended_mps import CASES, SLOW, difference


def spread(t):
    """The same values with steps between them."""
    wide = torch.zeros(*t.shape[:-1], 2 * t.shape[-1], dtype=t.dtype)
    wide[..., ::2] = t
    return wide[..., ::2]


def turned(t):
    """The same values, the last axis first in memory."""
    return t.movedim(-1, 0).contiguous().movedim(0, -1)


def repeated(t):
    """The first one, as often as there are any, all of them in one place."""
    return t[:1].expand_as(t)


def made_in_inference(t):
    with torch.inference_mode():
        return t.clone()


# name: (how it is made, how the ordinary tensor of the same values is made)
KINDS = {
    "fp16": (torch.Tensor.half, lambda t: t.half().float()),
    "bf16": (torch.Tensor.bfloat16, lambda t: t.bfloat16().float()),
    "float64": (torch.Tensor.double, lambda t: t),
    "with steps": (spread, lambda t: t),
    "channels first": (turned, lambda t: t),
    "expanded": (repeated, lambda t: repeated(t).clone()),
    "with a gradient": (lambda t: t.clone().requires_grad_(), lambda t: t),
    "of inference": (made_in_inference, lambda t: t),
}


def of_kind(make, value):
    if isinstance(value, DefocusMap):
        return DefocusMap(make(value.radius))
    return make(value) if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", sorted(set(CASES) - SLOW))
def test_every_node_takes_every_kind(case, kind):
    inputs = {k: v() if callable(v) else v for k, v in CASES[case].items()}
    special, ordinary = ({k: of_kind(make, v) for k, v in inputs.items()} for make in KINDS[kind])
    before = {k: v.clone() for k, v in special.items() if isinstance(v, torch.Tensor)}
    made = run(case.split(",")[0], **special)
    assert difference(made, run(case.split(",")[0], **ordinary)) < 1e-5
    assert all(torch.equal(special[k], v) for k, v in before.items())
    for t in made:
        t = t.radius if isinstance(t, DefocusMap) else t
        assert not isinstance(t, torch.Tensor) or (t.dtype == torch.float32 and not t.requires_grad)


@pytest.mark.parametrize("case", sorted(set(CASES) - SLOW))
def test_pictures_go_on_as_the_host_hands_them_on(case, monkeypatch):
    """With --fp16-intermediates pictures are float16; maps and masks stay float32, a depth map in grey too."""
    inputs = {k: v() if callable(v) else v for k, v in CASES[case].items()}
    node = BY_ID[case.split(",")[0]]
    usual = run(case.split(",")[0], **inputs)
    monkeypatch.setattr(mm, "intermediate_dtype", lambda: torch.float16, raising=False)
    made = run(case.split(",")[0], **inputs)
    for output, a, b in zip(node.GET_SCHEMA().outputs, made, usual, strict=True):
        for x, y in zip(*(t if isinstance(t, list) else [t] for t in (a, b)), strict=True):
            if output.io_type == "IMAGE" and output.display_name != "depth":
                assert x.dtype == torch.float16
                assert torch.equal(x, y.half())
            else:
                assert difference(x, y) == 0
