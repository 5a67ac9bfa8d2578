"""Arrows point one way: nodes -> engines -> optics."""

import ast

SHARED = {"image", "optics", "flux"}
HOST = {"comfy", "comfy_api", "comfy_extras", "comfy_execution", "folder_paths", "latent_preview", "nodes", "server"}


def imported(path, package):
    """Dotted names a file imports, relative ones resolved inside `package` (a tuple)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = [*base, *(node.module.split(".") if node.module else [])]
            yield from (".".join([*module, alias.name]) for alias in node.names)


def pipeline_imports(root):
    for path in sorted((root / "pipelines").rglob("*.py")):
        package = ("rackfocus", *path.relative_to(root).parts[:-1])
        for name in imported(path, package):
            yield path.relative_to(root), name


def test_pipelines_know_nothing_of_the_host(root):
    wrong = [(str(path), name) for path, name in pipeline_imports(root) if name.split(".")[0] in HOST]
    wrong += [(str(path), name) for path, name in pipeline_imports(root) if name.startswith("rackfocus.nodes")]
    assert not wrong


def test_no_engine_imports_another(root):
    engines = {path.name for path in (root / "pipelines").iterdir() if path.is_dir()} - {*SHARED, "__pycache__"}
    wrong = []
    for path, name in pipeline_imports(root):
        owner, parts = path.parts[1], name.split(".")
        target = parts[2] if parts[:2] == ["rackfocus", "pipelines"] and len(parts) > 2 else None
        if owner in engines | SHARED and target in engines - {owner}:
            wrong.append((str(path), name))
    assert not wrong
