"""`simulate` of a folder of photos: what is kept, what is left out and why, and how depth comes to them."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from rackfocus.dev.tiny import depth as tiny_depth
from rackfocus.pipelines.depth import estimate_depth, load_depth_model
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.tests.pictures import photograph, psnr, texture
from rackfocus.training import UnfitError, cli, procedural
from rackfocus.training.files import fitted, fitted_depth, read_depth, read_picture
from rackfocus.training.shards import read_shard, report_of
from rackfocus.training.sources import Folder


def save(path, image, **more):
    """[H, W, 3] or [H, W] in 0..1 as 8 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((image * 255).round().byte().numpy()).save(path, **more)


def scene(folder, name, index=0, size=(64, 96)):
    picture, disparity = procedural(9, index, size)
    save(folder / f"{name}.png", picture)
    save(folder / f"{name}_depth.png", disparity)
    return picture, disparity


def test_each_picture_is_kept_or_told_of(tmp_path, capsys):
    photos, out = tmp_path / "photos", tmp_path / "out"
    for i in range(3):
        scene(photos, f"good{i}", i)
    scene(photos / "deeper", "more", 3)
    (photos / "zz_twice.png").write_bytes((photos / "good1.png").read_bytes())
    blurred, depth = procedural(9, 4, (64, 96))
    save(photos / "blurred.png", photograph(blurred[None], 3.0)[0])
    save(photos / "blurred_depth.png", depth)
    scene(photos, "small", 5, (32, 96))
    scene(photos, "flat", 6)
    save(photos / "flat_depth.png", torch.full((64, 96), 0.5))
    save(photos / "alone.png", procedural(9, 7, (64, 96))[0])
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    content = (photos / "good2.png").read_bytes()
    (photos / "half.png").write_bytes(content[: len(content) // 2])
    scene(photos, "turned", 8)
    save(photos / "turned_depth.png", torch.rand(96, 64, generator=torch.Generator().manual_seed(0)))
    (photos / "notes.txt").write_text("nothing")
    command = ["simulate", str(photos), "--out", str(out), "--size", "64", "--held-out", "0"]
    assert cli.main(command) == 1
    said = capsys.readouterr()
    assert "11 pictures, 4 kept (left out: 4 broken, 1 duplicates, 1 not sharp everywhere, " in said.out
    assert "1 too few depths, 1 too small): 4 examples" in said.out
    for name, word in (
        ("broken.jpg", "cannot be read as a picture"),
        ("half.png", "cannot be read as a picture"),
        ("alone.png", "no depth map beside it (alone_depth.png)"),
        ("turned.png", "its depth map is 64 x 96 and the photo 96 x 64"),
    ):
        line = next(line for line in said.err.splitlines() if line.startswith(name))
        assert word in line and line.endswith(".")
    kept = list(read_shard(out / "train-000000.tar"))
    wanted = [fitted(read_picture(photos / f"{name}.png"), 64) for name in ("good0", "good1", "good2", "deeper/more")]
    assert len(kept) == 4 and all(any(torch.equal(e.aif, w) for w in wanted) for e in kept)
    # Broken ones are told of once more when there is nothing left to do.
    assert cli.main(command) == 1 and "half.png" in capsys.readouterr().err
    assert report_of(out / "train-000000.tar")["kept"] == 4


def test_examples_do_not_depend_on_names_or_on_where_photos_lie(tmp_path):
    for folder, name in (("a", "first"), ("b/c", "second")):
        scene(tmp_path / folder, name)
    made = []
    for folder in ("a", "b"):
        out = tmp_path / f"out {folder}"
        assert cli.main(["simulate", str(tmp_path / folder), "--out", str(out), "--size", "64", "--held-out", "0"]) == 0
        made.append((out / "train-000000.tar").read_bytes())
    assert made[0] == made[1]


def test_photos_that_are_added_make_another_run(tmp_path, capsys):
    scene(tmp_path / "photos", "a")
    command = ["simulate", str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--size", "64"]
    assert cli.main(command) == 0
    scene(tmp_path / "photos", "b", 1)
    assert cli.main(command) == 1
    assert "holds shards made with count 1, but 2 is asked for" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "depths"])
def test_a_folder_without_photos_is_refused(kind, tmp_path, capsys):
    photos = tmp_path / "photos"
    if kind == "file":
        photos.write_text("x")
    elif kind != "missing":
        photos.mkdir()
        if kind == "depths":
            save(photos / "a_depth.png", torch.zeros(4, 5))
    assert cli.main(["simulate", str(photos), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert ("is no folder" if kind in ("missing", "file") else "holds no photo") in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    scene(tmp_path / "in", "a")

    def refused(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(RefocusError, match=r"cannot be read \(Permission denied\), but all of the folder"):
        Folder(str(tmp_path / "in")).find()


def test_depth_maps_below_a_folder_of_their_own(tmp_path):
    picture, disparity = procedural(9, 0, (64, 96))
    save(tmp_path / "photos" / "x" / "a.png", picture)
    (tmp_path / "maps" / "x").mkdir(parents=True)
    np.save(tmp_path / "maps" / "x" / "a.npy", 1 / (disparity.numpy() + 0.5))  # metres
    source = Folder(str(tmp_path / "photos"), str(tmp_path / "maps"), "metres", size=64)
    image, d = source.load("x/a.png")
    assert torch.allclose(d, disparity + 0.5, atol=1e-5)
    assert image.shape == (64, 96, 3)
    with pytest.raises(RefocusError, match="is no folder, but one with depth maps is needed"):
        Folder(str(tmp_path / "photos"), str(tmp_path / "no")).check()


def test_a_depth_model_serves_where_there_is_no_map(tmp_path):
    model = load_depth_model(str(tiny_depth.save("anything", tmp_path / "model")))
    _, disparity = scene(tmp_path, "a")
    save(tmp_path / "b.png", procedural(9, 1, (64, 96))[0])
    source = Folder(str(tmp_path), model=str(tmp_path / "model"), size=64)
    source.check()
    assert torch.allclose(source.load("a.png")[1], disparity, atol=1 / 255)
    image, found = source.load("b.png")
    assert found.shape == (64, 96) and torch.equal(found, estimate_depth(model, image[None]).depth[0])
    with pytest.raises(RefocusError, match="cannot run on --device nowhere"):
        Folder(str(tmp_path), model=str(tmp_path / "model"), device="nowhere").check()
    with pytest.raises(RefocusError):
        Folder(str(tmp_path), model=str(tmp_path / "none.safetensors")).check()


@pytest.mark.parametrize("size", [(120, 200), (333, 250), (64, 64)])
def test_sides_are_whole_tokens_and_the_shorter_one_is_reduced(size):
    image = Image.fromarray((texture(*size)[0] * 255).byte().numpy())
    made = fitted(image, 64)
    assert min(made.shape[:2]) == 64 and not any(n % 16 for n in made.shape[:2])
    assert max(made.shape[:2]) > 64 * max(size) / min(size) - 16
    d = fitted_depth(torch.zeros(size), size, 64)
    assert d.shape == made.shape[:2]
    with pytest.raises(UnfitError, match="pixels a side are needed"):
        fitted(image, 65 if min(size) == 64 else 300)


def test_a_panorama_is_cut_about_its_middle():
    image = torch.zeros(32, 320, 3)
    image[:, 158:162] = 1
    made = fitted(Image.fromarray((image * 255).byte().numpy()), 32)
    assert made.shape == (32, 64, 3) and made[:, 30:34].mean() == 1 and made.mean() < 0.07


def test_reduction_means_light_and_photo_and_depth_stay_together():
    """A board of black and white is half as bright in light, 0.735 in sRGB; an edge lies at the same place in both."""
    board = (torch.arange(128)[:, None] + torch.arange(192)) % 2
    made = fitted(Image.fromarray((board * 255).byte().numpy()).convert("RGB"), 64)
    assert made[8:-8, 8:-8].mean() == pytest.approx(0.735, abs=0.01)
    step = torch.zeros(130, 230)
    step[:, 100:] = 1
    photo = fitted(Image.fromarray((step * 255).byte().numpy()).convert("RGB"), 64)
    depth = fitted_depth(step[::2, ::2], (130, 230), 64)
    assert psnr(photo, depth[..., None].expand(-1, -1, 3)) > 20
    assert psnr(photo.flip(1), depth[..., None].expand(-1, -1, 3)) < 5


def test_a_photo_is_read_upright(tmp_path):
    image = torch.zeros(20, 30, 3)
    image[:, :10] = 1
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    save(tmp_path / "a.jpg", image, exif=exif)
    read = torch.from_numpy(np.array(read_picture(tmp_path / "a.jpg")))
    assert read.shape == (30, 20, 3) and read[:9].min() > 200 and read[12:].max() < 50


def test_depth_files_of_several_kinds_give_one_map(tmp_path):
    values = torch.linspace(0, 1, 6 * 9).view(6, 9)
    save(tmp_path / "8.png", values)
    Image.fromarray((values * 65535).round().numpy().astype(np.uint16)).save(tmp_path / "16.png")
    Image.fromarray(values.numpy()).save(tmp_path / "float.tif")
    np.save(tmp_path / "array.npy", values.numpy())
    for name, steps in (("8.png", 255), ("16.png", 65535), ("float.tif", 1e7), ("array.npy", 1e7)):
        assert torch.allclose(read_depth(tmp_path / name), values, atol=0.6 / steps)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.png").write_text("no")
    for name in ("objects.npy", "text.png"):
        with pytest.raises(RefocusError, match="its depth map cannot be read"):
            read_depth(tmp_path / name)


def test_a_grey_photo_of_16_bits_keeps_its_brightness(tmp_path):
    values = torch.linspace(0, 1, 20 * 30).view(20, 30)
    Image.fromarray((values * 65535).round().numpy().astype(np.uint16)).save(tmp_path / "a.png")
    read = torch.from_numpy(np.array(read_picture(tmp_path / "a.png"))).float() / 255
    assert torch.allclose(read, values[..., None].expand(-1, -1, 3), atol=0.6 / 255)
