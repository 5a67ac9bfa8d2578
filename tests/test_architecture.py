"""Arrows point one way: nodes -> engines -> optics, flux -> image; engines never import one another."""

import ast

import pytest

HOST = {"comfy", "comfy_api", "comfy_extras", "comfy_execution", "folder_paths", "latent_preview", "nodes", "server"}
# What each shared room may import of the pack beside itself. Every other folder of pipelines/ is an engine.
SHARED = {"image": set(), "files": {"image"}, "optics": {"image"}, "flux": {"image", "files"}}


def imported(path, package):
    """Dotted names a file imports, relative ones resolved inside `package` (a tuple)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = [*base, *(node.module.split(".") if node.module else [])]
            yield from (".".join([*module, alias.name]) for alias in node.names)


def imports(root, *folders):
    """(file relative to the root, dotted name) of every import in these folders."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            file = path.relative_to(root)
            for name in imported(path, ("rackfocus", *file.parts[:-1])):
                yield file, name


def room(name, inside):
    """The room that a dotted name of the pack belongs to below `inside` (nodes or pipelines), else None."""
    parts = name.split(".")
    return parts[2] if parts[:2] == ["rackfocus", inside] and len(parts) > 2 else None


def engines(root, inside):
    """Names of the engines: nodes/engines.py lists them, and a folder of that name may lie below `inside`."""
    listed = next(
        node.value
        for node in ast.parse((root / "nodes" / "engines.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "_MODULES"
    )
    return {name for name in ast.literal_eval(listed) if (root / inside / name).is_dir()}


def test_only_nodes_know_the_host(root):
    folders = ("pipelines", "training", "weights")
    wrong = [(str(file), name) for file, name in imports(root, *folders) if name.split(".")[0] in HOST]
    wrong += [
        (str(file), name)
        for file, name in imports(root, *folders)
        if name.startswith(("rackfocus.nodes", "rackfocus.dev"))
    ]
    assert not wrong


def test_nothing_needs_the_training(root):
    wrong = [
        pair for pair in imports(root, "nodes", "pipelines", "weights") if pair[1].startswith("rackfocus.training")
    ]
    assert not wrong


def test_the_engines_are_the_folders_that_are_not_shared(root):
    folders = {path.name for path in (root / "pipelines").iterdir() if (path / "__init__.py").exists()}
    assert folders == set(SHARED) | {"depth"} | engines(root, "pipelines")


def test_engines_import_the_shared_rooms_and_never_one_another(root):
    wrong = []
    for file, name in imports(root, "pipelines"):
        owner, target = file.parts[1], room(name, "pipelines")
        allowed = SHARED.get(owner, set(SHARED)) | {owner}
        if len(file.parts) > 2 and target is not None and target not in allowed:
            wrong.append((str(file), name))
    assert not wrong


def test_no_node_of_one_engine_imports_another(root):
    folders, wrong = engines(root, "pipelines"), []
    for file, name in imports(root, "nodes"):
        owner, mine = file.parts[1], file.parts[1].removesuffix(".py")
        for inside in ("nodes", "pipelines"):
            target = room(name, inside)
            if mine in folders and target in folders - {mine}:
                wrong.append((str(file), name))
            # What all engines share reaches an engine through the list alone.
            if (
                owner in ("abilities.py", "blur.py", "model.py", "engines.py", "host.py", "sampling.py", "flux")
                and target in folders
            ):
                wrong.append((str(file), name))
    assert not wrong


# What is asked by getattr of an input, of a RefocusModel, of a VAE: not of the host.
NOT_THE_HOST = {"default", "engine", "decoder"}
MISSING = {"ImportError", "ModuleNotFoundError", "AttributeError"}


def probes(source):
    """(line, what) of whatever asks the host which one it is: its version, or whether a name is there."""
    for node in ast.walk(ast.parse(source)):
        words = (
            ast.unparse(node) if isinstance(node, ast.Call | ast.ExceptHandler | ast.Import | ast.ImportFrom) else ""
        )
        if isinstance(node, ast.Call):
            asked = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[1].value if len(node.args) > 1 and isinstance(node.args[1], ast.Constant) else None
            if asked in ("hasattr", "fields", "signature") or (asked == "getattr" and name not in NOT_THE_HOST):
                yield node.lineno, words
        elif isinstance(node, ast.ExceptHandler) and node.type is not None:
            if MISSING & {part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)}:
                yield node.lineno, words
        elif "version" in words:
            yield node.lineno, words


def test_one_module_asks_what_the_host_can_do(root):
    """nodes/abilities.py; everything else runs on every host, or asks there."""
    files = [path for path in (root / "nodes").rglob("*.py") if path != root / "nodes" / "abilities.py"]
    found = [(str(path), *probe) for path in files for probe in probes(path.read_text(encoding="utf-8"))]
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "kind = getattr(comfy.model_patcher, 'CoreModelPatcher', None)",
        "if hasattr(io, 'DynamicCombo'): pass",
        "known = dataclasses.fields(io.Schema)",
        "inspect.signature(io.Schema)",
        "from comfyui_version import __version__",
        "try:\n    import comfy.new\nexcept (ImportError, OSError):\n    pass",
    ],
)
def test_it_sees_who_asks(source):
    assert list(probes(source)) and not list(probes("x = getattr(i, 'default', None)"))


@pytest.mark.parametrize("folder", ["nodes", "pipelines", "training", "weights"])
def test_no_file_is_too_long_to_read(root, folder):
    assert not [str(path) for path in (root / folder).rglob("*.py") if len(path.read_text().splitlines()) > 400]
