"""Depth models of every kind, tiny and random, from folders as an artist has them."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rackfocus.dev.tiny import depth as tiny_depth
from rackfocus.pipelines.depth import estimate_depth, find_models, load_depth_model
from rackfocus.pipelines.depth.load import meaning_of
from rackfocus.pipelines.depth.pixels import Pixels, pixels_of, reflected
from rackfocus.pipelines.image.checks import RefocusError

KINDS = {"anything": "disparity", "anything_metric": "metres", "pro": "metres", "dpt": "disparity", "glpn": "metres"}


def picture(*shape, seed=0):
    """Smooth random images."""
    b, h, w = shape
    coarse = torch.rand(b, 3, 5, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (h, w), mode="bilinear").movedim(1, -1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: tiny_depth.save(name, tmp_path_factory.mktemp(name)) for name in tiny_depth.MODELS}


@pytest.fixture(scope="module")
def models(folders):
    return {name: load_depth_model(str(folder), name) for name, folder in folders.items()}


def changed(folder, into, **config):
    """A copy of a model's folder with another configuration."""
    shutil.copytree(folder, into)
    file = into / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return str(into)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_model_keeps_size_and_batch_and_says_what_it_gives(models, name):
    made = estimate_depth(models[name], picture(3, 75, 99))
    assert made.depth.shape == (3, 75, 99) and made.depth.dtype == torch.float32
    assert made.kind == KINDS[name] and made.depth.isfinite().all() and (made.depth > 0).all()
    assert made.depth.std() > 0 and name in made.info
    assert len(made.depth.unique()) > 256  # not quantised to 8 bits
    assert ("relative" in made.info and "K" in made.info) == (made.kind == "disparity")


@pytest.mark.parametrize("name", KINDS)
def test_frames_are_independent_and_runs_are_equal(models, name):
    clip = picture(3, 40, 52)
    metric = KINDS[name] == "metres"
    together, again = (estimate_depth(models[name], clip).depth for _ in range(2))
    assert torch.equal(together, again)
    for i in range(3):
        alone = estimate_depth(models[name], clip[i : i + 1]).depth[0]
        ratio = together[i] / alone
        assert torch.allclose(ratio, ratio[0, 0].expand_as(ratio), rtol=1e-5)  # one factor for all of the frame
        assert not metric or torch.equal(together[i], alone)


def test_one_scale_for_the_whole_batch(models):
    clip = torch.cat([picture(1, 40, 52), 0.2 * picture(1, 40, 52, seed=1)])
    with torch.no_grad():
        raw = torch.stack(
            [
                models["anything"].net(pixel_values=models["anything"].pixels.values(f[None])).predicted_depth[0].mean()
                for f in clip
            ]
        )
    made = estimate_depth(models["anything"], clip)
    assert float(made.depth.max()) == pytest.approx(1) and min(float(d.max()) for d in made.depth) < 0.999
    assert torch.allclose(estimate_depth(models["anything"], clip.flip(0)).depth, made.depth.flip(0), rtol=1e-5)
    means = made.depth.mean((1, 2))
    assert float(means[0] / means[1]) == pytest.approx(float(raw[0] / raw[1]), rel=0.02)


def test_the_nearest_point_gives_a_relative_map_its_metres(models):
    clip = picture(2, 40, 52)
    plain, scaled = (estimate_depth(models["anything"], clip, nearest_m=m) for m in (0, 2.5))
    assert (plain.kind, scaled.kind) == ("disparity", "inverse_metres")
    assert torch.allclose(plain.depth / 2.5, scaled.depth) and "2.5 m" in scaled.info and "2.5 m" not in plain.info
    metric = [estimate_depth(models["glpn"], clip, nearest_m=m).depth for m in (0, 2.5)]
    assert torch.equal(*metric)


