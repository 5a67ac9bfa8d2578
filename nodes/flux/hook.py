"""Conditions on the artist's MODEL: a clone whose diffusion model is wrapped, and latents in the conditioning."""

from dataclasses import dataclass, field, replace
from functools import partial

import comfy.ldm.common_dit
import comfy.ldm.flux.model
import comfy.model_management as mm
import comfy.patcher_extension
import node_helpers
from torch import Tensor

from ...pipelines.flux.blocks import Embedded
from ...pipelines.flux.sampling import require_guidance
from ...pipelines.flux.tokens import ALL, OWN, PATCH, TILE, by_tiles, pack, unpack, use_tiles
from ...pipelines.image.checks import RefocusError
from ..abilities import is_flux1
from .forward import Inputs, NativeCondition, NativeEmbedded, velocity
from .memory import Memories

KEY = "rackfocus"
# reference_latents_method of the conditioning: whose latents they are, and whether they are the black ones of image
# guidance. Being a constant it also keeps the host from putting both into one batch.
OURS, BLACK = "rackfocus", "rackfocus_black"


@dataclass(frozen=True)
class Given:
    """What an engine gives beside the latents of its conditions.

    rule: of attention; embedded: further conditions, of as many pictures as the noise or of one for all, through the
    first LoRA; shift [B or 1, hidden]: added to what modulates the noise; everywhere: whether text and noise run
    through the LoRA; memories: where keys and values of the conditions are kept, None for nowhere.
    """

    rule: str = OWN
    embedded: tuple[Embedded, ...] = ()
    shift: Tensor | None = None
    everywhere: bool = False
    memories: Memories | None = None


@dataclass(frozen=True)
class Hook:
    """The wrapper. offsets and lora: for each condition; weights: the LoRAs; tiling: auto, on or off.

    engine, node: whose conditions they are and which node makes the conditioning, for the messages; given: what its
    engine adds to them.
    """

    offsets: tuple[tuple[int, int], ...]
    lora: tuple[int, ...]
    weights: tuple
    tiling: str
    tile: int
    engine: str
    node: str
    given: Given = field(default_factory=Given)

    def __call__(self, executor, *args, **kwargs):
        """Stands in for the diffusion model; wrappers that were added after this one still run."""
        flux = executor.class_obj
        check_flux(flux, self.engine)
        later = executor.wrappers[executor.idx + 1 :]
        inner = comfy.patcher_extension.WrapperExecutor.new_class_executor(partial(self._predict, flux), flux, later)
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
        """As Flux._forward: x and ref_latents [B, C, H, W], timestep and guidance [B], context and y the text."""
        method = kwargs.get("ref_latents_method")
        latents = self._checked(ref_latents, x, method)
        height, width = x.shape[-2:]
        noise, *grids = (pack(comfy.ldm.common_dit.pad_to_patch_size(t, (PATCH, PATCH))) for t in (x, *latents))
        conditions = [NativeCondition(*c) for c in zip(grids, self.offsets, self.lora, strict=True)]
        rule, shift = (ALL if method == BLACK else self.given.rule), self.given.shift
        shift = None if shift is None else _for_batch(shift, len(x))
        options = transformer_options or {}
        inputs = Inputs(context, y, timestep, guidance, options, rule, shift, self.given.everywhere)
        try:
            v = self._velocity(flux, noise, conditions, inputs, control)  # [B, h, w, 4C]
        except mm.OOM_EXCEPTION:
            if self.given.memories is None or not self.given.memories.release():
                raise
            v = self._velocity(flux, noise, conditions, inputs, control)
        return unpack(v)[..., :height, :width]

    def _checked(self, latents, x, method) -> list[Tensor]:
        """The conditions' latents: ours, as many as were attached, and of the noise's size."""
        n = len(self.offsets)
        if method not in (OURS, BLACK) or latents is None or len(latents) != n:
            raise RefocusError(
                f"the conditioning holds {len(latents or [])} reference latents that are not {self.engine}'s, but "
                f"this MODEL needs its own {n}: connect the positive and negative outputs of {self.node} to the "
                "sampler."
            )
        for latent in latents:
            if latent.shape[-2:] != x.shape[-2:]:
                raise RefocusError(
                    f"the latent is {x.shape[-1]} x {x.shape[-2]} and the condition {latent.shape[-1]} x "
                    f"{latent.shape[-2]}, but one size is needed: use the LATENT of {self.node}."
                )
        return latents

    def _velocity(self, flux, noise, conditions, inputs, control):
        h, w = noise.shape[1:3]

        def one(noise, conditions, embedded, control, at):
            b = len(noise)
            given = [*conditions, *(NativeEmbedded(_for_batch(e.x, b), _for_batch(e.ids, b), 0) for e in embedded)]
            memory = None
            if self.given.memories is not None:
                memory = self.given.memories.of(at, flux, b, sum(c.tokens for c in given), noise)
            return velocity(flux, self.weights, noise, given, inputs, control, memory)

        # black images are never tiled
        if inputs.rule == ALL or not use_tiles(h, w, self.tiling, self.tile):
            return one(noise, conditions, self.given.embedded, control, (0, 0))

        def part(rows, columns):
            cut = [replace(c, grid=c.grid[:, rows, columns], offset=(0, 0)) for c in conditions]
            embedded = [e.cut(rows, columns) for e in self.given.embedded]
            residuals = _cut(control, h, w, rows, columns)
            return one(noise[:, rows, columns], cut, embedded, residuals, (rows.start, columns.start))

        return by_tiles(part, noise, self.tile)


