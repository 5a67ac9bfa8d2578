"""A picture as a depth model wants it: size, filter and normalisation, in float throughout.

The processors of transformers do the same with 8-bit pictures; float ones keep what 8 bits would round away.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..files import config_number, config_numbers
from ..image.checks import RefocusError, cut, shown
from ..image.progress import look

LARGEST = 3072  # pixels of a side that a network looks at; Depth Pro's 1536 is the largest published
MOST_MEAN = 1e4
HALF = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FILTERS = {0: "nearest-exact", 1: "bicubic", 2: "bilinear", 3: "bicubic"}  # PIL's numbers; 1 is Lanczos
# What a processor does unless its preprocessor_config.json says otherwise.
USUAL: dict[str, dict] = {
    "DPT": {"size": 384, "resample": 3, "image_mean": HALF, "image_std": HALF},
    "DepthPro": {"size": 1536, "resample": 2, "image_mean": HALF, "image_std": HALF},
    "ZoeDepth": {
        "size": {"height": 384, "width": 512},
        "resample": 2,
        "image_mean": HALF,
        "image_std": HALF,
        "keep_aspect_ratio": True,
        "ensure_multiple_of": 1 / 32,
        "do_pad": True,
    },
    "GLPN": {"size_divisor": 32, "resample": 2, "do_normalize": False},
}


@dataclass(frozen=True)
class Pixels:
    """How a picture becomes pixel_values.

    size: (height, width) aimed at, None: the picture's own, rounded down. keep_aspect: one scale for both sides, the
    one nearer to 1. multiple: sides are rounded to it. mode, antialias, align_corners: of the filter. mean, std: None
    is 0 and 1. reflect: ZoeDepth's mirrored border of 3 sqrt(side / 2) pixels, cut off again afterwards.
    """

    size: tuple[int, int] | None = (518, 518)
    keep_aspect: bool = True
    multiple: float = 14
    mode: str = "bicubic"
    antialias: bool = True
    align_corners: bool = False
    mean: tuple | None = IMAGENET_MEAN
    std: tuple | None = IMAGENET_STD
    reflect: bool = False

    def border(self, height: int, width: int) -> tuple[int, int]:
        """Size of the picture -> pixels that its mirrored border adds above and below, left and right."""
        return (int((height / 2) ** 0.5 * 3), int((width / 2) ** 0.5 * 3)) if self.reflect else (0, 0)

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Size of the picture -> size of pixel_values."""
        if self.size is None:
            h, w = (max(1, int(side // self.multiple)) * int(self.multiple) for side in (height, width))
            return h, w
        scales = [self.size[0] / height, self.size[1] / width]
        if self.keep_aspect:
            scales = [scales[1] if abs(1 - scales[1]) < abs(1 - scales[0]) else scales[0]] * 2
        least = max(1, int(self.multiple))
        h, w = (
            max(least, int(round(scale * side / self.multiple) * self.multiple))
            for scale, side in zip(scales, (height, width), strict=True)
        )
        return h, w

    def values(self, image: Tensor) -> Tensor:
        """Image [B, H, W, 3] in 0..1 -> pixel_values [B, 3, h, w]."""
        x = image.movedim(-1, 1)
        bh, bw = self.border(*x.shape[-2:])
        if bh or bw:
            x = reflected(reflected(x, bw).mT, bh).mT
        size = self.target(*x.shape[-2:])
        if size != tuple(x.shape[-2:]):
            corners = {} if self.mode.startswith("nearest") else {"align_corners": self.align_corners}
            smooth = self.antialias and self.mode in ("bilinear", "bicubic")
            # Bicubic overshoots at edges; 8-bit processors cut that off after each axis.
            for step in ((x.shape[-2], size[1]), size):
                look()
                x = F.interpolate(x, step, mode=self.mode, antialias=smooth, **corners).clamp(0, 1)
        if self.mean is None:
            return x
        mean, std = (torch.tensor(v, dtype=x.dtype, device=x.device)[:, None, None] for v in (self.mean, self.std))
        return (x - mean) / std


def reflected(x: Tensor, n: int) -> Tensor:
    """[..., W] -> [..., W + 2 n], mirrored at the ends as often as n asks for."""
    w = x.shape[-1]
    i = torch.arange(-n, w + n, device=x.device) % max(1, 2 * (w - 1))
    return x[..., torch.minimum(i, (2 * (w - 1) - i).clamp(min=0)) if w > 1 else torch.zeros_like(i)]


def pixels_of(config: dict, model_type: str, name: str) -> Pixels:
    """preprocessor_config.json -> Pixels. Raises RefocusError where it is missing (but for Depth Anything) or of an
    unknown kind."""
    if not config:
        if model_type in ("depth_anything", "prompt_depth_anything"):
            return Pixels()
        raise RefocusError(
            f"the depth model {name} has no readable preprocessor_config.json, but it says how "
            "pictures are fed to the model: copy it from the model's source into that folder."
        )
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type"))
    family = next(
        (f for f in ("ZoeDepth", "DepthPro", "GLPN", "PromptDepthAnything", "DPT") if kind.startswith(f)), None
    )
    if family is None:
        raise RefocusError(
            f"the depth model {name} prepares its pictures by {cut(kind)}, but {', '.join(USUAL)} are "
            "known: use another depth model, for example Depth Anything V2."
        )
    usual = USUAL["DPT" if family == "PromptDepthAnything" else family]
    c = {**usual, **{k: v for k, v in config.items() if v is not None}}
    of = f"preprocessor_config.json of {name}"
    normalise = _truth(c, "do_normalize", True, of)
    size = _size(c["size"], of) if family != "GLPN" and _truth(c, "do_resize", True, of) else None
    multiple = c.get("ensure_multiple_of" if size else "size_divisor") or 1
    return Pixels(
        size=size,
        keep_aspect=_truth(c, "keep_aspect_ratio", False, of),
        multiple=config_number({"multiple": multiple}, "multiple", 1, 1 / 64 if size else 1, LARGEST, of=of),
        mode=FILTERS.get(config_number(c, "resample", 2, 0, 5, of=of, whole=True), "bilinear"),
        antialias=family not in ("DepthPro", "ZoeDepth"),
        align_corners=family == "ZoeDepth",
        mean=config_numbers(c, "image_mean", HALF, 3, -MOST_MEAN, MOST_MEAN, of=of) if normalise else None,
        std=config_numbers(c, "image_std", HALF, 3, 1 / MOST_MEAN, MOST_MEAN, of=of) if normalise else None,
        reflect=family == "ZoeDepth" and _truth(c, "do_pad", False, of),
    )


def _truth(config: dict, key: str, default: bool, of: str) -> bool:
    value = config.get(key, default)
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    raise RefocusError(f"{key} in {of} is {shown(value)}, but true or false is needed: fetch it again.")


def _size(size, of: str) -> tuple[int, int]:
    """A side, (height, width), {"height", "width"} or {"shortest_edge"} -> (height, width)."""
    if isinstance(size, dict):
        size = (size.get("height"), size.get("width")) if "height" in size else (size.get("shortest_edge"),) * 2
    sides = size if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2:
        raise RefocusError(f"size in {of} has {len(sides)} numbers, but height and width are needed: fetch it again.")
    made = [
        config_number({"size": "missing" if side is None else side}, "size", None, 1, LARGEST, of=of, whole=True)
        for side in sides
    ]
    return made[0], made[1]
