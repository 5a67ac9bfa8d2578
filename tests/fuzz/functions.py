"""The functions that pipelines export, as Python callers use them: every argument within its limits and far beyond."""

import random
from functools import cache, partial

import torch

from rackfocus.pipelines import depth as depth_pipeline
from rackfocus.pipelines import genfocus, learn2refocus, optical, optics
from rackfocus.pipelines.flux import sampling as flux_sampling
from rackfocus.pipelines.genfocus.setups import defocus_image
from rackfocus.pipelines.learn2refocus import finish, sampling
from rackfocus.pipelines.learn2refocus.automatic import automatic_position
from rackfocus.pipelines.optical.focal_stack import frame_at, sharpest_position
from rackfocus.pipelines.optics.lens import check_defocus

from . import models, outcome
from .draw import Draw

KINDS = optics.DEPTH_KINDS


def mask(d: Draw):
    return None if d.random.random() < 0.3 else d.plane()


def disparity(d: Draw):
    return d.depth()


def planes(d: Draw):
    return d.pick((None, [], 0.5, "near")) if d.wild() else [d.number(0, 1) for _ in range(d.random.randint(1, 3))]


def frames(d: Draw):
    if d.wild(0.5):
        return d.pick(([], None, "frames", [None], [torch.ones(4, 4, 3), torch.ones(4, 5, 3)], iter(()), [[1.0]]))
    stack = d.image(d.pick((2, 3, 4)))
    return list(stack) if isinstance(stack, torch.Tensor) and stack.ndim == 4 and d.random.random() < 0.3 else stack


def one(value):
    """A map of one frame, where a function takes one."""
    return value[:1] if isinstance(value, torch.Tensor) and value.ndim == 3 else value


def lens(d: Draw):
    return {
        "aperture": mask(d),
        "quality": "fast" if d.random.random() < 0.5 else d.choice(optical.SAMPLES),
        "highlights": d.number(1, 100, 12.0),
        "linear": d.flag() if d.random.random() < 0.2 else False,
        "cats_eye": d.number(0, 1, 0.0),
        "spherical": d.number(-1, 1, 0.0),
        "chromatic": d.number(0, 50, 0.0),
    }


def scene(d: Draw):
    return {"near_m": d.number(0.01, 10, 1.0), "far_m": d.number(0.02, 100, 10.0)}


def factors(d: Draw):
    return {
        "near_factor": d.number(0, 10, 1.0),
        "far_factor": d.number(0, 10, 1.0),
        "in_focus_range": d.number(0, 10, 0.0),
    }


def point(d: Draw):
    return d.number(0, 1, 0.5), d.number(0, 1, 0.5)


def camera(d: Draw):
    return {
        "focal_mm": d.number(1, 1200, 50.0),
        "f_number": d.number(0.1, 64, 2.0),
        "sensor_mm": d.number(1, 200, 36.0),
    }


def distance(d: Draw):
    """Metres, now and then just at a focal length."""
    return d.pick((0.05, 0.050000001, 0.05000001, 0.0501)) if d.random.random() < 0.1 else d.number(0.01, 100, 2.0)


def focus_with_camera(lens, **given):
    return optics.focus_lens(camera=None if lens is None else optics.Camera(**lens), **given)


def limits(lens, focus_m, width):
    made = optics.Camera(**lens)
    near, far = made.near_far_limits(focus_m)
    assert 0 < near <= far, (near, far)
    return [made.strength(focus_m, width), near]  # the far limit may be infinity


@cache
def estimator():
    return depth_pipeline.load_depth_model(str(models.depth_folder()))


