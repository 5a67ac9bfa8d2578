"""samples/: the scene of scene.py, path-traced by Mitsuba 3, and a focal stack of it: python -m dev.pictures samples.

Mitsuba is needed: .venv/bin/pip install -e ".[samples]". On two cores it takes a quarter of an hour.
"""

import math
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from rackfocus.pipelines.image.light import encode_srgb
from rackfocus.pipelines.optical.focal_stack import render_stack

from ..host.paths import ROOT, UserError
from . import scene

FOLDER = Path(ROOT) / "samples"
WIDTH, HEIGHT, FIELD = 768, 512, 40.0  # the photo in pixels, its width in degrees
EYE, TARGET = (-0.06, -0.54, 0.17), (0.0, 0.1, 0.05)
SAMPLES = 192  # paths for each pixel
STACK, FRAMES = (384, 576), 9  # height and width of the stack
BLUR = 9.0  # of the stack: radius in its pixels for one unit of disparity, the span from the nearest point to infinity


def meshes(mi, folder):
    """{piece: path} of the turned pieces, as PLY."""
    paths = {}
    for piece in scene.HEIGHTS:
        vertices, normals, faces = scene.lathe(scene.outline(piece))
        mesh = mi.Mesh(piece, len(vertices), len(faces), has_vertex_normals=True)
        parameters = mi.traverse(mesh)
        parameters["vertex_positions"], parameters["vertex_normals"] = vertices.ravel(), normals.ravel()
        parameters["faces"] = faces.ravel()
        parameters.update()
        paths[piece] = str(Path(folder) / f"{piece}.ply")
        mesh.write_ply(paths[piece])
    return paths


def described(mi, folder) -> dict:
    """The scene without a camera, as Mitsuba's dictionary."""
    T = mi.ScalarTransform4f
    found = {"type": "scene", "integrator": {"type": "path", "max_depth": 4}}

    def add(shape):
        found[f"shape{len(found)}"] = shape

    def colour(values):
        return {"type": "rgb", "value": [float(v) for v in values]}

    def bitmap(array):
        return {"type": "bitmap", "bitmap": mi.Bitmap(array.astype(np.float32)), "raw": True}

    def glow(light, share):  # share: of the paths that look for a light
        return {"type": "area", "radiance": colour(light), "sampling_weight": share}

    def gloss(reflectance, roughness):
        return {"type": "roughplastic", "diffuse_reflectance": reflectance, "alpha": roughness}

    def box(centre, half, bsdf):
        add({"type": "cube", "to_world": T().translate(list(centre)).scale(list(half)), "bsdf": bsdf})

    def ball(centre, radius, bsdf, **more):
        add({"type": "sphere", "center": list(centre), "radius": radius, "bsdf": bsdf, **more})

    half = 4.6 * scene.SQUARE
    box((0, 0, -0.0101), (half, half, 0.01), gloss(colour((0.1, 0.04, 0.02)), 0.15))
    flat = T().scale([half, half, 1])
    add({"type": "rectangle", "to_world": flat, "bsdf": gloss(bitmap(scene.board()), 0.12)})
    wood = T().translate([0, 0.2, -0.02]).scale([1.2, 0.9, 1])
    add({"type": "rectangle", "to_world": wood, "bsdf": gloss(bitmap(scene.table()), 0.25)})
    paints = {"white": gloss(colour((0.72, 0.6, 0.42)), 0.12), "black": gloss(colour((0.05, 0.018, 0.012)), 0.1)}
    paths = meshes(mi, folder)
    for piece, paint, x, y in scene.GAME:
        at = [(x - 3.5) * scene.SQUARE, (y - 3.5) * scene.SQUARE, 0]
        h = scene.HEIGHTS[piece]
        bsdf = paints[paint]
        add({"type": "ply", "filename": paths[piece], "to_world": T().translate(at), "bsdf": bsdf})

        def on_top(height, at=at, h=h):
            return [at[0], at[1], height * h]

        if piece == "pawn":
            ball(on_top(0.82), 0.16 * h, bsdf)
        if piece == "bishop":
            ball(on_top(0.955), 0.035 * h, bsdf)
        if piece == "queen":
            ball(on_top(0.955), 0.045 * h, bsdf)
            for k in range(9):
                a = k * 2 * math.pi / 9
                ball((at[0] + 0.115 * h * math.cos(a), at[1] + 0.115 * h * math.sin(a), 0.935 * h), 0.022 * h, bsdf)
        if piece == "king":
            box(on_top(0.95), (0.012 * h, 0.012 * h, 0.055 * h), bsdf)
            box(on_top(0.955), (0.035 * h, 0.012 * h, 0.012 * h), bsdf)
        if piece == "rook":
            for k in range(6):
                a = k * math.pi / 3
                turn = T().translate(on_top(1.0)).rotate([0, 0, 1], math.degrees(a))
                cube = turn.translate([0.17 * h, 0, 0.02 * h]).scale([0.025 * h, 0.05 * h, 0.04 * h])
                add({"type": "cube", "to_world": cube, "bsdf": bsdf})
    for centre, size, value in scene.books():
        box(centre, size, gloss(colour(value), 0.3))
    for centre, size in scene.shelves():
        box(centre, size, gloss(colour((0.09, 0.05, 0.03)), 0.3))
    black = {"type": "diffuse", "reflectance": colour((0, 0, 0))}
    for centre, radius, tint in scene.bulbs():
        ball(centre, radius, black, emitter=glow(tint * 40, 0.01))
    for at, to, size, light in (
        ((-0.9, -0.3, 1.0), (0, 0, 0), 0.22, (38, 25, 14)),
        ((1.2, 0.5, 0.7), (0, 0.1, 0), 0.3, (3.5, 5.5, 9.5)),
        ((0.2, 0.9, 2.2), (0, 2.2, 0), 0.5, (7, 5, 3.4)),
    ):
        place = T().look_at(origin=list(at), target=list(to), up=[0, 0.01, 1]).scale([size, size, 1])
        add({"type": "rectangle", "to_world": place, "emitter": glow(light, float(max(light)) / 10), "bsdf": black})
    found["sky"] = {"type": "constant", "radiance": colour((0.025, 0.032, 0.06))}
    return found


