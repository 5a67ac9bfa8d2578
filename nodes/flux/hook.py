"""Genfocus on the artist's MODEL: a clone whose diffusion model is wrapped, and conditions in the conditioning."""

from dataclasses import dataclass, replace
from functools import partial

import comfy.ldm.common_dit
import comfy.patcher_extension
import node_helpers
from torch import Tensor

from ...pipelines.flux.tokens import PATCH, TILE, blend, pack, tiles, unpack, use_tiles
from ...pipelines.genfocus.setups import Setup
from ...pipelines.image.checks import RefocusError
from .forward import Inputs, NativeCondition, velocity
from .model import require_flux

KEY = "rackfocus"
# reference_latents_method of the conditioning: whose latents they are, and whether they are the black ones of image
# guidance. Being a constant it also keeps the host from putting both into one batch.
OURS, BLACK = "rackfocus", "rackfocus_black"


@dataclass(frozen=True)
class Hook:
    """The wrapper. offsets and lora: for each condition; weights: the LoRAs; tiling: auto, on or off."""

    offsets: tuple[tuple[int, int], ...]
    lora: tuple[int, ...]
    weights: tuple
    tiling: str
    tile: int = TILE

    def __call__(self, executor, *args, **kwargs):
        """Stands in for the diffusion model; wrappers that were added after this one still run."""
        flux = executor.class_obj
        require_flux(flux)
        rest = executor.wrappers[executor.idx + 1 :]
        inner = comfy.patcher_extension.WrapperExecutor.new_class_executor(partial(self._predict, flux), flux, rest)
        return inner.execute(*args, **kwargs)

    def _predict(
        self,
        flux,
        x,
        timestep,
        context,
        y=None,
        guidance=None,
        ref_latents=None,
        control=None,
        transformer_options=None,
        **kwargs,
    ):
        method = kwargs.get("ref_latents_method")
        refs = _same_size(ref_latents, x, len(self.offsets), method)
        height, width = x.shape[-2:]
        noise, *grids = (pack(comfy.ldm.common_dit.pad_to_patch_size(t, (PATCH, PATCH))) for t in (x, *refs))
        conditions = [NativeCondition(*c) for c in zip(grids, self.offsets, self.lora, strict=True)]
        inputs = Inputs(context, y, timestep, guidance, transformer_options or {}, method == BLACK)
        v = self._whole(flux, noise, conditions, inputs, control)
        return unpack(v)[..., :height, :width]

    def _whole(self, flux, noise, conditions, inputs, control):
        h, w = noise.shape[1:3]
        if inputs.mutual or not use_tiles(h, w, self.tiling, self.tile):  # black images: never tiled, as published
            return velocity(flux, self.weights, noise, conditions, inputs, control)

        def part(rows, columns):
            cut = [replace(c, grid=c.grid[:, rows, columns], offset=(0, 0)) for c in conditions]
            return velocity(
                flux, self.weights, noise[:, rows, columns], cut, inputs, _cut(control, h, w, (rows, columns))
            )

        return blend(tuple(noise.shape), ((at, part(*at)) for at in tiles(h, w, self.tile)), noise)


def _same_size(refs, x, n, method) -> list[Tensor]:
    """The condition latents, checked: ours, as many as the set-up has, and of the noise's size."""
    if method not in (OURS, BLACK) or refs is None or len(refs) != n:
        raise RefocusError(
            f"the conditioning holds {len(refs or [])} reference latents that are not Genfocus's, but "
            f"this MODEL needs its own {n}: connect the positive and negative outputs of "
            "GenfocusConditioning to the sampler."
        )
    for ref in refs:
        if ref.shape[-2:] != x.shape[-2:]:
            raise RefocusError(
                f"the latent is {x.shape[-1]} x {x.shape[-2]} and the condition {ref.shape[-1]} x "
                f"{ref.shape[-2]}, but one size is needed: use the LATENT of GenfocusConditioning."
            )
    return refs


def _cut(control, h, w, at):
    """A ControlNet's residuals for one tile; those that do not cover the whole grid are left as they are."""
    if control is None:
        return None

    def tile(residual):
        if residual is None or residual.shape[1] != h * w:
            return residual
        return residual.unflatten(1, (h, w))[:, at[0], at[1]].flatten(1, 2)

    return {key: [tile(r) for r in value] for key, value in control.items()}


def attach(model, setup: Setup, patchers: list, tiling: str = "auto", tile: int = TILE):
    """A clone of the MODEL that predicts as Genfocus; the MODEL itself is not touched.

    patchers: from lora_patcher, one for all conditions or one for each. Conditioning: see with_conditions.
    """
    require_flux(model.get_model_object("diffusion_model"))
    n = len(setup.slots)
    patchers = list(patchers) * n if len(patchers) == 1 else list(patchers)
    distinct = list(dict.fromkeys(patchers))
    hook = Hook(
        tuple(s.offset for s in setup.slots),
        tuple(distinct.index(p) for p in patchers),
        tuple(p.model for p in distinct),
        tiling,
        tile,
    )
    clone = model.clone()
    kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
    clone.remove_wrappers_with_key(kind, KEY)
    clone.add_wrapper_with_key(kind, KEY, hook)
    clone.set_additional_models(KEY, distinct)
    return clone


def with_conditions(conditioning, latents: list[Tensor], black: bool = False):
    """The CONDITIONING with the condition latents [B, 16, 2h, 2w] (as a VAE encodes them) in the set-up's order.

    black: these are the black images of image guidance, to be the negative of a CFG whose scale is the guidance's.
    """
    return node_helpers.conditioning_set_values(
        conditioning, {"reference_latents": list(latents), "reference_latents_method": BLACK if black else OURS}
    )
