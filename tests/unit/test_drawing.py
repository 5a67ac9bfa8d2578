"""docs/architecture.md against the code: rooms, arrows, and the drawing itself."""

import pytest

from rackfocus.dev.pictures.architecture import FILE, drawing, graph, needed, written


def test_the_drawing_is_that_of_the_code():
    text = FILE.read_text(encoding="utf-8")
    assert text == written(text), "run python -m dev.pictures architecture"


def test_the_drawing_sees_a_new_import(root, tmp_path):
    for name in ("nodes", "pipelines", "training", "weights"):
        (tmp_path / name).mkdir()
    (tmp_path / "nodes" / "lens.py").write_text("class Lens(io.ComfyNode):\n    pass\n")
    (tmp_path / "nodes" / "__init__.py").write_text("from .lens import Lens\n")
    (tmp_path / "pipelines" / "optics.py").write_text("")
    before = drawing(tmp_path)
    (tmp_path / "nodes" / "__init__.py").write_text("from ..pipelines.optics import x\n")
    assert "nodes --> pipelines_optics" in drawing(tmp_path) and "-->" not in before


def test_arrows_that_follow_from_others_are_left_out():
    assert needed({("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d")}) == {("a", "b"), ("b", "c"), ("c", "d")}
    with pytest.raises(ValueError, match="a circle of imports"):
        needed({("a", "b"), ("b", "c"), ("c", "a")})


def test_every_module_has_a_room(root):
    rooms, arrows, by_name = graph(root)
    assert {"nodes", "nodes/host", "pipelines/image", "pipelines/optics", "pipelines/optical", "weights"} <= set(rooms)
    assert not [a for a in arrows if a[0].startswith("pipelines") and not a[1].startswith("pipelines")]
    assert not [a for a in arrows if a[0] == "pipelines/image"]
    assert {a for a, _ in by_name} <= {"nodes/engines"}
