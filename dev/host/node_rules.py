"""What the registry's scanner can see of a node module without running it."""

import ast
from pathlib import Path

from .paths import ROOT, UserError


def _name(node):
    return ast.unparse(node)


def node_classes(source):
    """Names of the classes in a module's source that define a node."""
    return [entry.name for entry in _definitions(source)]


def _definitions(source):
    for entry in ast.walk(ast.parse(source)):
        if isinstance(entry, ast.ClassDef):
            methods = {item.name for item in entry.body if isinstance(item, ast.FunctionDef)}
            if "define_schema" in methods or any(_name(base).endswith("ComfyNode") for base in entry.bases):
                yield entry


def violations(source):
    """One sentence for each rule a module breaks: direct base io.ComfyNode, literal node_id equal to the class name."""
    found = []
    for entry in _definitions(source):
        if [_name(base) for base in entry.bases] != ["io.ComfyNode"]:
            found.append(f"{entry.name} is not a direct subclass of io.ComfyNode alone")
        schemas = [call for call in ast.walk(entry) if isinstance(call, ast.Call)]
        schemas = [call for call in schemas if _name(call.func) in ("Schema", "io.Schema")]
        ids = [word.value for call in schemas for word in call.keywords if word.arg == "node_id"]
        if len(ids) != 1 or not isinstance(ids[0], ast.Constant) or ids[0].value != entry.name:
            found.append(f"{entry.name} has no Schema(node_id={entry.name!r}, ...) call with a literal id")
    if any(isinstance(node, ast.Name) and node.id == "NODE_CLASS_MAPPINGS" for node in ast.walk(ast.parse(source))):
        found.append("NODE_CLASS_MAPPINGS would keep the entry point from being called")
    return found


def main():
    said = [
        f"{path.relative_to(ROOT)}: {sentence}"
        for path in sorted((Path(ROOT) / "nodes").rglob("*.py"))
        for sentence in violations(path.read_text(encoding="utf-8"))
    ]
    if said:
        raise UserError("\n".join(["the registry's scanner would not read these:", *said]))
    print("Every node can be read by the registry's scanner.")
