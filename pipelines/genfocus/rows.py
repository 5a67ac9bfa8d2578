"""Where the branches lie in one fused row of tokens: text, noise, then the conditions in their order."""
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate


@dataclass(frozen=True)
class Rows:
    """Token counts of text, noise and each condition; loras: for each condition, which LoRA it runs through (0..)."""
    text: int
    noise: int
    conditions: tuple[int, ...]
    loras: tuple[int, ...]

    @cached_property
    def adapted(self) -> list[tuple[int, int, int]]:
        """[(start, end, lora)] of the condition rows in the image stream, behind the noise; neighbours merged."""
        found = []
        ends = list(accumulate(self.conditions, initial=self.noise))
        for start, end, lora in zip(ends[:-1], ends[1:], self.loras, strict=True):
            if found and found[-1][2] == lora:
                start = found.pop()[0]
            found.append((start, end, lora))
        return found

    def modulated(self, index, text: bool) -> list[tuple]:
        """[(start, end, index(row of vec))]: vec's row 0 modulates text and noise, row 1 + lora the conditions.

        text: whether the text's rows come first, as in the single-stream blocks.
        """
        shift = self.text if text else 0
        dims = [(0, shift + self.noise, index(0))]
        return dims + [(shift + start, shift + end, index(1 + lora)) for start, end, lora in self.adapted]
