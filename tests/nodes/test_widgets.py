"""Every widget of every node changes what comes out: a control without effect is a defect."""

import pytest
import torch

from rackfocus.dev.host.library import use_comfy
from rackfocus.dev.tiny import depth as tiny_depth

use_comfy()
from rackfocus.nodes import NODES  # noqa: E402
from rackfocus.nodes.engines import ENGINES  # noqa: E402
from rackfocus.pipelines.optics import DefocusMap  # noqa: E402

BY_ID = {n.GET_SCHEMA().node_id: n for n in NODES}


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def scene():
    """A textured picture with lights, and a depth map of two slopes, 48 x 64."""
    image = random(1, 48, 64, 3) * 0.8
    image[0, 10, 10] = image[0, 30, 50] = 1.0
    depth = torch.linspace(0.1, 0.9, 64)[None, None].repeat(1, 48, 1)
    depth[:, 16:32, 20:40] = 0.95
    return image, depth


IMAGE, DEPTH = scene()
STACK = torch.cat([IMAGE * s for s in (0.4, 0.7, 1.0)])
MASK = torch.zeros(1, 48, 64)
MASK[:, :8, :8] = 1
DEFOCUS = DefocusMap((0.5 - DEPTH) * 12)
HALF = torch.zeros(1, 64, 64)
HALF[:, :32] = 1
IN_METRES = {"keyframes": "0: 2.5m; 3: 4m"}
RELATIVE = {"lens": "camera", "depth_kind": "disparity"}