def camera(mi) -> dict:
    """A pinhole: everything is sharp."""
    return {
        "type": "perspective",
        "fov": FIELD,
        "near_clip": 0.01,
        "to_world": mi.ScalarTransform4f().look_at(origin=list(EYE), target=list(TARGET), up=[0, 0, 1]),
        "film": {"type": "hdrfilm", "width": WIDTH, "height": HEIGHT, "rfilter": {"type": "box"}},
        "sampler": {"type": "independent", "sample_count": SAMPLES},
    }


def depth_of(mi, world, sensor) -> np.ndarray:
    """Metres along the camera's axis, one ray through each pixel's centre."""
    width, height = sensor.film().size()
    axis = np.subtract(TARGET, EYE) / np.linalg.norm(np.subtract(TARGET, EYE))
    metres = np.empty((height, width))
    for y, x in np.ndindex(height, width):
        ray, _ = sensor.sample_ray(0, 0.5, [(x + 0.5) / width, (y + 0.5) / height], [0.5, 0.5])
        metres[y, x] = np.dot(axis, np.subtract(world.ray_intersect(ray).p, EYE))
    return metres


def photograph() -> tuple[torch.Tensor, torch.Tensor]:
    """(linear light [1, H, W, 3], disparity [1, H, W], 1 at the nearest point) of the scene."""
    try:
        import mitsuba as mi
    except ImportError as error:
        raise UserError('Mitsuba is needed: .venv/bin/pip install -e ".[samples]".') from error
    mi.set_variant("scalar_rgb")
    with tempfile.TemporaryDirectory() as folder:
        world = mi.load_dict(described(mi, folder))
    sensor = mi.load_dict(camera(mi))
    metres = depth_of(mi, world, sensor)
    light = np.array(mi.render(world, sensor=sensor), np.float32)
    return torch.from_numpy(light)[None], torch.from_numpy(metres.min() / metres).float()[None]


def focal_stack(light, disparity) -> torch.Tensor:
    """Nine photographs, [9, h, w, 3] in sRGB, near to far, even in dioptres."""
    light = F.interpolate(light.movedim(-1, 1), STACK, mode="bilinear", antialias=True).movedim(1, -1)
    disparity = F.interpolate(disparity[None], STACK, mode="nearest-exact")[0]
    planes = torch.linspace(1, float(disparity.min()), FRAMES)
    return encode_srgb(render_stack(light, disparity, planes.tolist(), BLUR, linear=True).clamp(0, 1))


def picture(image) -> Image.Image:
    return Image.fromarray((image * 255).round().byte().numpy())


def write(light, disparity):
    FOLDER.mkdir(exist_ok=True)
    picture(encode_srgb(light.clamp(0, 1))[0]).save(FOLDER / "chess.jpg", quality=92, subsampling=0, optimize=True)
    grey = (disparity[0] * 65535).round().numpy().astype(np.uint16)
    Image.fromarray(grey).save(FOLDER / "chess_depth.png", optimize=True)
    frames = [picture(frame) for frame in focal_stack(light, disparity)]
    frames[0].save(FOLDER / "chess_stack.webp", save_all=True, append_images=frames[1:], quality=90, method=6)
    print({path.name: path.stat().st_size for path in sorted(FOLDER.iterdir())})


def main():
    write(*photograph())
