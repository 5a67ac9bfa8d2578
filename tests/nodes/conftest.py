"""ComfyUI as a library in this process; no server is started."""

import pytest

from rackfocus.dev.host.library import use_comfy
from rackfocus.dev.tiny import depth as tiny_depth

use_comfy()  # before the test modules import the host's


@pytest.fixture(autouse=True)
def previews(monkeypatch, tmp_path):
    import folder_paths

    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path))


@pytest.fixture(scope="session")
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