# For each input: (value, what else must be set for it to matter). None of the values is the default.
CHANGES = {
    "LoadRefocusModel": {},
    "ApertureShapeMask": {
        "shape": ("heart", {}),
        "blades": (6, {}),
        "roundness": (0.5, {"blades": 5}),
        "rotation": (20.0, {"blades": 5}),
        "squeeze": (2.0, {}),
        "inner": (0.9, {"shape": "ring"}),
        "offset": (0.9, {"shape": "cats_eye"}),
        "image": (random(1, 20, 30, 3), {}),
    },
    "RefocusDepth": {
        "image": (1 - IMAGE, {}),
        "model": ("metric", {}),
        "meaning": ("metres", {}),
        "nearest_m": (2.0, {}),
    },
    "RefocusLens": {
        "depth": (DEPTH.flip(2), {}),
        "depth_kind": ("inverted", {}),
        "focus_by": ("automatic", {}),
        "focus_x": (0.9, {}),
        "focus_y": (0.05, {}),
        "focus_distance": (5.0, {"focus_by": "distance"}),
        "lens": ("camera", {}),
        "strength": (60.0, {}),
        "focal_mm": (85.0, RELATIVE),
        "f_number": (8.0, RELATIVE),
        "sensor_mm": (24.0, RELATIVE),
        "scene_near": (2.0, RELATIVE),
        "scene_far": (30.0, RELATIVE),
        "near_factor": (0.0, {"focus_x": 0.02}),
        "far_factor": (0.0, {}),
        "in_focus_range": (0.3, {}),
        "focus_mask": (MASK, {"focus_by": "mask", "focus_mask": 1 - MASK}),
        "image": (IMAGE, {}),
    },
    "RefocusRack": {
        "depth": (DEPTH.flip(2), {}),
        "depth_kind": ("inverted", {}),
        "keyframes": ("0: 0.1, 0.1; 3: 2.5m", {}),
        "frames": (3, {}),
        "easing": ("linear", {}),
        "strength": (60.0, {}),
        "scene_near": (2.0, IN_METRES),
        "scene_far": (30.0, IN_METRES),
        "near_factor": (0.0, {}),
        "far_factor": (0.0, {}),
        "in_focus_range": (0.3, {}),
        "image": (random(1, 96, 128, 3), {}),
    },
    "BokehSynthesize": {
        "image": (1 - IMAGE, {}),
        "defocus": (DefocusMap(-DEFOCUS.radius), {}),
        "quality": ("fast", {}),
        "highlights": (1.0, {}),
        "cats_eye": (1.0, {}),
        "spherical": (1.0, {}),
        "chromatic": (30.0, {}),
        "aperture": (HALF, {}),
        "background": (random(1, 48, 64, 3, seed=3), {}),
    },
    "DeblurAiF": {
        "image": (1 - IMAGE, {}),
        "strength": (0.0, {"defocus": DefocusMap(torch.full((1, 48, 64), 2.0))}),
        "defocus": (DefocusMap(torch.full((1, 48, 64), 2.0)), {}),
        "aperture": (HALF, {"defocus": DefocusMap(torch.full((1, 48, 64), 3.0))}),
    },
    "FocalStackGenerate": {
        "image": (1 - IMAGE, {}),
        "frames": (5, {}),
        "strength": (90.0, {}),
        "depth_kind": ("inverted", {}),
        "quality": ("best", {}),
        "highlights": (1.0, {}),
        "depth": (DEPTH.flip(2), {}),
        "aperture": (HALF, {}),
    },
    "SelectFocusFrame": {
        "stack": (1 - STACK, {}),
        "select_by": ("point", {"position": 0.1}),
        "position": (0.2, {}),
        "focus_x": (0.1, {"select_by": "point"}),
        "focus_y": (0.1, {"select_by": "point"}),
        "blend": (False, {"position": 0.3}),
    },
    "StackFuse": {
        "stack": (1 - STACK, {}),
        "method": ("average", {}),
        "first": (1, {}),
        "last": (1, {}),
        "align": (True, {}),
    },
}
# What only the genfocus engine reads: see test_genfocus_nodes.py.
GENFOCUS = {
    "prompt",
    "steps",
    "guidance",
    "seed",
    "tiling",
    "pre_deblurred",
    "flux",
    "clip",
    "vae",
    "deblur_lora",
    "bokeh_lora",
    "aperture_lora",
}
# What only the learn2refocus engine reads: see test_learn2refocus_nodes.py.
LEARN2REFOCUS = {
    "input_position",
    "steps",
    "guidance",
    "seed",
    "max_megapixels",
    "frame_size",
    "decode_chunk",
    "keep_input",
    "detail",
    "clip_range",
    "refocus_unet",
    "clip_vision",
    "vae",
}
# What must be connected or differs from the widget's default.
BASE = {
    "LoadRefocusModel": {},
    "ApertureShapeMask": {},
    "RefocusDepth": {"image": IMAGE, "model": "relative"},
    "RefocusLens": {"depth": DEPTH},
    "RefocusRack": {"depth": DEPTH, "keyframes": "0: 0.1, 0.1; 3: 0.9, 0.9"},
    "BokehSynthesize": {"image": IMAGE, "defocus": DEFOCUS},
    "DeblurAiF": {"image": IMAGE},
    "FocalStackGenerate": {"image": IMAGE, "depth": DEPTH, "frames": 3, "strength": 200.0},
    "SelectFocusFrame": {"stack": STACK},
    "StackFuse": {"stack": STACK},
}


def two_halves():
    """A stack whose left is sharp in the first frame and whose right and bottom are in the last."""
    sharp, flat = random(48, 64, 3), torch.full((48, 64, 3), 0.5)
    frames = torch.stack([flat, flat, flat]).clone()
    frames[0, :24, :32] = sharp[:24, :32]
    frames[2, 24:], frames[2, :24, 32:] = sharp[24:], sharp[:24, 32:]
    frames[1] = 0.5 + 0.3 * (sharp - 0.5)
    return frames


def shifted():
    """Two photographs of one scene, a few pixels apart."""
    wide = torch.nn.functional.interpolate(random(1, 3, 40, 50), (160, 200), mode="bicubic").clamp(0, 1)[0]
    wide = wide.permute(1, 2, 0)
    return torch.stack([wide[10:138, 10:170], wide[12:140, 14:174]])


def run(node_id: str, **inputs) -> list:
    """Execute a node with its defaults and these inputs."""
    node = BY_ID[node_id]
    values = {i.id: i.default for i in node.GET_SCHEMA().inputs if getattr(i, "default", None) is not None}
    return list(node.execute(**{**values, **inputs}).args)


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, DefocusMap):
        return same(a.radius, b.radius)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.fixture(autouse=True)
def previews(monkeypatch, tmp_path):
    import folder_paths

    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path))


@pytest.fixture(scope="module")
def depth_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refocus")
    tiny_depth.save("anything", folder / "relative")
    tiny_depth.save("anything_metric", folder / "metric")
    return folder


