"""train, validate and sample from the command line: what they write, how they go on, what they say of mistakes."""

import json

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.training import flux, models, small
from rackfocus.training import train as command
from rackfocus.training.batch import of_examples
from rackfocus.training.cli import main
from rackfocus.training.data import Procedural, Shards
from rackfocus.training.example import Settings, example
from rackfocus.training.procedural import procedural
from rackfocus.training.shards import writing

SMALL = ["--model", "small", "--procedural", "4", "--width", "16", "--scenes", "2", "--threads", "0"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of two steps."""
    out = tmp_path_factory.mktemp("run")
    options = ["--steps", "2", "--sample-every", "2", "--log-every", "1", "--trained-by", "a test"]
    assert main(["train", *SMALL, *options, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A folder with a shard to train on and one that was held out, of two examples each, 32 x 48."""
    folder = tmp_path_factory.mktemp("shards")
    settings = Settings(planes=(3, 3), weakest=20, jpeg=100)
    for part in ("train", "val"):
        with writing(folder / f"{part}-000000.tar") as shard:
            for i in (1, 2):
                shard.add(example(*procedural(0, i, (32, 48)), 0, f"{i:064d}", 0, settings))
            shard.end({})
    return folder


def said(capsys):
    return capsys.readouterr().err.removeprefix("rackfocus.training: ").strip()


def test_a_run_leaves_a_model_a_log_and_samples(run):
    assert sorted(p.name for p in run.iterdir() if p.name != "tensorboard") == [
        "log.jsonl",
        "model.safetensors",
        "samples",
        "state.pt",
    ]
    assert [p.name for p in (run / "samples").iterdir()] == ["000002.png"]
    with safe_open(run / "model.safetensors", "pt") as file:
        header = file.metadata()
    assert header["kind"] == "rackfocus small" and header["trained_by"] == "a test" and header["steps"] == "2"
    assert json.loads(header["size"]) == [32, 32]
    assert json.loads(header["notes"])["plan"]["drop"] == 0.3


def test_the_model_is_the_average_and_is_read_back(run):
    model, side = models.read_model(run / "model.safetensors")
    kept = torch.load(run / "state.pt", weights_only=True)
    assert side == 32
    assert all(torch.equal(dict(model.module.named_parameters())[k], v) for k, v in kept["average"].items())
    assert not torch.equal(kept["average"]["last.weight"], kept["parameters"]["last.weight"])


def test_the_same_command_goes_on(tmp_path, run, capsys):
    options = ["--steps", "2", "--log-every", "1", "--out", str(tmp_path)]
    assert main(["train", *SMALL, *options, "--stop-after", "1"]) == 0
    assert "1 of 2 steps are done" in capsys.readouterr().out
    assert not (tmp_path / "model.safetensors").exists()
    assert main(["train", *SMALL, *options]) == 0
    assert "going on from step 1" in capsys.readouterr().out
    once, twice = (torch.load(p / "state.pt", weights_only=True) for p in (run, tmp_path))
    assert all(torch.equal(v, twice["parameters"][k]) for k, v in once["parameters"].items())


def test_validate_writes_a_table_and_a_sheet(run, tmp_path, capsys):
    model = ["--checkpoint", str(run / "model.safetensors"), "--steps", "1"]
    assert main(["validate", *model, "--scenes", "2", "--planes", "2", "--out", str(tmp_path)]) == 0
    table = (tmp_path / "report.md").read_text()
    assert table.strip() in capsys.readouterr().out
    assert "2 scenes, 1 steps" in table and "depth missing" in table
    assert Image.open(tmp_path / "sheet.png").size[0] > 500


def test_shards_are_trained_on_and_measured(run, shards, tmp_path):
    assert main(["train", *SMALL, "--data", str(shards), "--steps", "1", "--out", str(tmp_path / "run")]) == 0
    model = ["--checkpoint", str(tmp_path / "run" / "model.safetensors"), "--steps", "1"]
    assert main(["validate", *model, "--data", str(shards), "--out", str(tmp_path / "report")]) == 0
    assert "2 scenes" in (tmp_path / "report" / "report.md").read_text()


def test_what_was_held_out_is_measured_and_not_trained_on(run, shards, tmp_path):
    (tmp_path / "train-000000.tar").write_bytes((shards / "train-000000.tar").read_bytes())
    assert len(Shards(tmp_path)) == 2
    with pytest.raises(RefocusError, match="held out, but shards are needed: run simulate with --held-out"):
        Shards(tmp_path, "val")
    assert len(Shards(shards, "val")) == 2


def test_batches_of_shards_are_their_examples(shards):
    data = Shards(shards)
    assert len(data) == 2
    batch = data.batch([1, 0], 2, torch.Generator().manual_seed(0))
    again = example(*procedural(0, 2, (32, 48)), 0, f"{2:064d}", 0, Settings(planes=(3, 3), weakest=20, jpeg=100))
    assert torch.equal(batch.aif[0], again.aif)
    assert torch.equal(batch.source[0], again.source.image)
    photos = [p.image for p in again.targets]
    which = [next(i for i, p in enumerate(photos) if torch.equal(p, t)) for t in batch.targets[0]]
    assert len(set(which)) == 2
    assert batch.focus[0].tolist() == pytest.approx([again.targets[i].focus for i in which])
    assert torch.equal(batch.sharp[0, 0], again.targets[which[0]].sharp)
    with pytest.raises(RefocusError, match="has 3 focal planes, but 4 are trained"):
        of_examples([again], 4, torch.Generator())


def test_scenes_are_sampled_beside_their_truth(run, tmp_path):
    model = ["--checkpoint", str(run / "model.safetensors"), "--steps", "1"]
    assert main(["sample", *model, "--scene", "3", "--out", str(tmp_path)]) == 0
    sheet = Image.open(tmp_path / "sheet.png")
    truth = Procedural(1, 32, first=1_000_003).all
    assert sheet.getpixel((3, 3)) == tuple((truth.source[0, 0, 0] * 255).round().int().tolist())


def test_a_photo_is_sampled_for_each_blur(run, tmp_path):
    Image.new("RGB", (90, 60), (200, 100, 50)).save(tmp_path / "a.png")
    Image.linear_gradient("L").resize((90, 60)).save(tmp_path / "d.png")
    model = ["--checkpoint", str(run / "model.safetensors"), "--steps", "1"]
    photo = ["--photo", str(tmp_path / "a.png"), "--depth", str(tmp_path / "d.png")]
    out = tmp_path / "out"
    assert main(["sample", *model, *photo, "--focus", "0.3,0.6", "--blur", "0,0.5", "--out", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["blur_0.5.png", "blur_0.png", "sheet.png"]
    assert Image.open(out / "blur_0.png").size == (32, 20)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "flux"], "needs --data"),
        (["--model", "flux", "--data", "SHARDS"], "needs --flux"),
        (["--model", "flux", "--data", "SHARDS", "--flux", "SHARDS"], "text encoders"),
        ([*SMALL, "--data", "MISSING"], "is not there, but a folder of shards"),
        ([*SMALL, "--data", "EMPTY"], "holds no example"),
        ([*SMALL, "--data", "CUT"], "is cut off"),
        ([*SMALL, "--steps", "0"], "steps is 0"),
        ([*SMALL, "--planes", "5"], "have 3"),
        ([*SMALL, "--size", "30", "--procedural", "1"], "multiples of 4"),
        ([*SMALL, "--procedural", "0"], "number of scenes is 0"),
    ],
)
def test_train_says_what_is_wrong(options, words, shards, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut").mkdir()
    whole = (shards / "train-000000.tar").read_bytes()
    (tmp_path / "cut" / "train-000000.tar").write_bytes(whole[: len(whole) // 2])
    places = {"SHARDS": shards, "MISSING": tmp_path / "no", "EMPTY": tmp_path / "empty", "CUT": tmp_path / "cut"}
    options = [str(places.get(word, word)) for word in options]
    assert main(["train", *options, "--out", str(tmp_path / "out")]) == 1
    line = said(capsys)
    assert words in line and "\n" not in line
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_scenes_of_several_sizes_are_trained_one_by_one(shards, tmp_path):
    settings = Settings(planes=(3, 3), weakest=20, jpeg=100)
    with writing(tmp_path / "train-000001.tar") as shard:
        shard.add(example(*procedural(0, 1, (32, 32)), 0, "1" * 64, 0, settings))
        shard.end({})
    (tmp_path / "train-000002.tar").write_bytes((shards / "train-000000.tar").read_bytes())
    data = Shards(tmp_path)
    assert data.batch([0], 2, torch.Generator()).size == (32, 32)
    with pytest.raises(RefocusError, match=r"32 x 32 and 48 x 32 pixels .* --scenes 1"):
        data.batch([0, 1], 2, torch.Generator())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scene", "0", "--focus", "0.5"], "x,y is needed"),
        (["--scene", "0", "--focus", "0.5,1.5"], "--focus is 1.5"),
        (["--scene", "0", "--blur", "much"], "numbers with commas"),
        (["--scene", "0", "--blur", "-1"], "--blur is -1"),
        (["--scene", "-1"], "--scene is -1"),
        (["--scene", "0", "--steps", "0"], "--steps is 0"),
        (["--photo", "no.png"], "is not there, but a picture"),
        (["--scene", "0", "--checkpoint", "no.safetensors"], "is not there"),
    ],
)
def test_sample_says_what_is_wrong(run, tmp_path, capsys, options, words):
    model = ["--checkpoint", str(run / "model.safetensors")]
    assert main(["sample", *model, *options, "--out", str(tmp_path / "out")]) == 1
    assert words in said(capsys)
    assert not (tmp_path / "out").exists()


def test_other_files_are_no_checkpoints(run, tmp_path):
    from safetensors.torch import save_file

    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(RefocusError, match="no checkpoint of this command"):
        models.read_model(other)
    save_file({"a": torch.zeros(1)}, other, {"kind": models.FLUX_KIND})
    with pytest.raises(RefocusError, match="give diffusers' folder"):
        models.read_model(other)
    with safe_open(run / "model.safetensors", "pt") as file:
        header = file.metadata()
    for change, words in (
        ({"version": "2"}, "version 2"),
        ({"config": "{"}, "does not say"),
        ({"config": '{"width": 32}'}, "does not hold the tensors"),
    ):
        save_file({"a": torch.zeros(1)}, other, header | change)
        with pytest.raises(RefocusError, match=words):
            models.read_model(other)


def test_out_of_memory_ends_in_advice(monkeypatch, tmp_path, capsys):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(command, "train", full)
    assert main(["train", *SMALL, "--steps", "1", "--out", str(tmp_path)]) == 1
    assert "--scenes 1" in said(capsys)


def test_memory_is_estimated_before_the_base_is_loaded(monkeypatch, tmp_path, capsys, shards):
    class Device:
        device, is_main_process = torch.device("cpu"), True

    def stop(*_, **__):
        raise RefocusError("the base is loaded.")

    monkeypatch.setattr(command, "_accelerator", lambda model: Device())
    monkeypatch.setattr(flux, "embedded_text", stop)
    assert main(["train", "--model", "flux", "--data", str(shards), "--flux", "x", "--out", str(tmp_path)]) == 1
    out = capsys.readouterr()
    assert "memory, estimated: " in out.out and "the base is loaded" in out.err


def test_a_new_small_model_depends_on_its_seed_alone():
    batch = Procedural(2).all
    torch.manual_seed(3)
    a = models.new_small(batch, 1)
    state = torch.get_rng_state()
    b, c = models.new_small(batch, 1), models.new_small(batch, 2)
    assert torch.equal(a.module.into.weight, b.module.into.weight)
    assert not torch.equal(a.module.into.weight, c.module.into.weight)
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(a, small.Small)
