"""AnyBokeh's pure functions and explicit reference against the published inference, step by step."""

import pytest
import torch

from rackfocus.pipelines.anybokeh import chain, photo, tiles
from rackfocus.pipelines.anybokeh.fill import by_vae_tiles, draws, mask_tokens, masked, posterior, scaled
from rackfocus.pipelines.anybokeh.target import photo_lens, refocused
from rackfocus.pipelines.flux.sampling import sigmas, time_shift
from rackfocus.pipelines.flux.tokens import pack, position_ids
from rackfocus.tests.parity.golden import TOLERANCE, error
from rackfocus.tests.parity.golden_anybokeh import GIVEN, MAPS, maps_apart, same_bytes

T, CASES = GIVEN.tensors, GIVEN.cases


def fit(case):
    return photo.fit(*case["photo_size"], case["resolution"], as_published=True)


def grid(tokens, case):
    """Tokens [1, T, C] of a case -> [1, h, w, C]."""
    return tokens.unflatten(1, (case["height"] // 16, case["width"] // 16))


# Stage 1


@pytest.mark.parametrize("name", GIVEN.of("stage1"))
def test_the_photo_is_fitted_and_padded(name):
    case, at = CASES[name], fit(CASES[name])
    assert at.scale == case["scale"]
    assert list(at.size) == case["resized_size"] and list(at.offset) == case["offset"]
    made = photo.collage(GIVEN.picture(f"{name}.photo"), at, as_published=True)
    assert torch.equal((255 * made).round(), T[f"{name}.collage"].float())
    assert torch.equal(255 * photo.mask(case["resolution"]), T["stage1.mask"].float())


@pytest.mark.parametrize("name", GIVEN.of("stage1"))
def test_stage_1(name):
    case, side = CASES[name], CASES[name]["resolution"]
    paint = GIVEN.painter("stage1", steps=case["steps"], vae_tile=2 * side)
    picture = paint(GIVEN.picture(f"{name}.collage"), photo.mask(side), case["seed"])
    assert error(paint.kept["latents"].flatten(1, 2), T[f"{name}.latents"]) < TOLERANCE
    assert same_bytes(picture, T[f"{name}.picture"])
    kept = {"masked_latents": lambda t: t.flatten(1, 2), "moments": lambda t: t, "picture": lambda t: t}
    for key, shape in kept.items():
        stored = {"moments": "masked_moments", "picture": "picture_float"}.get(key, key)
        if f"{name}.{stored}" in T:
            assert error(shape(paint.kept[key]), T[f"{name}.{stored}"]) < TOLERANCE, key
    assert torch.allclose(sigmas(case["steps"], case["tokens"]), T[f"{name}.sigmas"], atol=1e-6)
    assert time_shift(case["tokens"]) == pytest.approx(case["mu"], abs=1e-9)


@pytest.mark.parametrize("name", GIVEN.of("stage1"))
def test_blur_and_disparity_are_read_out(name):
    panels = chain.Panels(*photo.read_panels(GIVEN.picture(f"{name}.picture")), fit(CASES[name]))
    size = CASES[name]["photo_size"]
    assert maps_apart(panels.coc_of(*size), T[f"{name}.coc"]) < MAPS
    assert maps_apart(panels.disparity_of(*size, slice(0, 3)), T[f"{name}.disparity"]) < MAPS


def test_the_first_velocity_and_step():
    name = "stage1_landscape"
    case, paint = CASES[name], GIVEN.painter("stage1")
    given = torch.cat([grid(T[f"{name}.masked_latents"], case), grid(T["stage1.mask_tokens"].float(), case)], dim=-1)
    noise = grid(T[f"{name}.noise"], case)
    v = paint.velocity(noise, given, case["first_timestep_given_to_transformer"])
    assert error(v.flatten(1, 2), T[f"{name}.first_velocity"]) < TOLERANCE
    levels = sigmas(case["steps"], case["tokens"])
    after = noise + (levels[1] - levels[0]) * grid(T[f"{name}.first_velocity"], case)
    assert error(after.flatten(1, 2), T[f"{name}.latents_after_first_step"]) < TOLERANCE
    assert torch.equal(position_ids(case["height"] // 16, case["width"] // 16), T[f"{name}.img_ids"])


# Target


@pytest.mark.parametrize(
    "name", [n for kind in ("target", "stage2", "full") for n in GIVEN.of(kind) if f"{n}.disparity" in T]
)
def test_the_target(name):
    case = CASES[name]
    coc, disparity = (m[..., 0] if m.ndim == 3 else m for m in (T[f"{name}.coc"], T[f"{name}.disparity"]))
    lens, (x, y) = photo_lens(coc, disparity), case["focus"]
    target = refocused(lens, disparity, disparity[y, x], case["bokeh_scale"], as_published=True)
    if case.get("every_value_is_nan"):
        assert target.isnan().all() and T[f"{name}.target_coc"].isnan().all()
        assert not refocused(lens, disparity, disparity[y, x], case["bokeh_scale"]).any()  # mended
    else:
        assert maps_apart(target, T[f"{name}.target_coc"]) < MAPS
        assert lens.k == pytest.approx(case["signed_k"], rel=1e-6)
        assert lens.focus == pytest.approx(case["source_focus"], rel=1e-6)


# Stage 2


@pytest.mark.parametrize("name", GIVEN.of("stage2"))
def test_the_collages_of_stage_2(name):
    case, side = CASES[name], CASES[name]["resolution"]
    given = GIVEN.picture(f"{name}.photo"), T[f"{name}.coc"], T[f"{name}.target_coc"]
    size, f, made = tiles.tiles_of(*given, side, as_published=True)
    assert list(size) == case["canvas_size"] and f == case["enlarged_by"]
    made = list(made)
    assert [list(place) for _, place in made] == case["offsets"]
    for i, (collage, _) in enumerate(made):
        assert same_bytes(collage, T[f"{name}.tile{i}.collage"])
    assert torch.equal(255 * tiles.mask(side), T["stage2.mask"].float())


@pytest.mark.parametrize("name", GIVEN.of("stage2"))
def test_stage_2(name):
    case, side = CASES[name], CASES[name]["resolution"]
    for i, seed in enumerate(case["seeds"]):
        paint = GIVEN.painter("stage2", steps=case["steps"])
        picture = paint(GIVEN.picture(f"{name}.tile{i}.collage"), tiles.mask(side), seed)
        assert error(paint.kept["latents"].flatten(1, 2), T[f"{name}.tile{i}.latents"]) < TOLERANCE
        assert same_bytes(picture[side:, side:], GIVEN.tile(name, i))


@pytest.mark.parametrize("name", GIVEN.of("stage2"))
def test_tiles_are_blended(name):
    case, side = CASES[name], CASES[name]["resolution"]
    blend = tiles.Blend(case["canvas_size"], side, as_published=True)
    for i, place in enumerate(case["offsets"]):
        blend.add(GIVEN.tile(name, i) / 255, place)
    assert same_bytes(blend.picture(), T[f"{name}.blended"])
    out = tiles.shrunk(T[f"{name}.blended"] / 255, *case["photo_size"], as_published=True)
    assert same_bytes(out, T[f"{name}.result"])


def test_flat_tiles_of_the_real_size():
    """As published, and mended: no black frame, no dark corner, no value between that is not of a tile."""
    case = CASES["blend_512"]
    side, width = case["tile"], case["canvas"][0]

    def blended(values, offsets, size, **how):
        blend = tiles.Blend(size, side, **how)
        for value, place in zip(values, offsets, strict=True):
            blend.add(torch.full((side, side, 3), value / 255), place)
        return blend.picture()

    made = blended(case["values"], case["offsets"], case["canvas"], as_published=True)[..., 0]
    assert same_bytes(made[:40, :64], T["blend_512.top_left"])
    assert same_bytes(made[side // 2], T["blend_512.middle_row"])
    assert same_bytes(made[:, width // 2], T["blend_512.middle_column"])
    one = blended([200], [(0, 0)], (side, side), as_published=True)[..., 0]
    assert same_bytes(one[:40, :64], T["blend_512.one_tile_200_corner"])
    assert torch.allclose(blended([200], [(0, 0)], (side, side)), torch.tensor(200 / 255), atol=1e-6)
    both = blended(case["values"], case["offsets"], case["canvas"])
    assert both.min() >= 100 / 255 - 1e-6 and both.max() <= 200 / 255 + 1e-6


@pytest.mark.parametrize("name", GIVEN.of("full"))
def test_the_whole_chain(name):
    """From the photo alone; bytes that tip over in stage 1 move what follows a little."""
    case, picture = CASES[name], GIVEN.picture(f"{name}.photo")
    r1, r2 = case["stage1_resolution"], case["stage2_resolution"]
    paint = GIVEN.painter("stage1", steps=case["steps"], vae_tile=2 * r1)
    panels = chain.estimate(paint, picture, case["seed"], r1, as_published=True)
    assert error(paint.kept["latents"].flatten(1, 2), T[f"{name}.stage1.latents"]) < TOLERANCE
    coc, disparity = panels.coc_of(*case["photo_size"]), panels.disparity_of(*case["photo_size"])[..., 0]
    (x, y), lens = case["focus"], photo_lens(coc[..., 0], disparity)
    target = refocused(lens, disparity, disparity[y, x], case["bokeh_scale"], as_published=True)
    assert error(target, T[f"{name}.target_coc"]) < 1e-3
    paint = GIVEN.painter("stage2", steps=case["steps"])
    out = chain.render(paint, picture, coc, target, case["seed"], r2, as_published=True)
    assert error(out, T[f"{name}.result"] / 255) < 1e-3
    # With its own maps given, the rest is to the byte.
    maps = T[f"{name}.coc"], T[f"{name}.target_coc"]
    out = chain.render(paint, picture, *maps, case["seed"], r2, as_published=True)
    assert same_bytes(out, T[f"{name}.result"])


# The parts


@pytest.mark.parametrize("name", CASES["velocity"]["outputs"])
def test_one_velocity_with_each_lora(name):
    case, tokens = CASES["velocity"], grid(T["velocity.tokens"], {"height": 64, "width": 96})
    paint = GIVEN.painter("stage2" if name == "stage2" else "stage1")
    paint.lora = {} if name == "none" else GIVEN.lora(name)
    v = paint.velocity(tokens[..., :64], tokens[..., 64:], case["timestep"])
    assert error(v.flatten(1, 2), T[f"velocity.{name}"]) < TOLERANCE


def test_the_vae_whole_and_in_tiles():
    paint, side = GIVEN.painter("stage1"), CASES["vae"]["sample_size"]
    pixels = masked(GIVEN.picture("vae.picture"), torch.zeros(T["vae.picture"].shape[:2]))
    for vae_tile, name in ((None, "whole"), (side, "tiled")):
        paint.vae_tile = vae_tile
        if f"vae.moments_{name}" in T:
            assert error(paint.encode(pixels), T[f"vae.moments_{name}"]) < TOLERANCE
            assert error(paint.decode(T["vae.latents"]), T[f"vae.decoded_{name}"]) < TOLERANCE


def test_noise_mask_and_sample():
    name, case = "stage1_landscape", CASES["stage1_landscape"]
    noise, spread = draws(case["seed"], case["height"], case["width"])
    assert torch.equal(pack(noise).flatten(1, 2), T[f"{name}.noise"])
    latents = scaled(posterior(T[f"{name}.masked_moments"], spread))
    assert error(pack(latents).flatten(1, 2), T[f"{name}.masked_latents"]) < 1e-6
    for stage in ("stage1", "stage2"):
        made = mask_tokens(T[f"{stage}.mask"].float() / 255).flatten(1, 2)
        assert torch.equal(made, T[f"{stage}.mask_tokens"].float())


def test_tables():
    shown = torch.arange(256) / 255
    assert maps_apart(photo.decode_coc(shown), T["tables.decode_coc"]) < MAPS
    for side in (48, 512):
        assert same_bytes(tiles.encode_coc(T["tables.encode_in"], side), T[f"tables.encode_coc_{side}"])
    for stage, tokens in (("stage1", 3072), ("stage2", 4096)):
        assert torch.allclose(sigmas(20, tokens), T[f"tables.sigmas_512_{stage}"], atol=1e-6)


def test_sizes_of_real_photos():
    for case in CASES["tables"]["geometry_512"]:
        at = photo.fit(*case["photo_size"], as_published=True)
        assert at.scale == case["scale"] and list(at.size) == case["resized_size"] and list(at.offset) == case["offset"]
        f, size = tiles.canvas(*case["photo_size"])
        assert list(size) == case["canvas_size"] and f == case["enlarged_by"]
        assert tiles.starts(size[0]) == case["xs"] and tiles.starts(size[1]) == case["ys"]


def test_a_tile_that_is_wide_enough_is_not_cut():
    x = torch.arange(24.0)[None]
    assert torch.equal(by_vae_tiles(lambda t: t * 2, x, 24), x * 2)
