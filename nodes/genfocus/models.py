"""What the Genfocus engine runs on: FLUX.1-dev as the artist loaded it, and its LoRAs."""

import os
from dataclasses import dataclass
from typing import Any

from ...pipelines.genfocus.setups import BOKEH, DEBLUR, DEBLUR_PRE, NAME, Setup, read_lora, with_aperture
from ...pipelines.image.checks import RefocusError
from ..flux.lora import lora_patcher
from ..flux.model import require_flux


@dataclass(frozen=True)
class GenfocusModels:
    """MODEL, CLIP and VAE of the artist, untouched; the LoRAs as patchers, None where not chosen.

    always_pre: DeblurNet is the one trained with a pre-deblurred image, so a missing one is black.
    """

    model: Any
    clip: Any
    vae: Any
    deblur: Any = None
    bokeh: Any = None
    aperture: Any = None
    always_pre: bool = False

    def deblurring(self, pre: bool) -> tuple[Setup, list]:
        """(set-up, its LoRA)."""
        return (DEBLUR_PRE if pre or self.always_pre else DEBLUR), [_chosen(self.deblur, "deblur_lora", "DeblurNet")]

    def blurring(self, aperture: bool) -> tuple[Setup, list]:
        """(set-up, its LoRA, or one for each condition)."""
        bokeh = _chosen(self.bokeh, "bokeh_lora", "BokehNet")
        if not aperture:
            return BOKEH, [bokeh]
        return with_aperture(BOKEH), [bokeh, bokeh, _chosen(self.aperture, "aperture_lora", "an aperture-shape LoRA")]


def _chosen(patcher, widget: str, name: str):
    if patcher is None:
        raise RefocusError(
            f"this needs {name}, but no file is chosen for it: choose one in LoadRefocusModel's "
            f"{widget}" + (", or disconnect the aperture." if widget == "aperture_lora" else ".")
        )
    return patcher


def load_models(model, clip, vae, files: dict[str, str | None]) -> GenfocusModels:
    """files: paths of the LoRAs {deblur, bokeh, aperture}, None for none. Raises RefocusError."""
    for name, connected in (("MODEL", model), ("CLIP", clip), ("VAE", vae)):
        if connected is None:
            raise RefocusError(
                f"no {name} is connected, but Genfocus runs on FLUX.1-dev: connect the {name} of any "
                "loader to LoadRefocusModel."
            )
    architecture = require_flux(model.get_model_object("diffusion_model"), NAME)
    loras = {
        use: lora_patcher(read_lora(path, architecture), architecture) if path else None for use, path in files.items()
    }
    # The file's own name tells: a folder of that name says nothing about what lies in it.
    always_pre = "pre_deblur" in os.path.basename(files.get("deblur") or "")
    return GenfocusModels(model, clip, vae, **loras, always_pre=always_pre)
