"""The artist's model files, read with care: nothing in them can run, hang, or take more memory than they have bytes.

Ground floor beside `image`: every loader opens its headers, tensors and configurations here.
"""

from .config import config_number, config_numbers, read_config
from .regular import SURPRISES, file_name, short
from .tensors import TensorInfo, check_amount, check_floats, read_header, read_metadata, read_tensors

__all__ = [
    "SURPRISES",
    "TensorInfo",
    "check_amount",
    "check_floats",
    "config_number",
    "config_numbers",
    "file_name",
    "read_config",
    "read_header",
    "read_metadata",
    "read_tensors",
    "short",
]
