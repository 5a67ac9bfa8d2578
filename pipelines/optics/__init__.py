"""The physics that all engines share: depth conventions, lens and defocus, aperture shapes, light."""

from ..image.checks import RefocusError
from ..image.light import decode_srgb, encode_srgb
from .aperture import SHAPES, aperture_from_image, aperture_kernel, aperture_mask, aperture_points
from .depth import (
    DEPTH_KINDS,
    METRIC_KINDS,
    metric_to_relative,
    relative_to_metric,
    resize_depth,
    resolve_kind,
    to_disparity,
)
from .focus import (
    FOCUS_BY,
    Focused,
    focus_at_distance,
    focus_at_mask,
    focus_at_point,
    focus_automatic,
    focus_lens,
    stack_disparities,
)
from .keep import keep_unchanged
from .lens import Camera, DefocusMap, defocus_from_disparity, from_1000
from .rack import EASINGS, Keyframe, Rack, parse_keyframes, rack_focus
from .show import pack_16_bit, plane_of, show_defocus, show_depth, show_focus, zones

__all__ = [
    "DEPTH_KINDS",
    "EASINGS",
    "FOCUS_BY",
    "METRIC_KINDS",
    "SHAPES",
    "Camera",
    "DefocusMap",
    "Focused",
    "Keyframe",
    "Rack",
    "RefocusError",
    "aperture_from_image",
    "aperture_kernel",
    "aperture_mask",
    "aperture_points",
    "decode_srgb",
    "defocus_from_disparity",
    "encode_srgb",
    "focus_at_distance",
    "focus_at_mask",
    "focus_at_point",
    "focus_automatic",
    "focus_lens",
    "from_1000",
    "keep_unchanged",
    "metric_to_relative",
    "pack_16_bit",
    "parse_keyframes",
    "plane_of",
    "rack_focus",
    "relative_to_metric",
    "resize_depth",
    "resolve_kind",
    "show_defocus",
    "show_depth",
    "show_focus",
    "stack_disparities",
    "to_disparity",
    "zones",
]
