"""The bar of the host's sampler: it counts over all pictures and hears Cancel."""

import types

import pytest

from rackfocus.dev.host.library import use_comfy

use_comfy()
import comfy.model_management as mm  # noqa: E402

from rackfocus.nodes import sampling  # noqa: E402


@pytest.fixture
def told(monkeypatch):
    """What the bar was told: (done, total, preview)."""
    told = []
    bar = types.SimpleNamespace(update_absolute=lambda *given: told.append(given))
    monkeypatch.setattr(sampling.comfy.utils, "ProgressBar", lambda total: bar)
    return told


@pytest.fixture
def report(monkeypatch, told):
    previewer = types.SimpleNamespace(decode_latent_to_preview_image=lambda form, x0: (form, x0))
    monkeypatch.setattr(sampling.latent_preview, "get_previewer", lambda device, latent_format: previewer)
    model = types.SimpleNamespace(load_device="cpu", model=types.SimpleNamespace(latent_format=None))
    return sampling.Report(model, 7)


def test_one_bar_counts_steps_and_frames(report, told):
    report.step(0, "a", None, 2)
    report.step(1, "b", None, 2)
    report.advance(3)
    assert told == [(1, 7, ("JPEG", "a")), (2, 7, ("JPEG", "b")), (5, 7, None)]


def test_cancel_is_heard_before_anything_is_told(report, told):
    mm.interrupt_current_processing()
    with pytest.raises(mm.InterruptProcessingException):
        report.step(0, "a", None, 2)
    assert not told and report.done == 0
    report.advance(1)  # the next run is free of it
    assert told == [(1, 7, None)]
