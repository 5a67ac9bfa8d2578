from pathlib import Path

import pytest

from rackfocus.dev.host.node_rules import node_classes, violations

try:
    import tomllib
except ImportError:  # Python 3.10; pytest brings it there
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "nodes").rglob("*.py"))

GOOD = """
class Lens(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(node_id="Lens")
"""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_scanner_can_read_every_node(path):
    assert not violations(path.read_text(encoding="utf-8"))


def test_node_ids_are_unique():
    names = [name for path in MODULES for name in node_classes(path.read_text(encoding="utf-8"))]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "bad",
    [
        GOOD.replace('"Lens"', '"RackLens"'),
        GOOD.replace('"Lens"', "NAME"),
        GOOD.replace("io.ComfyNode", "Base"),
        GOOD.replace("io.ComfyNode", "Mixin, io.ComfyNode"),
        GOOD.replace("Schema(", "make("),
        GOOD + "NODE_CLASS_MAPPINGS = {}",
    ],
)
def test_rules_find_what_the_scanner_would_miss(bad):
    assert violations(bad) and not violations(GOOD)


def test_project_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    comfy = project["tool"]["comfy"]
    assert project["project"]["name"] == comfy["PublisherId"] == "rackfocus"
    assert comfy["requires-comfyui"] == ">=0.3.64"
    assert "web" not in comfy  # every script would load twice
    assert not [name for name in project["project"]["dependencies"] if name.startswith(("torch", "numpy", "opencv"))]


def test_the_oldest_comfyui_is_tested(root):
    """The floor that the registry shows is one of those that pull requests run on."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    floor = project["tool"]["comfy"]["requires-comfyui"].removeprefix(">=")
    check = (root / ".github" / "workflows" / "check.yml").read_text(encoding="utf-8")
    assert f"v{floor}," in check.split("comfyui: [")[1].split("]")[0]