# name: (function, its arguments, what it promises of the result)
FUNCTIONS = {
    "aperture_mask": (
        optics.aperture_mask,
        lambda d: {
            "shape": d.choice(optics.SHAPES),
            "blades": d.whole(0, 64, 0),
            "roundness": d.number(0, 1, 0.0),
            "rotation": d.number(-360, 360, 0.0),
            "squeeze": d.number(0.25, 4, 1.0),
            "inner": d.number(0, 1, 0.5),
            "offset": d.number(0, 1, 0.5),
            "size": d.whole(1, 300, 64),
        },
        lambda g, r: in_unit(r, (1, int(g["size"]), int(g["size"]))),
    ),
    "aperture_from_image": (
        optics.aperture_from_image,
        lambda d: {
            "image": d.plane(),
            "rotation": d.number(-360, 360, 0.0),
            "squeeze": d.number(0.25, 4, 1.0),
            "size": d.whole(1, 300, 64),
        },
        lambda g, r: in_unit(r, (1, int(g["size"]), int(g["size"]))),
    ),
    "aperture_points": (
        optics.aperture_points,
        lambda d: {"aperture": one(d.plane()), "count": d.whole(1, 300, 40)},
        lambda g, r: sums_to_1(r[1]),
    ),
    "aperture_kernel": (
        optics.aperture_kernel,
        lambda d: {"aperture": one(d.plane()), "radius": d.number(0.1, 100, 3.0)},
        lambda g, r: sums_to_1(r),
    ),
    "to_disparity": (
        optics.to_disparity,
        lambda d: {"depth": d.depth(), "kind": d.choice(KINDS), "near_over_far": d.number(0.01, 1, 0.1)},
        None,
    ),
    "relative_to_metric": (
        optics.relative_to_metric,
        lambda d: {"depth": d.depth(), "kind": d.choice(KINDS), **scene(d)},
        None,
    ),
    "metric_to_relative": (
        optics.metric_to_relative,
        lambda d: {"disparity": d.number(0, 100, 0.5), "kind": d.choice(KINDS[1:]), **scene(d)},
        None,
    ),
    "resolve_kind": (optics.resolve_kind, lambda d: {"depth": d.depth(), "kind": d.choice(KINDS)}, None),
    "focus_at_distance": (optics.focus_at_distance, lambda d: {"metres": distance(d), "batch": d.pick((1, 3))}, None),
    "camera": (limits, lambda d: {"lens": camera(d), "focus_m": distance(d), "width": d.pick((1, 64, 4000))}, None),
    "focus_lens": (
        focus_with_camera,
        lambda d: {
            "depth": d.depth(),
            "kind": d.choice(KINDS),
            "by": d.choice(optics.FOCUS_BY),
            "point": point(d),
            "mask": mask(d),
            "metres": distance(d),
            "strength": d.number(0, 2000, 30.0),
            "lens": camera(d) if d.random.random() < 0.4 else None,
            **scene(d),
            **factors(d),
            "image": d.image() if d.random.random() < 0.5 else None,
        },
        lambda g, r: in_unit(optics.show_focus(r.picture.clamp(0, 1), r.defocus)),
    ),
    "defocus_from_disparity": (
        optics.defocus_from_disparity,
        lambda d: {
            "disparity": disparity(d),
            "focus_disparity": d.pick((torch.ones(2), torch.tensor([float("nan")]), "near", None))
            if d.wild()
            else d.number(0, 1, 0.5),
            "strength": d.number(0, 2000, 30.0),
            **factors(d),
        },
        lambda g, r: in_unit(optics.show_defocus(r)),
    ),
    "DefocusMap": (
        lambda radius, height, width, strength: optics.DefocusMap(radius, strength=strength).scaled_to(height, width),
        lambda d: {
            "radius": d.depth(),
            "height": d.random.randint(1, 50),
            "width": d.random.randint(1, 50),
            "strength": d.pick((None, torch.ones(1), torch.ones(7), torch.tensor(float("nan")), 3.0, "x"))
            if d.wild()
            else None,
        },
        lambda g, r: shaped(r.radius, (len(r.radius), g["height"], g["width"])),
    ),
    "render_bokeh": (
        optical.render_bokeh,
        lambda d: {
            "image": d.image(),
            "defocus": d.defocus(),
            "background": d.image() if d.random.random() < 0.2 else None,
            **lens(d),
        },
        lambda g, r: shaped(r, (len(r), *g["image"].shape[1:3], 3)),
    ),
    "render_stack": (
        optical.render_stack,
        lambda d: {
            "image": d.image(1),
            "disparity": one(disparity(d)),
            "focus_disparities": planes(d),
            "strength": d.number(0, 200, 10.0),
            **lens(d),
            "quality": "fast",
        },
        lambda g, r: shaped(r, (len(g["focus_disparities"]), *g["image"].shape[1:3], 3)),
    ),
    "stack_disparities": (
        optical.stack_disparities,
        lambda d: {"disparity": disparity(d), "count": d.whole(2, 9, 3), "robust": d.number(0, 0.4, 0.01)},
        lambda g, r: shaped(torch.tensor(r), (int(g["count"]),)),
    ),
    "deblur": (
        optical.deblur,
        lambda d: {"image": d.image(), "defocus": d.defocus(), "aperture": mask(d), "strength": d.number(0, 1, 1.0)},
        lambda g, r: shaped(r, (*g["image"].shape[:3], 3)),
    ),
    "estimate_defocus": (
        optical.estimate_defocus,
        lambda d: {"image": d.image()},
        lambda g, r: shaped(r.radius, g["image"].shape[:3]),
    ),
    "estimate_coarse": (
        optical.estimate_coarse,
        lambda d: {"image": d.image(), "pixels": d.whole(1, 3000, 1200)},
        lambda g, r: shaped(r.radius, g["image"].shape[:3]),
    ),
    "fuse_stack": (
        optical.fuse_stack,
        lambda d: {
            "frames": frames(d),
            "method": d.choice(optical.FUSE_METHODS),
            "align": d.flag(),
            "first": d.whole(0, 2, 0) if d.random.random() < 0.5 else None,
            "last": d.whole(0, 3, 1) if d.random.random() < 0.5 else None,
            "distortion": d.pick(([0.1, 0.2], [], "x", None, [float("nan")] * 3))
            if d.wild()
            else d.number(-0.2, 0.2, 0.0),
        },
        lambda g, r: (in_unit(r.order), in_unit(r.confidence)),
    ),
    "frame_at": (
        frame_at,
        lambda d: {"stack": d.image(3), "position": d.number(0, 1, 0.5), "blend": d.flag()},
        lambda g, r: shaped(r[0], (1, *g["stack"].shape[1:3], 3)),
    ),
    "sharpest_position": (
        sharpest_position,
        lambda d: {"stack": d.image(3), "x": d.number(0, 1, 0.5), "y": d.number(0, 1, 0.5)},
        lambda g, r: in_unit(torch.tensor(r)),
    ),
    "parse_keyframes": (optics.parse_keyframes, lambda d: {"text": d.text("0: 0.5, 0.5; 3: 2m")}, None),
    "estimate_depth": (
        lambda **given: depth_pipeline.estimate_depth(estimator(), **given),
        lambda d: {
            "image": d.image(),
            "meaning": d.choice(("auto", *depth_pipeline.MEANINGS)),
            "nearest_m": d.number(0, 100, 0.0),
        },
        lambda g, r: shaped(r.depth, g["image"].shape[:3]),
    ),
    "flux_sigmas": (
        flux_sampling.sigmas,
        lambda d: {"steps": d.whole(1, 50, 28), "tokens": d.whole(1, 20000, 256)},
        lambda g, r: shaped(r, (int(g["steps"]) + 1,)),
    ),
    "defocus_image": (
        lambda defocus: defocus_image(check_defocus(defocus).radius),
        lambda d: {"defocus": d.defocus()},
        None,
    ),
    "with_aperture": (lambda: genfocus.with_aperture(genfocus.BOKEH), lambda d: {}, None),
    "position": (
        lambda position: [learn2refocus.check_position(position), learn2refocus.dioptres_at(position)],
        lambda d: {"position": d.whole(0, 8, 4)},
        None,
    ),
    "position_at": (learn2refocus.position_at, lambda d: {"dioptres": d.number(0, 20, 3.0)}, None),
    "model_size": (
        learn2refocus.model_size,
        lambda d: {
            "height": d.random.randint(1, 9000),
            "width": d.random.randint(1, 9000),
            "megapixels": d.number(0.01, 4, 0.5),
        },
        lambda g, r: [shaped(torch.empty(n % 64), (0,)) for n in r],
    ),
    "svd_sigmas": (
        sampling.sigmas,
        lambda d: {"steps": d.whole(1, 50, 25)},
        lambda g, r: shaped(r, (int(g["steps"]) + 1,)),
    ),
    "clip_pixels": (learn2refocus.clip_pixels, lambda d: {"image": checked(d)}, None),
    "finish": (
        finish.finish,
        lambda d: {
            "frames": torch.rand(9, 16, 16, 3, generator=d.generator),
            "image": checked(d)[:1],
            "position": d.whole(0, 8, 4),
            "size": d.choice(finish.FRAME_SIZES),
            "keep_input": d.flag(),
            "detail": d.number(0, 1, 0.0),
        },
        lambda g, r: in_unit(r),
    ),
    "contact_sheet": (
        finish.contact_sheet,
        lambda d: {"stacks": [torch.ones(3, 8, 12, 3)] * 2, "width": d.whole(1, 200, 16)},
        lambda g, r: in_unit(r),
    ),
    "automatic_position": (
        automatic_position,
        lambda d: {"image": d.image(1), "disparity": one(disparity(d))},
        lambda g, r: shaped(torch.empty(r), (r,)) if r in range(9) else shaped(torch.empty(0), (9,)),
    ),
}
# Those that take long, or whose arguments leave little to draw.
RARELY = {"with_aperture": 0.1, "estimate_depth": 0.5, "contact_sheet": 0.5, "clip_pixels": 0.5, "flux_sigmas": 0.5}
OFTEN = {"render_bokeh": 4, "deblur": 3, "focus_lens": 4, "fuse_stack": 4, "aperture_mask": 2, "render_stack": 2}