@pytest.fixture(autouse=True)
def depth_models(monkeypatch, depth_folder):
    """The host's refocus folder holds two depth models; use(folder) makes it another one."""
    import folder_paths

    def use(folder):
        monkeypatch.setitem(folder_paths.folder_names_and_paths, "refocus", ([str(folder)], set()))
        folder_paths.filename_list_cache.pop("refocus", None)

    use(depth_folder)
    yield use
    folder_paths.filename_list_cache.pop("refocus", None)


@pytest.mark.parametrize("node_id, name", [(n, i) for n, inputs in CHANGES.items() for i in inputs])
def test_every_input_has_an_effect(node_id, name):
    value, context = CHANGES[node_id][name]
    base = {**BASE[node_id], **context}
    if node_id == "SelectFocusFrame" and name in ("focus_x", "focus_y"):
        base["stack"] = two_halves()
        base["focus_y" if name == "focus_x" else "focus_x"] = 0.1
        base[name] = 0.9
    if (node_id, name) == ("StackFuse", "align"):
        base["stack"] = shifted()
    assert not same(run(node_id, **base), run(node_id, **{**base, name: value}))


def test_no_input_is_left_out():
    for node_id, node in BY_ID.items():
        if node_id in ("GenfocusConditioning", "RefocusPositionSweep"):  # of one engine alone: tested with it
            continue
        inputs = {i.id for i in node.GET_SCHEMA().inputs} - {"model", "engine"} - GENFOCUS - LEARN2REFOCUS
        assert inputs == set(CHANGES[node_id]) - {"model"}, node_id


def test_model_inputs_choose_the_engine():
    from rackfocus.nodes.host import RefocusModel

    model = run("LoadRefocusModel")[0]
    assert model.engine == "optical"
    for node_id in ("BokehSynthesize", "DeblurAiF", "FocalStackGenerate"):
        run(node_id, **BASE[node_id], model=model)
    for node_id, task, able in (
        ("BokehSynthesize", "blur a picture", "optical or genfocus"),
        ("DeblurAiF", "sharpen a photo", "optical or genfocus"),
    ):
        with pytest.raises(ValueError, match=f"learn2refocus does not {task}, but {able} can"):
            run(node_id, **BASE[node_id], model=RefocusModel("learn2refocus", {}))
    with pytest.raises(ValueError, match="genfocus does not make a focal stack, but optical or learn2refocus can"):
        run("FocalStackGenerate", **BASE["FocalStackGenerate"], model=RefocusModel("genfocus", {}))
    with pytest.raises(ValueError, match="model is a str, but one from LoadRefocusModel is needed"):
        run("BokehSynthesize", **BASE["BokehSynthesize"], model="genfocus")


def test_an_engine_without_its_files_says_what_to_get():
    node = BY_ID["LoadRefocusModel"]
    for name in ENGINES:
        assert (node.validate_inputs(engine=name) is True) == (name == "optical")
        said = node.validate_inputs(engine=name, deblur_lora="a.safetensors", refocus_unet="a.safetensors")
        assert said is True if name == "optical" else "'a.safetensors'" in said and "no such file" in said
        assert node.validate_inputs(engine=name, deblur_lora=None, refocus_unet=None) is True  # not known yet
    assert "the engine is 'abc', but one of optical, genfocus" in node.validate_inputs(engine="abc")
    said = node.validate_inputs(engine="genfocus")
    for part in (
        "deblurNet.safetensors",
        "nycu-cplab/Genfocus-Model",
        "463,703,368 bytes",
        "Apache-2.0",
        "models/loras",
        "size unknown",
    ):
        assert part in said
    assert "\n" not in said
    with pytest.raises(ValueError, match=r"none is chosen in refocus_unet.*checkpoint-200000/unet/.*tedlasai"):
        run("LoadRefocusModel", engine="learn2refocus")


