"""Fetching where the hub or the models folder is hostile, and where two fetch one file; no network."""

import errno
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import utils as hub_errors

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.tests.fuzz import downloads
from rackfocus.tests.unit.weight_entries import CONTENT, SHA
from rackfocus.weights import fetch as fetching
from rackfocus.weights.check import models_folder
from rackfocus.weights.fetch import WAITING_ROOM, fetch_file
from rackfocus.weights.manifest import WeightFile
from rackfocus.weights.part import Part, TooLong, come, one_at_a_time

SIZE = len(CONTENT)
posix = pytest.mark.skipif(os.name == "nt", reason="links and pipes are made otherwise there")


def entry(size=SIZE, sha256=SHA, path="one.safetensors", folder="loras"):
    return WeightFile("genfocus", "some/repo", path, folder, None, None, size, sha256, "Apache-2.0")


@pytest.fixture
def hub(monkeypatch):
    """send(out, begun) is what the test makes of it; offer: what the metadata say."""
    fake = SimpleNamespace(offer={"size": len(CONTENT), "etag": "e" * 40}, sent=[], send=None)
    fake.send = lambda out, begun: out.write(CONTENT[begun:])

    def http_get(url, out, *, resume_size, headers, expected_size):
        fake.sent.append(resume_size)
        fake.send(out, resume_size)

    told = lambda url: SimpleNamespace(location="https://store.example/blob", **fake.offer)  # noqa: E731
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", told)
    monkeypatch.setattr(huggingface_hub.file_download, "http_get", http_get)
    monkeypatch.setattr(hub_errors, "build_hf_headers", dict)
    return fake


def part_of(models):
    path = models / WAITING_ROOM / "some--repo--one.safetensors" / ("e" * 40)
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize("case", [pytest.param(c, id=n.split(":")[0]) for n, c in downloads.cases(60, 10)])
@posix
def test_seeded_hostile_downloads(case):
    case()


def test_two_at_once_make_one_right_file(models_root, hub):
    """The second one waits, says so, and finds the file done; the hub is asked for it once."""
    begun, go_on, waits, said, got = threading.Event(), threading.Event(), threading.Event(), [], []

    def slowly(out, resume_size):
        out.write(CONTENT[:7000])
        begun.set()
        assert go_on.wait(20)
        out.write(CONTENT[7000:])

    hub.send = slowly

    def says(sentence):
        said.append(sentence)
        waits.set()

    threads = [threading.Thread(target=lambda: got.append(fetch_file(entry(), models_root, says))) for _ in range(2)]
    threads[0].start()
    assert begun.wait(20)
    threads[1].start()
    assert waits.wait(20)
    go_on.set()
    for thread in threads:
        thread.join(20)
    target = models_root / "loras" / "one.safetensors"
    assert got == [target] * 2 and target.read_bytes() == CONTENT and hub.sent == [0]
    (sentence,) = said
    assert "one.safetensors: another fetch is at work" in sentence
    assert [p for p in models_root.rglob("*") if p.is_file()] == [target] and not (models_root / WAITING_ROOM).exists()


