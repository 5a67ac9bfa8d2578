"""Is this file learn2refocus's UNet, and if not, what is it?"""
import re

from ..optics import RefocusError
from .unet_layout import SVD, Layout, Shapes, layout_of

XT_FRAMES = 25
WANTED = ("learn2refocus's UNet (diffusion_pytorch_model.safetensors of tedlasai/learn2refocus, "
          "checkpoint-200000/unet) is needed")


def check_unet(shapes: Shapes, name: str, frames: int | None = None) -> Layout:
    """The layout of an SVD UNet in diffusers' format; RefocusError that says what the file is otherwise.

    shapes: {tensor's name: shape} of the file; name: as shown; frames: num_frames of the config.json beside it.
    What cannot be told from names and shapes: SVD img2vid's own UNet in diffusers' format has exactly these too, and so
    has SVD-xt's where no config.json says 25 frames.
    """
    layout = layout_of(shapes)
    if layout is None:
        raise RefocusError(f"{name} is {kind_of(shapes)}, but {WANTED}: choose it in refocus_unet.")
    if frames == XT_FRAMES:
        raise RefocusError(f"{name} is the UNet of SVD-xt (its config.json says {XT_FRAMES} frames), but {WANTED}.")
    if layout.inputs != SVD.inputs:
        raise RefocusError(f"{name} is an SVD UNet of {layout.inputs} input channels, but {WANTED}, which has "
                           f"{SVD.inputs}.")
    wanted = layout.tensors()
    ill_shaped = {k for k, v in wanted.items() if tuple(shapes.get(k, v)) != v}
    for what, found in (("lacks", sorted(wanted.keys() - shapes.keys())),
                        ("has in excess", sorted(shapes.keys() - wanted.keys())),
                        ("has in the wrong shape", sorted(ill_shaped))):
        if found:
            more = f" and {len(found) - 2} more" if len(found) > 2 else ""
            raise RefocusError(f"{name} is an SVD UNet, but {what} {len(found)} of the {len(wanted)} tensors "
                               f"({', '.join(found[:2])}{more}): download it again.")
    return layout


def kind_of(shapes: Shapes) -> str:
    """What a file of these tensors is, for a sentence."""
    def has(pattern):
        return any(re.search(pattern, name) for name in shapes)

    for pattern, kind in KINDS:
        if has(pattern):
            return kind
    if has(r"^down_blocks\.\d+\.resnets\.0\.conv1"):
        return _image_unet(shapes)
    return "not a model that is known here"


KINDS = (
    (r"lora_(A|B|up|down)\b", "a LoRA"),
    (r"motion_modules", "a UNet or module of AnimateDiff"),
    (r"controlnet_|zero_convs|input_hint_block", "a ControlNet"),
    (r"(input_blocks|output_blocks)\.\d+\.\d+\.time_(stack|mixer)",
     "Stable Video Diffusion itself (img2vid or xt, as ComfyUI's checkpoints hold it; not told apart)"),
    (r"(input_blocks|output_blocks)\.\d+\.\d+\.", "a Stable Diffusion model for single pictures"),
    (r"^decoder\..*(time_mixer|time_stack)", "SVD's VAE"),
    (r"^(encoder|decoder)\.(down_blocks|up_blocks|mid|conv_in)", "a VAE"),
    (r"^(vision_model|visual_projection)", "a CLIP vision tower"),
    (r"(double_blocks|single_transformer_blocks)\.\d+\.", "a FLUX model"),
    (r"^(model\.diffusion_model\.)?(joint_blocks|transformer_blocks|blocks)\.\d+\.", "a diffusion transformer"),
)


def _image_unet(shapes: Shapes) -> str:
    context = next((s[1] for n, s in shapes.items() if n.endswith("attn2.to_k.weight")), None)
    known = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "SDXL"}.get(context)
    return f"a UNet for single pictures{f' ({known})' if known else ''}, without layers in time"