def test_depth_lists_the_models_and_says_what_to_get(depth_models, tmp_path):
    node = BY_ID["RefocusDepth"]

    def options():
        return next(i for i in node.define_schema().inputs if i.id == "model").options

    assert options() == ["metric", "relative"]
    assert node.validate_inputs(model="relative") is True and node.validate_inputs() is True
    assert "one of metric, relative is needed" in node.validate_inputs(model="gone")
    depth_models(tmp_path)
    assert options() == ["none installed"]
    said = node.validate_inputs(model="none installed")
    for part in (
        "depth_anything_v2_vits_fp16.safetensors",
        "Kijai/DepthAnythingV2-safetensors",
        "49,595,202 bytes",
        "cc-by-4.0",
        "into models/refocus",
        "Depth Pro",
        "config.json",
    ):
        assert part in said
    assert "\n" not in said
    with pytest.raises(ValueError, match="no depth model is installed"):
        run("RefocusDepth", image=IMAGE, model="none installed")


def test_depth_goes_to_the_lens_with_its_kind():
    clip = torch.cat([IMAGE, 1 - IMAGE])
    depth, kind, info = run("RefocusDepth", image=clip, model="metric")
    assert depth.shape == (2, 48, 64) and kind == "metres" and info.startswith("metric (depth_anything): metres")
    lens = run(
        "RefocusLens",
        depth=depth,
        depth_kind=kind,
        image=clip,
        focus_by="distance",
        focus_distance=float(depth.median()),
    )
    assert lens[0].radius.shape == (2, 48, 64) and float(lens[0].radius.min()) < 0 < float(lens[0].radius.max())
    assert run("RefocusDepth", image=clip, model="relative")[1] == "disparity"
    assert run("RefocusDepth", image=clip, model="relative", nearest_m=3.0)[1] == "inverse_metres"


def test_depth_leaves_no_model_behind():
    import gc

    import comfy.model_management as mm

    run("RefocusDepth", **BASE["RefocusDepth"])
    gc.collect()
    assert not [m for m in mm.current_loaded_models if m.model is not None]


def test_text_tells_the_blur_and_the_limits():
    info = run("RefocusLens", depth=DEPTH, depth_kind="disparity", lens="camera")[-1]
    assert "blur radius" in info and "px" in info and "sharp from" in info


def test_masks_add_up_and_sizes_follow_the_image():
    big = random(2, 97, 131, 3)
    defocus, overlay, preview, near, sharp, far, _ = run("RefocusLens", depth=DEPTH, image=big)
    assert overlay.shape == preview.shape == (2, 97, 131, 3) and defocus.radius.shape == (2, 97, 131)
    assert torch.equal(near + sharp + far, torch.ones(2, 97, 131))


def test_strength_gives_the_same_look_at_any_resolution():
    small = run("RefocusLens", depth=DEPTH)[0].radius
    large = run("RefocusLens", depth=DEPTH, image=random(1, 96, 128, 3))[0].radius
    assert float(large.max() / small.max()) == pytest.approx(2, rel=0.02)


def test_a_rack_at_rest_is_the_lens():
    point = {"focus_x": 0.25, "focus_y": 0.75}
    lens = run("RefocusLens", depth=DEPTH, image=random(1, 97, 131, 3), **point)[0]
    rack, info = run("RefocusRack", depth=DEPTH, image=random(1, 97, 131, 3), keyframes="0: 0.25, 0.75")
    assert torch.equal(rack.radius, lens.radius) and info == "frame 0: focus disparity 0.2953, strength 30"


def test_a_rack_makes_one_picture_a_clip():
    defocus, info = run("RefocusRack", **BASE["RefocusRack"])
    assert run("BokehSynthesize", image=IMAGE, defocus=defocus, quality="fast")[0].shape == (4, 48, 64, 3)
    assert [line.partition(":")[0] for line in info.splitlines()] == [f"frame {i}" for i in range(4)]


def test_keyframes_are_checked_before_anything_runs():
    check = BY_ID["RefocusRack"].validate_inputs
    assert check(keyframes="0: 0.1, 0.1") is True and check(keyframes=None) is True
    assert "line 1 reads 'nought'" in check(keyframes="nought")


def test_inputs_are_not_written_to():
    image, depth, stack = IMAGE.clone(), DEPTH.clone(), STACK.clone()
    for node_id in (
        "RefocusDepth",
        "RefocusLens",
        "RefocusRack",
        "BokehSynthesize",
        "DeblurAiF",
        "FocalStackGenerate",
        "StackFuse",
    ):
        run(node_id, **BASE[node_id])
    assert torch.equal(image, IMAGE) and torch.equal(depth, DEPTH) and torch.equal(stack, STACK)


