"""What workflows rely on: node types with their inputs and outputs. Written by: python -m dev.host schema.

The command writes what follows from them as well: the tables of the nodes' help and the texts of locales/.
"""

import json
from pathlib import Path

from . import tables, texts
from .paths import ROOT
from .server import Host

# The pack's version in which a node's inputs or outputs last changed. Every saved node carries it as `ver`, so that a
# version of the pack without such a change leaves all workflow files as they are. Set it at a release that changes it.
SCHEMA_VERSION = "0.1.0"
FILE = Path(ROOT) / "tests" / "data" / "schema.json"


def schema(object_info: dict) -> dict:
    """{node id: {inputs: {name: [type or choices, default]}, outputs: [[name, type, is list]]}} of the pack's nodes."""
    found = {}
    for name, info in sorted(object_info.items()):
        if info["python_module"] != "custom_nodes.rackfocus":
            continue
        inputs = {}
        for section in ("required", "optional"):
            for key, (kind, *options) in info["input"].get(section, {}).items():
                kind = options[0].get("options", kind) if kind == "COMBO" else kind
                inputs[key] = [kind, options[0].get("default") if options else None, section]
        outputs = zip(info["output_name"], info["output"], info["output_is_list"], strict=True)
        found[name] = {"inputs": inputs, "outputs": [list(o) for o in outputs]}
    return found


def main():
    with Host() as host, host.client() as client:
        info = client.object_info()
    FILE.write_text(json.dumps(schema(info), indent=1) + "\n", encoding="ascii")
    texts.write(info)
    tables.write(info)
