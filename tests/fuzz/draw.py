"""What a case is given: values as an artist gives them, and such as links and the API let through.

    draw = Draw("nodes 0 17")       # the same draws whenever the same case runs again
    draw.number(0.0, 1.0)           # mostly a number in 0..1, now and then anything at all

Each case has a mood: how often it draws something wild. So most inputs of most cases are good, and the deep code is
reached with one or two that are not.
"""

import math
import random

import torch

from rackfocus.pipelines.optics import DefocusMap

LARGEST_SIDE = 48  # pixels: what a size can break, a small one breaks
MOODS = (0.0, 0.06, 0.12, 0.12, 0.25)
NUMBERS = (
    *(math.nan, math.inf, -math.inf, 0, 0.0, -0.0, -1, 1, 2, 0.5, -0.5, 1e-9, -1e-9, 1e-30, 5e-324, 1e9, -1e9, 1e30),
    *(1e38, 3.5e38, 1e300, -1e300, 2**31, 2**63, 2**64, 2**64 - 1, 2**70, -(2**70), 10**400, 20000, 65536.5, True),
)
NO_NUMBERS = (None, "1", "nan", "", "0.5 ", [1.0], [], (1, 2), {}, b"1", 1j, "x" * 100_000)
NO_CHOICES = (
    None,
    0,
    1.5,
    True,
    "",
    "nothing",
    "Auto",
    "AUTO",
    ["auto"],
    {"a": 1},
    "\n",
    "x" * 10_000_000,
    "\x00",
    "\u00e9",
)
NO_TEXTS = (None, 0, 1.5, math.nan, ["text"], {}, b"text")
SHAPES = ((1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (2, 3), (3, 1), (3, 2), (5, 4), (7, 33), (33, 7), (40, 47), (47, 31))
TYPES = (torch.float16, torch.bfloat16, torch.float64, torch.uint8, torch.int64, torch.int16, torch.bool)
ODD_TYPES = (torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.int8, torch.uint16)
EXTREMES = (math.nan, math.inf, -math.inf, 1e30, 1e38, -1e38, 3.4e38, -1.0, -1e6, 1e6, 255.0, 65504.0, 1e-38, 1e-45)


class Draw:
    """Draws of one case. said: what each of them was, for the report of a failure."""

    def __init__(self, seed: str):
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(self.random.getrandbits(48))
        self.mood = self.random.choice(MOODS)
        self.size = self.random.choice(SHAPES)  # of the case's picture; what belongs to it mostly has it too

    def wild(self, share: float = 1.0) -> bool:
        return self.random.random() < self.mood * share

    def pick(self, values):
        return self.random.choice(list(values))

    def number(self, low: float, high: float, usual=None):
        """A float widget."""
        if self.wild():
            return self.pick(NUMBERS if self.random.random() < 0.8 else NO_NUMBERS)
        kind = self.random.random()
        if usual is not None and kind < 0.4:
            return usual
        if kind < 0.5:
            return self.pick((low, high))
        if self.wild():
            return self.pick((low - 1e-6, high + 1e-6, low - 1, high + 1, 10 * high + 1, -high))
        # As often small as large: most widgets reach far beyond what is common.
        return low + (high - low) * self.random.random() ** self.pick((1, 4))

    def whole(self, low: int, high: int, usual=None):
        """An integer widget."""
        if self.wild():
            return self.pick((low - 1, high + 1, 2.5, 3.0, -7, *NUMBERS, *NO_NUMBERS))
        if usual is not None and self.random.random() < 0.4:
            return usual
        return self.random.randint(low, high)

    def choice(self, options):
        return self.pick(NO_CHOICES) if self.wild() else self.pick(options)

    def flag(self):
        return self.pick((None, 0, 1, 2, "no", math.nan, [])) if self.wild() else self.pick((True, False))

    def text(self, usual: str = "a photo"):
        if self.wild():
            return self.pick((*NO_TEXTS, "", "x" * 100_000, "\x00\n\t", "\ud800", "\u202e abc", "(a:1e99)" * 9))
        return usual

    def seed(self):
        return self.pick((0, 1, 2**31, 2**63, 2**64 - 1, 2**64, 2**80, -1, 1.5, math.nan, None, "7", True))

    # Pictures and maps

    def sides(self) -> tuple[int, int]:
        return self.pick(SHAPES) if self.wild() else self.size

    def batch(self) -> int:
        return self.pick((0, 2, 3, 5)) if self.wild() else self.pick((1, 1, 1, 2, 3))

    def image(self, batch: int | None = None):
        """A picture [B, H, W, C]."""
        channels = self.pick((1, 2, 4, 5, 6)) if self.wild() else self.pick((3, 3, 3, 4, 1))
        n = self.batch() if batch is None else batch
        x = torch.rand(n, *self.sides(), channels, generator=self.generator)
        if self.random.random() < 0.3:  # clipped lights, flat areas
            x = (
                (x * self.pick((1.5, 4))).clamp(0, 1)
                if self.random.random() < 0.6
                else torch.full_like(x, float(x.mean()) if x.numel() else 0)
            )
        return self.odd(x, self.pick(({"samples": x.movedim(-1, 1)}, x[..., 0], x.movedim(-1, 1), x[None], x.tolist())))

    def plane(self):
        """A mask or an aperture: [B, H, W], [H, W] or an image."""
        x = torch.rand(self.batch(), *self.sides(), generator=self.generator)
        if self.random.random() < 0.3:
            x = (x > self.pick((0.5, 0.9, 1.0))).float()
        if self.random.random() < 0.2:
            x = x[..., None].expand(-1, -1, -1, self.pick((1, 3, 4)))
        elif self.random.random() < 0.1 and len(x):
            x = x[0]
        return self.odd(x, self.pick((x[..., None, None], x[None, None], {"samples": x}, x.tolist())))

    def depth(self):
        """A depth map of any kind and size."""
        x = torch.rand(self.batch(), *self.sides(), generator=self.generator)
        kind = self.random.random()
        if kind < 0.25:
            x = 1 / (x + 0.05)  # metres
        elif kind < 0.35:
            x = torch.full_like(x, self.pick((0.0, 0.5, 1.0, 3.0, 1e-3)))
        elif kind < 0.45 and x.numel():  # sky, holes, specks
            x.view(-1)[self.random.randrange(x.numel())] = self.pick((1e4, 65504.0, 0.0, 1e-4, 3.4e38, math.inf))
        if self.random.random() < 0.2:
            x = x[..., None].expand(-1, -1, -1, self.pick((1, 3, 4)))
        return self.odd(x, self.pick((x[..., None, None], x[None], {"samples": x}, None, "depth")))

    def defocus(self):
        """A DEFOCUS_MAP, or a damaged one, or none."""
        if self.wild(0.5):
            return self.pick((None, torch.ones(1, 4, 4), {"radius": 1}, "map", 3.0))
        x = torch.rand(self.batch(), *self.sides(), generator=self.generator) * 2 - 1
        reach = self.pick((0.0, 0.3, 1, 3, 8, 20, 20, 60))
        if self.wild():
            reach = self.pick((500, 4000, 20_000, 33_000, 1e6, 1e12, 1e30))
        if not x.numel():
            x = torch.zeros(1, *self.size)
        made = DefocusMap(x.new_zeros(x.shape))
        if self.wild(0.3):  # as a careless node makes one
            object.__setattr__(
                made, "radius", self.pick((x[0], x[..., None] * math.nan, x * math.inf, None, x.double()))
            )
            return made
        try:
            extra = {}
            if self.random.random() < 0.3:
                extra = {"focus_disparity": torch.ones(len(x)), "focus_point": (0.5, 0.5), "strength": torch.ones(1)}
            return DefocusMap(x * reach, **extra)
        except ValueError:
            return made

    def odd(self, x, other):
        """The tensor, or one that is unusual in its values, its type or its layout, or another thing instead."""
        if not self.wild():
            return x
        kind = self.random.random()
        if kind < 0.35 and x.numel():
            x = x.clone()
            x.view(-1)[self.random.randrange(x.numel())] = self.pick(EXTREMES)
            return x
        if kind < 0.45:
            return x * self.pick((-1, 2, 255, 1e6, 1e20, 1e38, 0))
        if kind < 0.65:
            return (x * self.pick((1, 255))).to(self.pick((*TYPES, *ODD_TYPES)))
        if kind < 0.85:
            return self.pick(
                (
                    lambda: x.to_sparse(),
                    lambda: x.to("meta"),
                    lambda: x[:1].expand(3, *x.shape[1:]) if x.ndim and len(x) else x,
                    lambda: x.clone().requires_grad_(),
                    lambda: torch.stack([x, x], -1)[..., 0],
                    lambda: x.movedim(1, 0).contiguous().movedim(0, 1) if x.ndim > 1 else x,
                    lambda: x.flip(-1),
                    lambda: x[:0],
                    lambda: x.numpy(),
                    lambda: torch.nn.Parameter(x.clone()),
                )
            )()
        return other


def told(value) -> str:
    """A drawn value in the report of a failure."""
    if isinstance(value, torch.Tensor):
        layout = "" if value.layout is torch.strided else f" {value.layout}"
        ends = ""
        if value.device.type == "cpu" and not layout and value.numel():
            real = value.detach().float() if not value.is_complex() else value.detach().real
            ends = f" {float(real.min()):g}..{float(real.max()):g}"
        return f"<{tuple(value.shape)} {str(value.dtype)[6:]} {value.device}{layout}{ends}>"
    if isinstance(value, DefocusMap):
        return f"DefocusMap({told(value.radius)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {told(v)}" for k, v in value.items()) + "}"
    if isinstance(value, int) and abs(value) > 10**20:
        return "<huge int>"
    text = repr(value)
    return text if len(text) < 100 else f"{text[:60]}... ({len(text)} characters)"