def test_alpha_is_dropped():
    with_alpha = torch.cat([IMAGE, torch.rand(1, 48, 64, 1)], -1)
    assert same(
        run("BokehSynthesize", image=with_alpha, defocus=DEFOCUS), run("BokehSynthesize", image=IMAGE, defocus=DEFOCUS)
    )


@pytest.mark.parametrize(
    "node_id, wrong, said",
    [
        ("RefocusDepth", {"image": {"samples": 0}, "model": "relative"}, "latent"),
        ("RefocusDepth", {"image": IMAGE[:0], "model": "relative"}, "empty batch"),
        ("RefocusDepth", {"image": IMAGE, "model": "gone"}, "one of metric, relative"),
        ("RefocusLens", {"depth": {"samples": torch.zeros(1, 4, 8, 8)}}, "depth map"),
        ("RefocusLens", {"depth": torch.full((1, 4, 4), float("nan"))}, "NaN"),
        ("RefocusLens", {"depth": torch.zeros(0, 4, 4, 3)}, "empty"),
        ("RefocusLens", {"depth": DEPTH, "focus_x": 1.5}, "outside the picture"),
        ("RefocusLens", {"depth": DEPTH, "strength": -1.0}, "strength"),
        ("RefocusLens", {"depth": DEPTH, "focus_by": "mask"}, "no focus_mask"),
        ("RefocusLens", {"depth": DEPTH, "lens": "camera", "scene_near": 9.0, "scene_far": 3.0}, "under the far"),
        ("RefocusLens", {"depth": torch.ones(3, 8, 8), "image": torch.zeros(4, 8, 8, 3)}, "3 frames"),
        ("RefocusRack", {"depth": {"samples": torch.zeros(1, 4, 8, 8)}}, "depth map"),
        ("RefocusRack", {"depth": DEPTH, "keyframes": "0 0.5, 0.5"}, "line 1 reads '0 0.5, 0.5'"),
        ("RefocusRack", {"depth": DEPTH, "keyframes": ""}, "no keyframe"),
        ("RefocusRack", {"depth": torch.ones(3, 8, 8), "image": torch.zeros(4, 8, 8, 3)}, "3 frames"),
        ("RefocusRack", {"depth": torch.ones(30, 8, 8), "frames": 4}, "frames is 4"),
        ("BokehSynthesize", {"image": {"samples": 0}, "defocus": DEFOCUS}, "latent"),
        ("BokehSynthesize", {"image": IMAGE[:0], "defocus": DEFOCUS}, "empty batch"),
        ("BokehSynthesize", {"image": IMAGE, "defocus": DEFOCUS, "aperture": MASK * 0}, "all black"),
        ("DeblurAiF", {"image": IMAGE[:0]}, "empty batch"),
        ("FocalStackGenerate", {"image": IMAGE}, "no depth map"),
        ("SelectFocusFrame", {"stack": IMAGE[:0]}, "empty batch"),
        ("StackFuse", {"stack": STACK, "first": 7}, "first"),
        ("StackFuse", {"stack": STACK[:0]}, "empty batch"),
    ],
)
def test_wrong_input_is_one_sentence(node_id, wrong, said):
    with pytest.raises(ValueError, match=said) as error:
        run(node_id, **wrong)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize(
    "node_id",
    ["RefocusDepth", "RefocusLens", "RefocusRack", "BokehSynthesize", "DeblurAiF", "FocalStackGenerate", "StackFuse"],
)
def test_one_pixel_and_constant_depth_run(node_id):
    one = torch.full((1, 1, 1, 3), 0.5)
    inputs = {
        "RefocusDepth": {"image": one, "model": "relative"},
        "RefocusLens": {"depth": one},
        "RefocusRack": {"depth": one},
        "BokehSynthesize": {"image": one, "defocus": DefocusMap(one[..., 0])},
        "DeblurAiF": {"image": one},
        "FocalStackGenerate": {"image": one, "depth": one, "frames": 2},
        "StackFuse": {"stack": one.expand(3, -1, -1, -1)},
    }
    run(node_id, **inputs[node_id])
