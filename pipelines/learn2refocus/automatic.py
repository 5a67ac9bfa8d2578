"""The input position from depth: at which disparity is the photo sharpest?

Convention: disparity is in 1/m (dioptres), so that it reads as focus; larger is nearer.
"""

from torch import Tensor

from ..image.checks import RefocusError
from ..optics.sharpest import sharpest_disparity
from .inputs import position_at


def automatic_position(image: Tensor, disparity: Tensor) -> int:
    """The position 0..8 at which a photo [1, H, W, 3] is focused, disparity [1, H, W] in 1/m.

    Raises RefocusError for a picture without any detail.
    """
    sharpest = sharpest_disparity(image, disparity)
    if sharpest is None:
        raise RefocusError(
            "the photo has no detail that tells where it is in focus: choose its input_position "
            "from 0 (nearest) to 8 (infinity)."
        )
    return round(position_at(sharpest))