def test_the_meaning_can_be_overruled(models):
    clip = picture(1, 40, 52)
    asked = estimate_depth(models["dpt"], clip)
    assert "does not say" in asked.info and "does not say" not in estimate_depth(models["anything"], clip).info
    metres = estimate_depth(models["dpt"], clip, meaning="metres")
    assert metres.kind == "metres" and "does not say" not in metres.info
    near = asked.depth.flatten()[metres.depth.flatten().argmax()]  # large numbers were near, and are far now
    assert float(near) == pytest.approx(1)
    relative = estimate_depth(models["glpn"], clip, meaning="disparity")
    assert relative.kind == "disparity" and float(relative.depth.max()) == pytest.approx(1)
    with pytest.raises(RefocusError, match="meaning is 'depthiness'"):
        estimate_depth(models["dpt"], clip, meaning="depthiness")


@pytest.mark.parametrize(("given", "metres"), [(1e-9, 1e-4), (0.02, 0.02), (700.0, 700.0), (1e9, 1e4)])
def test_metres_end_where_32_bits_and_lenses_see_no_difference(models, given, metres):
    class Wall(torch.nn.Module):
        def forward(self, pixel_values):
            return type("Out", (), {"predicted_depth": torch.full((1, 14, 14), given)})

    made = estimate_depth(load_like(models["glpn"], net=Wall()), picture(1, 37, 53))
    assert torch.allclose(made.depth, torch.full((1, 37, 53), metres), rtol=1e-5)


def test_what_configurations_say():
    assert meaning_of({"model_type": "depth_anything"}) == ("disparity", True)
    assert meaning_of({"model_type": "depth_anything", "depth_estimation_type": "metric"}) == ("metres", True)
    assert meaning_of({"model_type": "depth_pro"}) == ("disparity", True)
    assert meaning_of({"model_type": "depth_pro", "use_fov_model": True}) == ("metres", True)
    assert meaning_of({"model_type": "zoedepth"}) == ("metres", True)
    assert meaning_of({"model_type": "something_new"}) == ("disparity", False)


@pytest.mark.parametrize("name", KINDS)
def test_depth_is_what_transformers_makes_of_it(models, folders, name):
    """At the network's own size nothing is resized, and metres and disparity are those of its post-processing."""
    from transformers import AutoImageProcessor

    model, image = models[name], picture(1, 64, 96)
    h, w = model.net(pixel_values=model.pixels.values(image)).predicted_depth.shape[-2:]
    image = picture(1, h, w)
    with torch.no_grad():
        out = model.net(pixel_values=model.pixels.values(image))
    post = AutoImageProcessor.from_pretrained(folders[name]).post_process_depth_estimation
    theirs = post(out, target_sizes=[(h, w)])[0]["predicted_depth"]
    made = estimate_depth(model, image)
    if made.kind == "disparity":
        theirs = theirs / theirs.max()
    assert torch.allclose(made.depth[0], theirs, rtol=2e-5)


