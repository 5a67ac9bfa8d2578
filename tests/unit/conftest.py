import json

import pytest


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """write(entry, ...) puts another manifest in the place of the real one."""

    from rackfocus.weights import manifest as module

    def write(*files):
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps({"files": files}))
        monkeypatch.setattr(module, "MANIFEST", path)

    return write


@pytest.fixture
def models_root(tmp_path):
    """An empty models folder."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models"
