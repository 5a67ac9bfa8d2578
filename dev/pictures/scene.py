"""The sample scene: a chess board at night before a shelf of books, with lights on a string. Everything is made here.

Convention: metres; x to the right, y away from the camera, z up; the board's middle is the origin, its top z = 0.
"""

import math

import numpy as np

SQUARE = 0.05
HEIGHTS = {"pawn": 0.055, "rook": 0.062, "bishop": 0.078, "queen": 0.092, "king": 0.1}
# Outlines: (radius, height) as shares of the piece's height, from the foot up.
OUTLINES = {
    "pawn": [
        (0.3, 0), (0.3, 0.06), (0.26, 0.11), (0.26, 0.14),
        (0.14, 0.24), (0.1, 0.42), (0.1, 0.58), (0.19, 0.6),
    ],
    "rook": [
        (0.3, 0), (0.3, 0.07), (0.26, 0.12), (0.26, 0.15),
        (0.18, 0.24), (0.15, 0.45), (0.15, 0.66), (0.23, 0.7),
    ],
    "bishop": [
        (0.24, 0), (0.24, 0.05), (0.21, 0.1), (0.21, 0.13),
        (0.11, 0.22), (0.08, 0.45), (0.08, 0.6), (0.16, 0.62),
    ],
    "queen": [
        (0.22, 0), (0.22, 0.05), (0.19, 0.1), (0.19, 0.13),
        (0.11, 0.2), (0.075, 0.45), (0.075, 0.66), (0.15, 0.68),
    ],
    "king": [
        (0.21, 0), (0.21, 0.05), (0.18, 0.09), (0.18, 0.12),
        (0.11, 0.19), (0.08, 0.45), (0.08, 0.66), (0.15, 0.68),
    ],
}  # fmt: skip
HEADS = {
    "pawn": [(0.19, 0.63), (0.1, 0.66), (0.1, 0.67)],
    "rook": [(0.23, 0.98), (0.18, 1), (0.17, 0.88), (0, 0.88)],
    "bishop": [(0.16, 0.65), (0.09, 0.67), (0.09, 0.69), (0.14, 0.76), (0.13, 0.83), (0.03, 0.93), (0, 0.93)],
    "queen": [(0.15, 0.71), (0.09, 0.73), (0.09, 0.75), (0.15, 0.93), (0.12, 0.94), (0.1, 0.9), (0, 0.93)],
    "king": [(0.15, 0.71), (0.09, 0.73), (0.09, 0.75), (0.14, 0.86), (0.12, 0.88), (0, 0.9)],
}  # fmt: skip
# (piece, colour, file 0..7 from the left, rank 0..7 away from the camera): an end game.
GAME = [
    ("pawn", "white", 1.1, 0.3),
    ("king", "white", 4, 2),
    ("bishop", "white", 2, 2),
    ("pawn", "white", 5.1, 0.6),
    ("rook", "black", 0, 4),
    ("queen", "black", 6, 4),
    ("pawn", "black", 3, 4),
    ("pawn", "white", 5, 5),
    ("king", "black", 3, 7),
    ("bishop", "black", 5, 7),
    ("pawn", "black", 1, 6),
    ("rook", "white", 7, 7),
]
LIGHTS = 34
SHELF = 2.2  # metres to the wall of books, from the origin


def chaikin(points, times=3):
    """An outline with its corners cut."""
    points = np.asarray(points, float)
    for _ in range(times):
        a, b = points[:-1], points[1:]
        cut = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], 1).reshape(-1, 2)
        points = np.concatenate([points[:1], cut, points[-1:]])
    return points


def lathe(outline, segments=72):
    """(vertices [V, 3], normals [V, 3], faces [F, 3]) of an outline [(radius, height)] turned about z."""
    r, z = np.asarray(outline, float).T
    slope = np.stack([np.gradient(z), -np.gradient(r)], 1)
    slope /= np.linalg.norm(slope, axis=1, keepdims=True).clip(1e-9)
    angle = np.arange(segments) * 2 * math.pi / segments
    c, s = np.cos(angle), np.sin(angle)
    vertices = np.stack([np.outer(r, c), np.outer(r, s), np.repeat(z[:, None], segments, 1)], -1).reshape(-1, 3)
    normals = np.stack([np.outer(slope[:, 0], c), np.outer(slope[:, 0], s), np.repeat(slope[:, 1:], segments, 1)], -1)
    i, j = np.meshgrid(np.arange(len(r) - 1), np.arange(segments), indexing="ij")
    a, b = i * segments + j, i * segments + (j + 1) % segments
    faces = np.stack([np.stack([a, b, b + segments], -1), np.stack([a, b + segments, a + segments], -1)], 2)
    return vertices, normals.reshape(-1, 3), faces.reshape(-1, 3)


