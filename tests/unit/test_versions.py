"""Versions: of the pack, of what saved workflows carry, of what the change log tells."""

import json
import re

from rackfocus.dev.host.schema import SCHEMA_VERSION
from rackfocus.dev.workflows import build

INFO = {
    "name": "RefocusLens",
    "python_module": "custom_nodes.rackfocus",
    "input": {},
    "output": ["MASK"],
    "output_name": ["near"],
}


def number(version):
    return tuple(int(part) for part in version.split("."))


def pack_version(root):
    return re.search(r'^version = "(.+)"', (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]


def test_a_node_carries_the_version_of_its_schema(monkeypatch):
    """And not that of the pack, which would rewrite every workflow file at each release."""
    monkeypatch.setattr(build, "SCHEMA_VERSION", "0.0.7")
    flow = build.Flow({"RefocusLens": INFO})
    flow.node("RefocusLens")
    (node,) = flow.to_dict()["nodes"]
    assert node["properties"] == {"cnr_id": "rackfocus", "ver": "0.0.7", "Node name for S&R": "RefocusLens"}


def test_every_workflow_file_carries_it(root):
    files = sorted((root / "workflows").glob("*.json"))
    nodes = [node for file in files for node in json.loads(file.read_text(encoding="utf-8"))["nodes"]]
    ours = [node["properties"]["ver"] for node in nodes if node["properties"].get("cnr_id") == "rackfocus"]
    assert len(ours) > len(files) and set(ours) == {SCHEMA_VERSION}


def test_the_schema_is_not_newer_than_the_pack(root):
    assert number(SCHEMA_VERSION) <= number(pack_version(root))


def test_the_change_log_tells_of_this_version(root):
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    told = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert told[0] == "Unreleased" and told[1] == pack_version(root)
    assert [number(v) for v in told[1:]] == sorted(map(number, told[1:]), reverse=True)