@pytest.mark.parametrize("size", [(75, 99), (64, 64), (200, 131), (60, 160)])
@pytest.mark.parametrize("name", KINDS)
def test_pictures_are_prepared_as_transformers_does(models, folders, name, size):
    """Against its processors on 8-bit pictures, to their rounding; the same size, which decides what the model sees."""
    from transformers import AutoImageProcessor

    coarse = picture(1, *size)
    hard = torch.where(torch.arange(size[1])[:, None] < size[1] // 2, coarse, (coarse > 0.5).float())  # overshoots
    bytes_ = (hard[0].numpy() * 255).round().astype(np.uint8)
    theirs = AutoImageProcessor.from_pretrained(folders[name])(images=bytes_, return_tensors="pt")["pixel_values"]
    ours = models[name].pixels.values(torch.from_numpy(bytes_)[None].float() / 255)
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 0.02


def test_zoedepth_is_prepared_and_cut_as_transformers_does():
    from transformers import ZoeDepthImageProcessor

    processor = ZoeDepthImageProcessor(ensure_multiple_of=32, size={"height": 64, "width": 96})
    pixels = pixels_of(json.loads(processor.to_json_string()), "zoedepth", "zoe")
    bytes_ = (picture(1, 60, 81)[0].numpy() * 255).round().astype(np.uint8)
    theirs = processor(images=bytes_, return_tensors="pt")["pixel_values"]
    ours = pixels.values(torch.from_numpy(bytes_)[None].float() / 255)
    assert ours.shape == theirs.shape and (ours - theirs).abs().max() < 0.02
    assert pixels.border(60, 81) == (16, 19) and Pixels().border(60, 81) == (0, 0)


def test_processors_that_do_not_resize_round_down_to_what_they_divide_by():
    raw = {
        "image_processor_type": "DPTImageProcessor",
        "do_resize": False,
        "size_divisor": 14,
        "size": {"height": 384, "width": 384},
    }
    assert pixels_of(raw, "dpt", "m").target(100, 60) == (98, 56)
    old = {"feature_extractor_type": "DPTFeatureExtractor", "size": 384, "resample": 2}
    assert pixels_of(old, "dpt", "m").target(100, 60) == (384, 384) and pixels_of(old, "dpt", "m").mode == "bilinear"
    for kind, mode, side in (("DPT", "bicubic", 384), ("DepthPro", "bilinear", 1536)):  # unless the file says otherwise
        usual = pixels_of({"image_processor_type": f"{kind}ImageProcessor"}, "m", "m")
        assert usual.mode == mode and usual.target(100, 60) == (side, side)
    with pytest.raises(RefocusError, match="by CHMv2ImageProcessor"):
        pixels_of({"image_processor_type": "CHMv2ImageProcessor"}, "chmv2", "m")


def test_reflection_goes_on_past_the_far_side():
    x = torch.arange(3.0)
    assert reflected(x, 5).tolist() == [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
    assert reflected(x, 1).tolist() == [1, 0, 1, 2, 1]
    assert reflected(x[:1], 4).tolist() == [0] * 9


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (17, 16)])
@pytest.mark.parametrize("name", KINDS)
def test_any_size_runs(models, name, size):
    assert estimate_depth(models[name], picture(1, *size)).depth.shape == (1, *size)


def test_no_depth_between_two_surfaces_is_made_up(models):
    """A network's map with one step, enlarged: its two depths and no third, metres as well."""

    class Step(torch.nn.Module):
        def forward(self, pixel_values):
            depth = torch.full((1, 14, 14), 2.0)
            depth[:, :, 7:] = 8.0
            return type("Out", (), {"predicted_depth": depth})

    model = load_like(models["glpn"], net=Step())
    assert estimate_depth(model, picture(1, 100, 140)).depth.unique().tolist() == [2.0, 8.0]


def load_like(model, **other):
    return type(model)(**{**{k: getattr(model, k) for k in model.__dataclass_fields__}, **other})


@pytest.mark.parametrize("reflect", [False, True])
def test_depth_lies_on_the_picture(models, reflect):
    """A network that gives back the brightness it sees: its map is the picture's, also where a border was cut off."""

    class Same(torch.nn.Module):
        def forward(self, pixel_values):
            return type("Out", (), {"predicted_depth": pixel_values.mean(1)})

    pixels = Pixels(size=None, multiple=1, mean=None, std=None, reflect=reflect)
    image = picture(1, 37, 52)
    made = estimate_depth(load_like(models["dpt"], net=Same(), pixels=pixels), image).depth
    assert torch.allclose(made, image.mean(-1) / image.mean(-1).max(), atol=1e-6)


def test_what_lies_beyond_infinity_is_at_infinity(models):
    """Affine-invariant networks may give negative disparity."""

    class Slope(torch.nn.Module):
        def forward(self, pixel_values):
            return type("Out", (), {"predicted_depth": torch.linspace(-1, 4, 53).expand(1, 37, 53)})

    made = estimate_depth(load_like(models["dpt"], net=Slope()), picture(1, 37, 53)).depth
    assert float(made.min()) == 0 and float(made.max()) == 1 and torch.equal(made[0, 0] > 0, torch.arange(53) > 10)


def test_values_that_are_no_numbers_are_refused(models):
    class Broken(torch.nn.Module):
        def forward(self, pixel_values):
            return type("Out", (), {"predicted_depth": torch.full((1, 14, 14), float("nan"))})

    with pytest.raises(RefocusError, match="196 values that are not numbers"):
        estimate_depth(load_like(models["dpt"], net=Broken()), picture(1, 20, 20))


