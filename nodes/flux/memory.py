"""Where keys and values of a picture's conditions are kept from step to step, as far as the device has room."""

import comfy.model_management as mm
from torch import Tensor

from ...pipelines.flux.memory import Memory

SHARE = 0.5  # of what is free beside what the host keeps for itself; the rest is for the steps


class Memories:
    """A Memory for each tile of one picture, while it is sampled. room: bytes in all; None asks the host."""

    def __init__(self, room: int | None = None):
        self.room = room
        self._kept: dict[tuple[int, int], Memory] = {}

    def of(self, at: tuple[int, int], flux, batch: int, tokens: int, like: Tensor) -> Memory | None:
        """That of the tile that begins there; None where no room is left. tokens: of its conditions."""
        if at in self._kept and self._kept[at].batch in (0, batch):
            return self._kept[at]
        if self.room is None:
            self.room = room_on(like.device)
        blocks = len(flux.double_blocks) + len(flux.single_blocks)
        needed = 2 * blocks * batch * tokens * flux.hidden_size * like.element_size()
        if at in self._kept or needed > self.room:
            return None
        self.room -= needed
        self._kept[at] = Memory()
        return self._kept[at]

    def release(self) -> bool:
        """Forget everything and keep nothing from now on; whether there was anything."""
        had, self.room = bool(self._kept), 0
        self._kept.clear()
        mm.soft_empty_cache()
        return had


def room_on(device) -> int:
    """Bytes that may be kept on a device."""
    return max(0, int(SHARE * (mm.get_free_memory(device) - mm.minimum_inference_memory())))