def outline(piece):
    return chaikin(OUTLINES[piece] + HEADS[piece]) * HEIGHTS[piece] * [0.85, 1]


def board(pixels=1024):
    """The board's picture [pixels, pixels, 3] in linear light: eight by eight squares in a frame, with a grain."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:pixels, 0:pixels] / pixels * 9.2 - 0.6
    inside = (x >= 0) & (x < 8) & (y >= 0) & (y < 8)
    light = inside & ((np.floor(x) + np.floor(y)) % 2 == 1)
    picture = np.where(light[..., None], [0.62, 0.46, 0.28], [0.14, 0.055, 0.025])
    picture = np.where(inside[..., None], picture, np.array([0.1, 0.04, 0.02]))
    return picture * (0.75 + 0.5 * grain(pixels, rng))[..., None]


def table(pixels=1024):
    """Planks [pixels, pixels, 3] in linear light."""
    rng = np.random.default_rng(4)
    y, _ = np.mgrid[0:pixels, 0:pixels] / pixels * 8
    tone = rng.uniform(0.7, 1.2, 8)[np.floor(y).astype(int)]
    seam = np.where(np.abs(y - np.round(y)) < 0.02, 0.3, 1.0)
    return np.array([0.2, 0.1, 0.05]) * (tone * seam * (0.6 + 0.8 * grain(pixels, rng)))[..., None]


def grain(pixels, rng):
    """[pixels, pixels] in 0..1: wood, its fibres along x."""
    total = np.zeros((pixels, pixels))
    for across in (16, 48, 160, 400):
        noise = rng.random((across, max(2, across // 14)))
        rows = np.linspace(0, across - 1, pixels)
        columns = np.linspace(0, noise.shape[1] - 1, pixels)
        lines = np.stack([np.interp(columns, np.arange(noise.shape[1]), n) for n in noise])
        low = np.floor(rows).astype(int).clip(0, across - 2)
        share = (rows - low)[:, None]
        total += lines[low] * (1 - share) + lines[low + 1] * share
    return (total - total.min()) / np.ptp(total)


def books():
    """[(centre, half size, colour)] of the books on the shelves."""
    rng = np.random.default_rng(8)
    colours = np.array(
        [
            [0.35, 0.05, 0.04], [0.05, 0.12, 0.3], [0.04, 0.2, 0.12], [0.5, 0.32, 0.08], [0.45, 0.42, 0.36],
            [0.12, 0.05, 0.16], [0.04, 0.22, 0.26], [0.5, 0.16, 0.05], [0.03, 0.03, 0.04],
        ]
    )  # fmt: skip
    found = []
    for level in range(-2, 4):
        x = -2.4
        while x < 2.4:
            width, height, deep = rng.uniform(0.018, 0.05), rng.uniform(0.2, 0.3), rng.uniform(0.1, 0.14)
            if rng.random() < 0.06:
                x += rng.uniform(0.05, 0.2)  # a gap
            z = level * 0.38 - 0.05
            colour = colours[rng.integers(len(colours))] * rng.uniform(0.6, 1.3)
            found.append(
                ((x + width / 2, SHELF + 0.15 - deep, z + height / 2), (width / 2 - 0.001, deep, height / 2), colour)
            )
            x += width
    return found


def shelves():
    """[(centre, half size)] of the boards between the books, and of the back."""
    flat = [((0, SHELF + 0.12, level * 0.38 - 0.065), (2.6, 0.17, 0.012)) for level in range(-2, 5)]
    return [*flat, ((0, SHELF + 0.32, 0), (3, 0.01, 3))]


def bulbs():
    """[(centre, radius, colour)] of the lights, on two strings before the shelf."""
    rng = np.random.default_rng(5)
    tints = np.array([[1, 0.55, 0.2], [1, 0.4, 0.12], [1, 0.7, 0.4], [0.3, 0.55, 1], [1, 0.25, 0.3], [0.3, 1, 0.6]])
    found = []
    for string, (depth, top, sag) in enumerate([(1.9, 0.25, 0.2), (1.2, 0.21, 0.14)]):
        for i in range(LIGHTS // 2):
            x = (i + 0.5 + rng.uniform(-0.2, 0.2)) / (LIGHTS // 2) * 2 - 1
            z = top - sag * (1 - x * x) + rng.uniform(-0.03, 0.03)
            tint = tints[rng.integers(3) if rng.random() < 0.7 else rng.integers(6)]
            found.append(((x * (1.3 - 0.35 * string), depth + rng.uniform(-0.1, 0.1), z), 0.009, tint))
    return found