def test_the_lock_of_a_process_that_died_blocks_nobody(models_root, tmp_path):
    """It is held while the process lives, and the file that it leaves means nothing."""
    lock = tmp_path / "one.lock"
    holds = (
        f"from filelock import FileLock; lock = FileLock({str(lock)!r}); lock.acquire(); "
        "print('held', flush=True); input()"
    )
    held = []
    with subprocess.Popen([sys.executable, "-c", holds], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"

        def dies():
            held.append(True)
            other.kill()

        with one_at_a_time(lock, dies):
            assert held
    assert not lock.exists()


@pytest.mark.parametrize("times", [2, 600])
@pytest.mark.parametrize("known", [True, False])
def test_a_hub_that_sends_too_much_is_stopped_at_the_size_and_blocks_nothing(models_root, hub, times, known):
    file = entry() if known else entry(None, None)
    most = []

    def too_much(out, begun):
        for _ in range(times):
            try:
                out.write(CONTENT)
            finally:
                most.append(os.fstat(out.fileno()).st_size)

    honest, hub.send = hub.send, too_much
    with pytest.raises(RefocusError, match="more than its 21,000 bytes: it was thrown away"):
        fetch_file(file, models_root)
    assert max(most) == len(CONTENT) and not [p for p in models_root.rglob("*") if p.is_file()]
    hub.send = honest
    assert fetch_file(file, models_root).read_bytes() == CONTENT


def test_less_than_was_offered_is_not_the_file(models_root, hub):
    """Also where the manifest knows neither size nor hash, and the library says nothing."""
    hub.send = lambda out, begun: out.write(CONTENT[:7000])
    with pytest.raises(RefocusError, match="came as 7,000 bytes, but 21,000 are needed"):
        fetch_file(entry(None, None), models_root)
    assert not [p for p in models_root.rglob("*") if p.is_file()]


@pytest.mark.parametrize("size", [None, 0, -5])
def test_an_unknown_size_is_not_fetched(models_root, hub, size):
    hub.offer["size"] = size
    with pytest.raises(RefocusError, match="a size is needed to know when it is whole"):
        fetch_file(entry(None, None), models_root)
    assert not hub.sent


def wrong(path):
    path.write_bytes(CONTENT[:7000][::-1])


def longer(path):
    path.write_bytes(CONTENT + b"x")


def whole_but_wrong(path):
    path.write_bytes(CONTENT[::-1])


def link(path):
    path.symlink_to(path.parent.parent.parent.parent / "victim")


def shared(path):
    os.link(path.parent.parent.parent.parent / "victim", path)


def pipe(path):
    os.mkfifo(path)


def folder(path):
    (path / "a").mkdir(parents=True)


@pytest.mark.parametrize(
    "make, asked",
    [(wrong, [7000, 0]), (longer, [0]), (whole_but_wrong, [0]), (link, [0]), (shared, [0]), (pipe, [0]), (folder, [0])],
)
@posix
def test_a_part_that_cannot_be_right_is_thrown_away_and_the_file_fetched_anew(models_root, tmp_path, hub, make, asked):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    make(part_of(models_root))
    assert fetch_file(entry(), models_root).read_bytes() == CONTENT
    assert hub.sent == asked and victim.read_bytes() == b"mine"


def test_a_hub_that_has_nothing_behind_the_part_is_asked_anew(models_root, hub):
    """416 to a question for a range would come again at every later fetch."""
    part_of(models_root).write_bytes(CONTENT[:7000])
    send = hub.send

    def refuses(out, begun):
        if begun:
            error = OSError("416 Range Not Satisfiable")
            error.response = SimpleNamespace(status_code=416)
            raise error
        send(out, begun)

    hub.send = refuses
    assert fetch_file(entry(), models_root).read_bytes() == CONTENT and hub.sent == [7000, 0]


@pytest.mark.parametrize("place", [WAITING_ROOM, f"{WAITING_ROOM}/some--repo--one.safetensors", "loras/repo"])
@posix
def test_links_to_other_folders_are_refused(models_root, tmp_path, hub, place):
    (tmp_path / "elsewhere").mkdir()
    (models_root / place).parent.mkdir(exist_ok=True)
    (models_root / place).symlink_to(tmp_path / "elsewhere")
    hub.offer["size"] = len(CONTENT)
    with pytest.raises(RefocusError, match="is a link, but a folder is needed"):
        fetch_file(entry(path="sub/one.safetensors" if "loras" in place else "one.safetensors"), models_root)
    assert not list((tmp_path / "elsewhere").iterdir()) and not hub.sent


@posix
def test_a_host_folder_on_another_disk_and_a_dangling_link_in_the_place(models_root, tmp_path, hub, monkeypatch):
    """models/loras may be a link of the artist's; os.replace cannot reach another disk."""
    (tmp_path / "disk").mkdir()
    (models_root / "loras").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "one.safetensors").symlink_to(tmp_path / "nowhere")
    replace = os.replace

    def across(old, new):
        if WAITING_ROOM in str(old):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(old, new)

    monkeypatch.setattr(fetching.os, "replace", across)
    assert fetch_file(entry(), models_root).read_bytes() == CONTENT
    assert [p.name for p in (tmp_path / "disk").iterdir()] == ["one.safetensors"]
    assert not (tmp_path / "disk" / "one.safetensors").is_symlink() and not (tmp_path / "nowhere").exists()
    assert not (models_root / WAITING_ROOM).exists()


@pytest.mark.parametrize("path, folder", [("../one.safetensors", "loras"), ("one.safetensors", "../up"), ("a", "/tmp")])
def test_no_file_gets_a_place_outside_of_its_folder(models_root, hub, path, folder):
    with pytest.raises(RefocusError, match="would lie outside"):
        fetch_file(entry(path=path, folder=folder), models_root)
    assert not hub.sent


def test_a_folder_in_the_place_is_told_before_anything_comes(models_root, hub):
    (models_root / "loras" / "one.safetensors").mkdir(parents=True)
    with pytest.raises(RefocusError, match="is a folder, but the file belongs there"):
        fetch_file(entry(), models_root)
    assert not hub.sent


def test_a_part_takes_what_it_has_room_for_and_no_more(tmp_path):
    path = tmp_path / "part"
    with Part(path, 10) as part:
        assert part.write(b"12345") == 5
        with pytest.raises(TooLong):
            part.write(b"123456")
        assert part.tell() == 5
    assert come(path, 10) == 5
    with Part(path, 10) as part:
        assert part.tell() == 5 and part.write(memoryview(b"67890")) == 5
    assert path.read_bytes() == b"1234567890" and come(path, 9) == 0 and not path.exists()


@pytest.mark.parametrize("given", ["x" * 5000, "x/" * 150, "~nobody-of-this-name/models", "a\0b"])
def test_a_models_folder_that_cannot_be_is_one_sentence(given):
    with pytest.raises(RefocusError, match=r"the models folder .* does not exist") as error:
        models_folder(given)
    assert len(str(error.value)) <= 400


def test_long_paths_are_cut(tmp_path, hub):
    models = tmp_path.joinpath(*["folder" * 30] * 4)
    (models / "loras" / "one.safetensors").mkdir(parents=True)
    with pytest.raises(RefocusError, match=r"\.\.\. is a folder, but the file belongs there") as error:
        fetch_file(entry(), models)
    assert len(str(error.value)) <= 400
