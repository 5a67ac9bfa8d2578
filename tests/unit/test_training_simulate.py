"""`simulate`: the same shards for every split of the work, and nothing half-written whatever happens."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
import types

import pytest

from rackfocus.training import cli, plan, shards, simulate, sources, work
from rackfocus.training.shards import report_of

SCENES = ["--procedural", "6", "--size", "32", "--per-shard", "2", "--held-out", "0.3"]


def simulated(out, *words, scenes=SCENES):
    return cli.main(["simulate", *scenes, "--out", str(out), *words])


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder that one process makes in one go."""
    out = tmp_path_factory.mktemp("whole")
    assert simulated(out) == 0
    return out


def test_there_are_shards_for_training_and_for_validation(whole):
    names = set(hashes(whole))
    assert {"simulate.json", "train-000000.tar", "val-000000.tar"} <= names and not leftovers(whole)
    reports = [report_of(path) for path in whole.glob("*.tar")]
    assert sum(report["pictures"] for report in reports) == sum(report["examples"] for report in reports) == 6


def test_parts_make_the_same_bytes_in_any_order(whole, tmp_path):
    for part in ("2/3", "3/3", "1/3"):
        assert simulated(tmp_path, "--part", part) == 0
    assert hashes(tmp_path) == hashes(whole)


def test_what_is_finished_is_not_made_again(whole, tmp_path, capsys, monkeypatch):
    assert simulated(tmp_path) == 0
    first = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    (tmp_path / "train-000000.tar").unlink()
    loaded = []
    load = sources.Scenes.load
    monkeypatch.setattr(sources.Scenes, "load", lambda self, name: loaded.append(name) or load(self, name))
    assert simulated(tmp_path) == 0
    assert len(loaded) == 2 and "1 of them made now" in capsys.readouterr().out
    same = [name for name in first if first[name] == (tmp_path / name).stat().st_mtime_ns]
    assert len(same) == len(first) - 1 and hashes(tmp_path) == hashes(whole)


def test_a_shard_that_was_cut_off_is_made_again(whole, tmp_path):
    assert simulated(tmp_path, "--part", "1/9") == 0
    path = tmp_path / "train-000000.tar"
    path.write_bytes(path.read_bytes()[:5000])
    assert simulated(tmp_path) == 0 and hashes(tmp_path) == hashes(whole)