def test_progress_within_a_frame_and_cancel(models):
    net, steps = models["anything"].net, []
    estimate_depth(models["anything"], picture(2, 40, 52), progress=lambda done, total: steps.append((done, total)))
    done = [d for d, _ in steps]
    assert done == sorted(done) and {t for _, t in steps} == {200} and done[-1] == 200
    assert len({d for d in done if 0 < d < 100}) >= 4  # layers of the first frame

    class Cancelled(Exception):
        pass

    def cancel(done, total):
        if done > 130:
            raise Cancelled

    with pytest.raises(Cancelled):
        estimate_depth(models["anything"], picture(2, 40, 52), progress=cancel)
    assert not [m for m in net.modules() if m._forward_pre_hooks]


def test_the_input_and_the_model_stay_as_they_were(models):
    clip = picture(1, 40, 52)
    before, weights = clip.clone(), {k: v.clone() for k, v in models["pro"].net.state_dict().items()}
    estimate_depth(models["pro"], clip)
    assert torch.equal(clip, before)
    assert all(torch.equal(v, weights[k]) for k, v in models["pro"].net.state_dict().items())


def test_only_depth_models_are_found(folders, tmp_path):
    shutil.copytree(folders["pro"], tmp_path / "sub" / "pro")
    shutil.copytree(folders["anything"], tmp_path / "anything")
    changed(folders["dpt"], tmp_path / "classifier", architectures=["DPTForSemanticSegmentation"])
    shutil.copytree(folders["glpn"], tmp_path / "pickled", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"")
    save_file({"transformer.x.lora_A.weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"\xff" * 20)
    files = [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()]
    found = find_models(files, lambda name: str(tmp_path / name))
    assert list(found) == ["anything", "sub/pro"] and found["sub/pro"] == str(tmp_path / "sub" / "pro")
    assert load_depth_model(found["sub/pro"]).name == "pro"


def without_weights(folder, into):
    shutil.copytree(folder, into, ignore=shutil.ignore_patterns("*.safetensors"))
    (into / "pytorch_model.bin").write_bytes(b"not run")
    return str(into)


def without_a_tensor(folder, into):
    shutil.copytree(folder, into)
    state = load_file(into / "model.safetensors")
    del state["head.conv1.weight"]
    save_file(state, into / "model.safetensors", {"format": "pt"})
    return str(into)


def without_processor(folder, into):
    shutil.copytree(folder, into, ignore=shutil.ignore_patterns("preprocessor_config.json"))
    return str(into)


@pytest.mark.parametrize(
    "name, make, said",
    [
        ("anything", without_weights, r"no \.safetensors file"),
        ("anything", without_a_tensor, r"missing \(head\.conv1\.weight\)"),
        ("dpt", without_processor, r"no readable preprocessor_config\.json"),
        ("dpt", lambda f, p: changed(f, p, architectures=["X"]), r"no config\.json of a depth model"),
        (
            "anything",
            lambda f, p: changed(f, p, backbone_config=None, backbone="some/other"),
            "further model, some/other",
        ),
        ("anything", lambda f, p: changed(f, p, model_type="martian"), "cannot be loaded"),
        ("anything", lambda f, p: changed(f, p, fusion_hidden_size=16), "tensors|cannot be loaded"),
    ],
)
def test_an_unusable_folder_is_one_sentence(folders, tmp_path, name, make, said):
    with pytest.raises(RefocusError, match=said) as error:
        load_depth_model(make(folders[name], tmp_path / "model"), "mine")
    text = str(error.value)
    assert "\n" not in text and len(text) < 400


def test_depth_anything_without_a_processor_has_its_published_one(folders, tmp_path):
    assert load_depth_model(without_processor(folders["anything"], tmp_path / "m")).pixels == Pixels()
    assert Pixels().target(480, 640) == (518, 686)  # the size that transformers' conversion test names


def test_code_in_a_folder_is_never_run(folders, tmp_path):
    folder = changed(
        folders["anything"],
        tmp_path / "evil",
        model_type="evil",
        auto_map={"AutoConfig": "evil.Evil", "AutoModelForDepthEstimation": "evil.Evil"},
    )
    (tmp_path / "evil" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    with pytest.raises(RefocusError, match="cannot be loaded"):
        load_depth_model(folder)
    assert not (tmp_path / "ran").exists()
