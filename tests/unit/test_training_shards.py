"""Shards read back bit for bit, and cut-off ones refused."""

import tarfile

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.training import example, procedural
from rackfocus.training.shards import END, read_shard, report_of, shards_in, writing


def examples(count=2, size=(32, 80)):
    return [example(*procedural(4, i, size), 0, f"key{i}", i) for i in range(count)]


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    path = tmp_path_factory.mktemp("shards") / "train-000000.tar"
    with writing(path) as out:
        for e in examples():
            out.add(e)
        out.end({"kept": 2})
    return path


def test_an_example_comes_back_bit_for_bit(shard):
    for made, read in zip(examples(), read_shard(shard), strict=True):
        assert (read.key, read.variant, read.lens) == (made.key, made.variant, made.lens)
        assert torch.equal(read.aif, made.aif) and torch.equal(read.disparity, made.disparity)
        assert len(read.targets) == len(made.targets)
        for a, b in zip((read.source, *read.targets), (made.source, *made.targets), strict=True):
            assert torch.equal(a.image, b.image) and torch.equal(a.sharp, b.sharp) and a.image.dtype == torch.float32
            assert (a.focus, a.point, a.blur) == (b.focus, b.point, b.blur)


def test_the_bytes_know_no_time_and_no_owner(shard, tmp_path):
    again = tmp_path / "again.tar"
    with writing(again) as out:
        for e in examples():
            out.add(e)
        out.end({"kept": 2})
    assert again.read_bytes() == shard.read_bytes()
    with tarfile.open(shard) as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in tar} == {(0, 0, 0, "", "")}


def test_an_empty_shard_is_whole(tmp_path):
    path = tmp_path / "val-000000.tar"
    with writing(path) as out:
        out.end({})
    assert list(read_shard(path)) == [] and report_of(path)["examples"] == 0


def test_a_cut_off_shard_is_refused_before_its_first_example(shard, tmp_path):
    content = shard.read_bytes()
    with tarfile.open(shard) as tar:
        last = next(m for m in tar if m.name == END)
        boundary = tar.getmembers()[5].offset
    for size in (0, 100, 512, boundary, boundary + 700, last.offset, last.offset + 520, len(content) // 2):
        cut = tmp_path / f"{size}.tar"
        cut.write_bytes(content[:size])
        with pytest.raises(RefocusError, match=r"\.tar is cut off, or no shard made by simulate, but a whole one is"):
            next(read_shard(cut))
        with pytest.raises(RefocusError, match="is cut off"):
            report_of(cut)


def test_shards_of_a_split_come_in_order(shard, tmp_path):
    for name in ("train-000010.tar", "train-000002.tar", "val-000000.tar", ".train-000011.tar.x.part"):
        (tmp_path / name).write_bytes(shard.read_bytes())
    assert [path.name for path in shards_in(tmp_path, "train")] == ["train-000002.tar", "train-000010.tar"]
    assert [path.name for path in shards_in(tmp_path, "val")] == ["val-000000.tar"]
    with pytest.raises(RefocusError, match="holds no shard test-000000"):
        shards_in(tmp_path, "test")


def test_what_is_no_shard_is_refused(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"PNG" * 1000)
    with pytest.raises(RefocusError, match="no shard made by simulate"):
        next(read_shard(tmp_path / "x.tar"))
    with pytest.raises(RefocusError, match="cannot be read"):
        next(read_shard(tmp_path / "missing.tar"))


def test_one_of_a_newer_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("rackfocus.training.shards.VERSION", 2)
    with writing(tmp_path / "x.tar") as out:
        out.end({})
    monkeypatch.undo()
    with pytest.raises(RefocusError, match="has version 2, but this Rackfocus reads up to 1"):
        next(read_shard(tmp_path / "x.tar"))


def test_nothing_is_left_of_a_shard_that_failed(tmp_path):
    with pytest.raises(RuntimeError, match="on purpose"), writing(tmp_path / "x.tar") as out:
        out.add(examples(1)[0])
        raise RuntimeError("on purpose")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RefocusError, match="cannot be written"), writing(tmp_path / "no" / "x.tar"):
        pass


def test_webdataset_reads_them(shard):
    wds = pytest.importorskip(
        "webdataset", reason="webdataset is not installed: its reading of our shards is not tested"
    )
    samples = list(wds.WebDataset(str(shard), shardshuffle=False).decode("torchrgb"))
    assert [s["__key__"] for s in samples] == ["key0-00", "key1-01"]
    for made, sample in zip(examples(), samples, strict=True):
        assert torch.equal(sample["aif.png"].movedim(0, -1), made.aif)
        assert len([k for k in sample if k.startswith("target") and "sharp" not in k]) == len(made.targets)
