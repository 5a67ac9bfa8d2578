"""A pretended Apple GPU: its tensors hold their values on the CPU and refuse what MPS refuses.

Tensors of two devices do not mix (but for single numbers and indices), numpy cannot read those of the pretended one,
and there is no float64, no complex128, no 64-bit scatter_reduce, no bicubic or bordered grid_sample, no mean over areas
that do not divide evenly, and no kthvalue. It runs at the speed of Python: small pictures.

Sources: torch/testing/_internal/common_mps.py of torch 2.13, native_functions.yaml of torch 2.6 to 2.13; of pytorch the
issues 96056 (areas) and 125098 (grid_sample), the pull requests 141948 and 184028 (scatter).
"""

from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _DummyPrivateUse1Hook,
    _setup_privateuseone_for_python_backend,
)


class _Backend(_DummyBackendModule):
    """What torch asks of a device. It is there only for those who name it: no other test finds an accelerator."""

    def is_available(self):
        return False

    def device_count(self):
        return 0

    def get_amp_supported_dtype(self):
        return [torch.float16, torch.bfloat16]


class _Hook(_DummyPrivateUse1Hook):
    def is_available(self):
        return False


# torch lets a device of this kind be written in Python; one called mps needs an Apple GPU.
_setup_privateuseone_for_python_backend("pretended", backend_module=_Backend(), hook=_Hook())
DEVICE, CPU = torch.device("pretended", 0), torch.device("cpu")
REFUSED = (torch.float64, torch.complex128)
INDICES = (torch.int64, torch.bool)
# A wrapper does not carry the marks of these lazy views.
AT_ONCE = {"_conj": torch.ops.aten.conj_physical.default, "_neg_view": torch.ops.aten.neg.default}


class Pretended(Tensor):
    """`inner`, a tensor on the CPU, seen as one on the pretended device."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor):
        if inner.dtype in REFUSED:
            raise TypeError(f"Cannot convert a MPS Tensor to {inner.dtype}: the MPS framework does not support it.")
        made = Tensor._make_wrapper_subclass(
            cls, inner.size(), inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=DEVICE
        )
        made.inner = inner
        return made

    def __repr__(self):
        return f"Pretended({self.inner!r})"

    def tolist(self):
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


@contextmanager
def pretended_mps():
    """Within it device=DEVICE works, for tensors and for what is made anew."""
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=...) is made on the CPU and then moved
    try:
        with _Mode():
            yield DEVICE
    finally:
        torch._C._set_only_lift_cpu_tensors(False)


def _run(func, args, kwargs):
    tensors: list[Tensor] = []
    _mapped(tensors.append, [args, kwargs])
    there = {id(t.inner): t for t in tensors if isinstance(t, Pretended)}
    name = func.overloadpacket.__name__
    device = next((x for x in (*args, *kwargs.values()) if isinstance(x, torch.device)), None)
    if name == "_has_compatible_shallow_copy_type":
        return False  # a module that is moved gets new parameters
    _check_devices(name, tensors, func)
    if name == "copy_" or (name == "to" and len(tensors) == 2):
        on_device = isinstance(args[name == "to"], Pretended)
    elif name == "_local_scalar_dense":
        on_device = False
    else:
        on_device = bool(there) if device is None else device.type == DEVICE.type
    if there or on_device:
        _refuse(name, args, kwargs.get("dtype") if on_device else None)
    args, kwargs = _mapped(lambda t: t.inner if isinstance(t, Pretended) else t, [args, kwargs])
    args = [CPU if isinstance(x, torch.device) else x for x in args]
    kwargs = {key: CPU if isinstance(x, torch.device) else x for key, x in kwargs.items()}
    out = AT_ONCE.get(name, func)(*args, **kwargs)
    if not on_device:
        return out
    return _mapped(lambda t: there[id(t)] if id(t) in there else Pretended(t), out)


def _mapped(f, x):
    """x with f done to every tensor in it."""
    if isinstance(x, Tensor):
        return f(x)
    if isinstance(x, dict):
        return {key: _mapped(f, value) for key, value in x.items()}
    return type(x)(_mapped(f, each) for each in x) if type(x) in (list, tuple) else x


def _check_devices(name, tensors, func):
    others = [t for t in tensors if not isinstance(t, Pretended) and t.ndim]
    if len(others) == len([t for t in tensors if t.ndim]) or not others or name in ("_to_copy", "copy_", "to"):
        return
    if not (name.startswith("index") and all(t.dtype in INDICES for t in others)):
        raise RuntimeError(f"Expected all tensors to be on the same device, but {func} got {DEVICE} and cpu.")


def _refuse(name, args, dtype):
    if dtype in REFUSED:
        raise TypeError(f"Cannot convert a MPS Tensor to {dtype}: the MPS framework does not support it.")
    if name.startswith("scatter_reduce") and args[0].dtype == torch.int64:
        raise RuntimeError(f"{name}: amax of 64-bit integers is not supported on MPS.")
    if name == "grid_sampler_2d" and (args[2] == 2 or args[3] == 1):
        raise RuntimeError("MPS: Unsupported Border padding mode, or Bicubic interpolation.")
    if "adaptive_avg_pool2d" in name and any(a % b for a, b in zip(args[0].shape[-2:], args[1], strict=True)):
        raise RuntimeError("Adaptive pool MPS: input sizes must be divisible by output sizes.")
    if name == "kthvalue":
        raise NotImplementedError("The operator 'aten::kthvalue.values' is not implemented for the MPS device.")
