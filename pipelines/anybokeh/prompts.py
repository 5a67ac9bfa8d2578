"""The stored prompt embeddings of both stages, in one safetensors file; no text encoder is needed."""

from dataclasses import dataclass
from os import PathLike

from torch import Tensor

from ..files import check_floats, file_name, read_header, read_tensors
from ..image.checks import RefocusError, size_of

STAGES = ("stage1", "stage2")
TEXT, POOLED = "prompt_embeds", "pooled_prompt_embeds"
GET = "make it of the published .pt files with this pack's command that fetches weights"


@dataclass(frozen=True)
class Prompt:
    """text [1, n, .] of T5, pooled [1, .] of CLIP."""

    text: Tensor
    pooled: Tensor


def read_prompts(path: str | PathLike, *, text: int, pooled: int, get: str = GET) -> tuple[Prompt, Prompt]:
    """Those of stage 1 and 2, of the widths that the model takes. RefocusError, which says how to get it, for any other
    file."""
    name = file_name(path)
    if str(path).endswith((".pt", ".pth", ".bin")):
        raise RefocusError(f"{name} is a pickle, which can run code, but a safetensors file is needed: {get}.")
    header = read_header(path, get)
    missing = [key for stage in STAGES for key in (f"{stage}/{TEXT}", f"{stage}/{POOLED}") if key not in header]
    if missing:
        raise RefocusError(
            f"{name} lacks the prompt embeddings {', '.join(missing)}, but those of both stages are needed: {get}."
        )
    check_floats(header, name)
    tensors = read_tensors(path, get, finite=True)
    first, second = (Prompt(tensors[f"{stage}/{TEXT}"], tensors[f"{stage}/{POOLED}"]) for stage in STAGES)
    for p in (first, second):
        shapes = (p.text.ndim, p.text.shape[0], p.text.shape[-1], p.pooled.shape)
        if shapes != (3, 1, text, (1, pooled)):
            raise RefocusError(
                f"{name} holds prompt embeddings of {size_of(p.text)} and {size_of(p.pooled)}, but 1 x n x {text} and "
                f"1 x {pooled} are needed for this MODEL: {get}."
            )
    return first, second
