"""FLUX's text as published: T5 at 512 tokens, with the host's own tokenizer."""

from rackfocus.dev.host.library import use_comfy

use_comfy()
import comfy.sd  # noqa: E402
from comfy.text_encoders.flux import FluxTokenizer  # noqa: E402

from rackfocus.nodes.genfocus.prepare import encode_text  # noqa: E402


class Clip(comfy.sd.CLIP):
    """The host's CLIP with FLUX's tokenizer and, in place of the encoders, a note of what they are given."""

    def __init__(self):
        self.tokenizer, self.tokenizer_options = FluxTokenizer(), {}

    def clone(self):
        other = Clip()
        other.tokenizer_options = dict(self.tokenizer_options)
        return other

    def encode_from_tokens_scheduled(self, tokens):
        return [[tokens, {"pooled_output": "pooled"}]]


def test_t5_gets_512_tokens_and_clip_77():
    clip = Clip()
    ((tokens, options),) = encode_text(clip, "a sharp photo", 3.5)
    assert [len(row) for row in tokens["t5xxl"]] == [512] and [len(row) for row in tokens["l"]] == [77]
    assert options == {"pooled_output": "pooled", "guidance": 3.5}
    assert clip.tokenizer_options == {}  # the artist's own is not changed
    assert [len(row) for row in clip.tokenize("a sharp photo")["t5xxl"]] == [256]