def checked(d: Draw):
    """An image as these functions get it: behind the door."""
    return torch.rand(d.pick((1, 2)), *d.size, 3, generator=d.generator)


def shaped(t, shape) -> None:
    assert tuple(t.shape) == tuple(shape), f"{tuple(t.shape)} instead of {tuple(shape)}"


def in_unit(t, shape=None) -> None:
    if shape is not None:
        shaped(t, shape)
    assert float(t.min()) >= 0 and float(t.max()) <= 1, f"{float(t.min())} to {float(t.max())}"


def sums_to_1(t) -> None:
    assert abs(float(t.double().sum()) - 1) < 1e-3, float(t.sum())


def cases(count: int, seed: int):
    """(name, callable) of each case."""
    estimator()  # transformers takes its time to be imported
    names = list(FUNCTIONS)
    weights = [OFTEN.get(name, RARELY.get(name, 1)) for name in names]
    for k in range(count):
        name = random.Random(f"function {seed} {k}").choices(names, weights)[0]
        yield f"{name} {k}", partial(case, f"functions {seed} {k}", name)


def case(seed: str, name: str) -> None:
    """Run one function."""
    call, arguments, promised = FUNCTIONS[name]
    given = arguments(Draw(seed))
    made = outcome.run(call, given)
    if made is not None and promised is not None:
        promised(given, made)