def processes_of(marker):
    """Ids of processes whose environment holds it."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                found += [int(entry)] if marker.encode() in file.read() else []
        except OSError:
            continue
    return found


def wait_until(true, tries=5000):
    for _ in range(tries):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come about within minutes")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes by /proc")
@pytest.mark.parametrize("way", ["killed", "Ctrl-C"])
def test_stopped_in_the_middle_and_started_again_it_gives_the_same_bytes(way, whole, tmp_path):
    """With two workers, which end with it: by Ctrl-C without a trace; killed, it leaves what is swept away later."""
    out, value = tmp_path / "out", str(tmp_path)
    command = [sys.executable, "-m", "rackfocus.training", "simulate", *SCENES, "--out", str(out), "--workers", "2"]
    running = subprocess.Popen(
        command, env={**os.environ, "RACKFOCUS_TEST": value}, cwd=tmp_path, start_new_session=True
    )
    try:
        wait_until(lambda: out.is_dir() and any("tar" in name for name in leftovers(out)))  # half-written
        if way == "Ctrl-C":
            os.killpg(running.pid, signal.SIGINT)
            assert running.wait(240) == 130 and not leftovers(out)
    finally:
        running.kill()
        running.wait()
    wait_until(lambda: not processes_of(f"RACKFOCUS_TEST={value}"))
    assert len(list(out.glob("*.tar"))) < len(list(whole.glob("*.tar")))
    assert simulated(out, "--workers", "2" if way == "Ctrl-C" else "1") == 0
    assert hashes(out) == hashes(whole)


def test_ctrl_c_leaves_nothing_half_written(whole, tmp_path, monkeypatch, capsys):
    load, loaded = sources.Scenes.load, []

    def stopped(self, name):
        if len(loaded) == 4:
            raise KeyboardInterrupt
        loaded.append(name)
        return load(self, name)

    monkeypatch.setattr(sources.Scenes, "load", stopped)
    assert simulated(tmp_path) == 130
    assert "goes on from there" in capsys.readouterr().err
    assert set(hashes(tmp_path)) == {name for name in hashes(whole) if not name.startswith("val")}
    monkeypatch.setattr(sources.Scenes, "load", load)
    assert simulated(tmp_path) == 0 and hashes(tmp_path) == hashes(whole)


def test_workers_hear_a_stop_within_a_picture(monkeypatch):
    """The renderer looks many times in a picture; a stop that is set is heard there."""

    class Stop:
        asked = 0

        def is_set(self):
            self.asked += 1
            return self.asked > 5

    stop, made = Stop(), []
    monkeypatch.setattr(work, "_stop", stop)
    monkeypatch.setattr(work, "_done", object())
    scene = sources.Scenes(1, 1, (32, 48))

    def one(job, shard, told):
        work.example(*scene.load("0"), 0, "a", 0)
        made.append(1)

    monkeypatch.setattr(work, "make_shard", one)
    with pytest.raises(KeyboardInterrupt):
        work._in_worker(None, None)
    assert not made


@pytest.mark.parametrize("where", ["write", "fsync"])
def test_a_full_disk_is_told_and_the_work_goes_on_later(where, whole, tmp_path, monkeypatch, capsys):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(*_):
        raise full

    with monkeypatch.context() as broken:
        if where == "fsync":
            broken.setattr(os, "fsync", fail)
        else:
            opened = open

            def nearly_full(handle, mode="r", **more):
                file = opened(handle, mode, **more)
                return Full(file) if "wb" in mode else file

            class Full:
                def __init__(self, file):
                    self.file = file

                def write(self, data):
                    return fail() if self.file.tell() > 20000 else self.file.write(data)

                def __getattr__(self, name):
                    return getattr(self.file, name)

                def __enter__(self):
                    return self

                def __exit__(self, *_):
                    self.file.close()

            broken.setattr(shards, "open", nearly_full, raising=False)
        assert simulated(tmp_path) == 1
    said = capsys.readouterr().err
    assert said.startswith("rackfocus.training: the disk is full") and said.count("\n") == 1
    assert set(hashes(tmp_path)) == {"simulate.json"}
    assert simulated(tmp_path) == 0 and hashes(tmp_path) == hashes(whole)


def test_another_run_in_the_same_folder_is_refused(whole, capsys):
    before = hashes(whole)
    for words, said in (
        (["--variants", "2"], "made with variants 1, but 2 is asked for"),
        (["--seed", "5"], "made with seed 0, but 5"),
        (["--noise", "0.01"], "made with noise 0.02, but 0.01"),
        (["--planes", "2", "3"], "made with planes"),
    ):
        assert simulated(whole, *words) == 1
        assert said in capsys.readouterr().err
    assert hashes(whole) == before


@pytest.mark.parametrize(
    "words, said",
    [
        ((), "a folder of photos is needed"),
        (("x", "--procedural", "3"), "give one of them"),
        (("--procedural", "3", "--part", "3/2"), "--part is '3/2', but I/N"),
        (("--procedural", "3", "--part", "0/2"), "--part is '0/2'"),
        (("--procedural", "0"), "--procedural is 0"),
        (("--procedural", "3", "--size", "4"), "--size is 4"),
        (("--procedural", "3", "--workers", "0"), "--workers is 0"),
        (("--procedural", "3", "--held-out", "2"), "--held-out is 2"),
        (("--procedural", "3", "--jpeg", "0"), "jpeg is 0"),
    ],
)
def test_wrong_calls_end_in_one_sentence_and_write_nothing(words, said, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["simulate", *words, "--out", str(out)]) == 1
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1 and not out.exists()


def test_without_ray_the_engine_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert simulated(tmp_path, "--engine", "ray") == 1
    assert "Ray Data is not installed" in capsys.readouterr().err and not list(tmp_path.glob("*.tar"))


def test_a_ray_that_does_not_start_is_told(tmp_path, monkeypatch, capsys):
    def fail(**_):
        raise Exception("The current node timed out\nduring startup.")

    ray = types.ModuleType("ray")
    ray.data, ray.init, ray.is_initialized = types.ModuleType("ray.data"), fail, lambda: False
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", ray.data)
    assert simulated(tmp_path, "--engine", "ray") == 1
    said = capsys.readouterr().err
    assert "Ray did not start (The current node timed out during startup.)" in said and said.count("\n") == 1


@pytest.mark.slow
def test_ray_makes_the_same_bytes(whole, tmp_path):
    pytest.importorskip("ray.data", reason="Ray is not installed (pip install 'ray[data]'): --engine ray is NOT tested")
    assert simulated(tmp_path, "--engine", "ray", "--workers", "2") == 0
    assert hashes(tmp_path) == hashes(whole)


@pytest.mark.slow
def test_200_pictures_are_the_same_for_any_split_and_workers(tmp_path):
    scenes = ["--procedural", "200", "--size", "32", "--per-shard", "8"]
    assert simulated(tmp_path / "one", scenes=scenes) == 0
    for words in (["--part", "2/2", "--workers", "2"], ["--part", "1/2"]):
        assert simulated(tmp_path / "parts", *words, scenes=scenes) == 0
    made = hashes(tmp_path / "one")
    assert len(made) == 27 and made == hashes(tmp_path / "parts")


def test_every_picture_is_in_one_shard_and_keeps_its_split():
    keys = {hashlib.sha256(str(i).encode()).hexdigest(): str(i) for i in range(500)}
    made = plan.shards_of(keys, 0.1, 7)
    names = [picture for shard in made for picture in shard.pictures]
    assert sorted(names) == sorted(keys.items()) and all(len(shard.pictures) <= 7 for shard in made)
    parts = [plan.part_of(made, i, 4) for i in range(1, 5)]
    assert sorted(shard.name for part in parts for shard in part) == sorted(shard.name for shard in made)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    held_out = {name for shard in made if shard.name.startswith("val") for name in shard.pictures}
    assert 25 < len(held_out) < 80
    fewer = plan.shards_of(dict(list(keys.items())[:200]), 0.1, 7)
    assert {n for shard in fewer if shard.name.startswith("val") for n in shard.pictures} <= held_out
    assert not {n for shard in fewer if shard.name.startswith("train") for n in shard.pictures} & held_out


def test_progress_tells_pictures_a_second_and_the_time_left(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(simulate.time, "monotonic", lambda: now[0])
    meter = simulate.Meter(50)
    now[0] += 20
    meter.told(10)
    assert "10 of 50 pictures, 0.50 a second, 80 s left" in capsys.readouterr().err
    now[0] += 1
    meter.told(11)  # too soon for another line in a log
    assert not capsys.readouterr().err


def test_it_runs_by_the_folders_path_too(root, tmp_path):
    made = subprocess.run(
        [sys.executable, str(root / "training"), "simulate", "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert made.returncode == 0 and "--part I/N" in made.stdout, made.stderr
