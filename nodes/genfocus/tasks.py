"""The two tasks of Genfocus as the nodes call them."""
from torch import Tensor

from ...pipelines.genfocus.pixels import defocus_image
from ...pipelines.optics import DefocusMap, RefocusError, resize_depth
from ...pipelines.optics.checks import check_image, check_plane, match_batch, size_of
from .parts import GenfocusParts
from .prepare import Prepared, prepare


def prepare_deblur(parts: GenfocusParts, image: Tensor, pre: Tensor | None, **settings) -> Prepared:
    """image [B, H, W, 3]: the blurred photo; pre: the same already sharpened by something else, or None."""
    setup, loras = parts.deblurring(pre is not None)
    images = [image]
    if len(setup.slots) == 2:
        images = [None if pre is None else _like(check_image(pre, "pre_deblurred"), image, "pre_deblurred"), image]
    return prepare(parts, setup, loras, images, image, **settings)


def prepare_bokeh(parts: GenfocusParts, image: Tensor, defocus: DefocusMap, aperture: Tensor | None,
                  **settings) -> Prepared:
    """image [B, H, W, 3]: sharp everywhere; defocus: its map; aperture [1, S, S]: the opening's shape, or None."""
    if not isinstance(defocus, DefocusMap):
        raise RefocusError(f"defocus is a {type(defocus).__name__}, but a DefocusMap is needed: make one with "
                           "RefocusLens.")
    setup, loras = parts.blurring(aperture is not None)
    b, h, w, _ = image.shape
    images = [image, match_batch(defocus_image(defocus.scaled_to(h, w).radius), b, "the defocus map")]
    if aperture is not None:
        shape = resize_depth(check_plane(aperture, "aperture"), h, w)[..., None].expand(-1, -1, -1, 3)
        images.append(match_batch(shape, b, "the aperture"))
    return prepare(parts, setup, loras, images, image, **settings)


def _like(other: Tensor, image: Tensor, name: str) -> Tensor:
    if other.shape[1:3] != image.shape[1:3]:
        raise RefocusError(f"{name} is {size_of(other[0, ..., 0])} and the image {size_of(image[0, ..., 0])}, but both "
                           "must have one size: scale one to the other.")
    return match_batch(other, image.shape[0], name)