def _for_batch(given: Tensor, batch: int) -> Tensor:
    """[n, ...] -> [batch, ...]: the same for every picture, or for each again where the host asks for more at once."""
    return given if len(given) == batch else given.repeat(batch // len(given), *[1] * (given.ndim - 1))


def _cut(control: dict | None, h: int, w: int, rows: slice, columns: slice) -> dict | None:
    """A ControlNet's residuals for one tile; those that do not cover the whole grid are left as they are."""
    if control is None:
        return None

    def tile(residual):
        if residual is None or residual.shape[1] != h * w:
            return residual
        return residual.unflatten(1, (h, w))[:, rows, columns].flatten(1, 2)

    return {key: [tile(r) for r in residuals] for key, residuals in control.items()}


def attach(
    model,
    offsets: list[tuple[int, int]],
    patchers: list,
    tiling: str = "auto",
    tile: int = TILE,
    *,
    engine: str = "this engine",
    node: str = "this engine's conditioning node",
    given: Given | None = None,
):
    """A clone of the MODEL that predicts with conditions; the MODEL itself is not touched.

    offsets: of each condition's positions, in tokens (y, x); patchers: from lora_patcher, one for all conditions or
    one for each; engine, node: for the messages, see Hook; given: what else the engine adds. The conditioning comes
    from with_conditions.
    """
    check_flux(model.get_model_object("diffusion_model"), engine)
    patchers = list(patchers) * len(offsets) if len(patchers) == 1 else list(patchers)
    distinct = list(dict.fromkeys(patchers))
    lora = tuple(distinct.index(p) for p in patchers)
    hook = Hook(tuple(offsets), lora, tuple(p.model for p in distinct), tiling, tile, engine, node, given or Given())
    clone = model.clone()
    kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
    clone.remove_wrappers_with_key(kind, KEY)
    clone.add_wrapper_with_key(kind, KEY, hook)
    clone.set_additional_models(KEY, distinct)
    return clone


def with_conditions(conditioning, latents: list[Tensor], black: bool = False):
    """The CONDITIONING with the condition latents [B, 16, 2h, 2w] (as a VAE encodes them) in the order attached.

    black: these are the black images of image guidance, to be the negative of a CFG whose scale is the guidance's.
    """
    return node_helpers.conditioning_set_values(
        conditioning, {"reference_latents": list(latents), "reference_latents_method": BLACK if black else OURS}
    )


def check_flux(module, engine: str = "this engine") -> None:
    """Whether the live diffusion model is FLUX.1-dev in ComfyUI's own class. engine: who needs it, for the messages.

    Raises RefocusError for FLUX.2, schnell, Fill and control models, and classes that are not ComfyUI's.
    """
    if not isinstance(module, comfy.ldm.flux.model.Flux):
        raise RefocusError(
            f"the MODEL is a {type(module).__name__}, but {engine} needs FLUX.1-dev in ComfyUI's own "
            "form: load it with Load Diffusion Model, Load Checkpoint or a GGUF loader."
        )
    p = module.params
    if not is_flux1(p):
        raise RefocusError(
            f"the MODEL is FLUX.2 or a relative of it, but {engine} is made for FLUX.1-dev: load FLUX.1-dev."
        )
    if p.in_channels != p.out_channels:
        raise RefocusError(
            f"the MODEL takes {p.in_channels} latent channels and gives {p.out_channels} (a Fill, Canny "
            f"or Depth variant), but {engine} needs plain FLUX.1-dev: load that."
        )
    require_guidance(p.guidance_embed)
