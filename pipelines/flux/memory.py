"""What is kept of conditions that see conditions alone: their keys and values, the same at every step of a picture."""

from torch import Tensor

KeysValues = tuple[Tensor, Tensor]  # each [B, heads, n, d], turned to their positions


class Memory:
    """Keys and values of all conditions of one picture, or tile, in every block.

    Empty at first: the pass that finds it so runs the conditions too and fills it. From then on it is `whole`, and
    passes leave the conditions out.
    """

    def __init__(self) -> None:
        self.whole = False
        self._kept: dict[str, KeysValues] = {}

    def keep(self, block: str, k: Tensor, v: Tensor) -> None:
        """Those of one block, as copies: what was given may be parts of longer rows."""
        self._kept[block] = k.clone(), v.clone()

    def close(self, blocks: int) -> None:
        """After a pass through so many blocks: whole if each of them was kept, else empty again."""
        self.whole = len(self._kept) == blocks
        if not self.whole:
            self._kept.clear()

    def of(self, block: str) -> KeysValues:
        return self._kept[block]

    @property
    def batch(self) -> int:
        """Of the pass that filled it, 0 for none."""
        return len(next(iter(self._kept.values()))[0]) if self._kept else 0
