"""The drawing in docs/architecture.md: rooms of the house, and who imports whom, read from the sources.

`python -m dev.pictures architecture` writes it between two marks; a test says when it is no longer the code's.
"""

import ast
import re
from pathlib import Path

from ..host.paths import ROOT

FILE = Path(ROOT) / "docs" / "architecture.md"
START, END = "<!-- drawing: python -m dev.pictures architecture -->", "<!-- end of drawing -->"
CODE = ("nodes", "pipelines", "training", "weights")


def sources(root: Path) -> list[Path]:
    """The pack's modules, relative to the root."""
    return sorted(path.relative_to(root) for name in CODE for path in (root / name).rglob("*.py"))


def room(path: Path, tree: ast.Module) -> str:
    """The room of a module: its folder; of nodes/ itself the seam, an engine of one file, the nodes, or the host's."""
    folder, name = path.parts[:-1], path.stem
    if folder[0] == "pipelines":
        return "/".join(path.parts[:2]).removesuffix(".py")
    if folder != ("nodes",):
        return "/".join(folder)
    if name in ("__init__", "engines", "queued", "routes", "stack_film") or _defines_a_node(tree):
        return "nodes/engines" if name == "engines" else "nodes"
    return f"nodes/{name}" if _assigned(tree, "PURPOSE") else "nodes/host"


def _defines_a_node(tree) -> bool:
    return any(
        isinstance(n, ast.ClassDef) and any(ast.unparse(b) == "io.ComfyNode" for b in n.bases) for n in tree.body
    )


def _assigned(tree, name: str):
    """The literal value that a module gives to a name, or None."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    return None


def imported(path: Path, tree: ast.Module):
    """(path without .py of what may be a module, whether by name in a list) for each import of the pack itself."""
    package = list(path.parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                yield "/".join([*base, alias.name]), False
            yield "/".join(base), False
    for name in _assigned(tree, "_MODULES") or ():
        yield "/".join([*package, name]), True


def graph(root: Path = Path(ROOT)):
    """(rooms {name: its files' names}, arrows {(from, to)}, arrows by a list of names)."""
    trees = {path: ast.parse((root / path).read_text(encoding="utf-8")) for path in sources(root)}
    where = {}
    rooms: dict[str, list[str]] = {}
    for path, tree in trees.items():
        if path == Path("pipelines/__init__.py"):
            continue
        where[path.with_suffix("").as_posix().removesuffix("/__init__")] = home = room(path, tree)
        name = ""  # a room of one file is named already
        if home in (path.parent.as_posix(), "nodes/host"):
            name = path.stem
        elif path.parent.as_posix().startswith(home + "/"):
            name = path.parent.as_posix().removeprefix(home + "/")
        files = rooms.setdefault(home, [])
        if name and not name.startswith("__") and name not in files:
            files.append(name)
    arrows, by_name = set(), set()
    for path, tree in trees.items():
        for target, listed in imported(path, tree):
            a, b = where.get(path.with_suffix("").as_posix().removesuffix("/__init__")), where.get(target)
            if a and b and a != b:
                (by_name if listed else arrows).add((a, b))
    return rooms, arrows, by_name - arrows


def needed(arrows: set) -> set:
    """The arrows that do not follow from others: the transitive reduction. Raises ValueError for a circle."""
    targets: dict[str, set] = {}
    for a, b in arrows:
        targets.setdefault(a, set()).add(b)

    def reached(start, seen):
        for b in targets.get(start, ()):
            if b == seen[0]:
                raise ValueError(f"a circle of imports through {seen[0]}: {sorted(arrows)}")
            if b not in seen:
                seen.append(b)
                reached(b, seen)
        return seen

    far = {a: set(reached(a, [a])[1:]) for a in targets}
    return {(a, b) for a, b in arrows if not any(b in far.get(c, ()) for c in targets[a] - {b})}


def drawing(root: Path = Path(ROOT)) -> str:
    """The mermaid text."""
    rooms, arrows, by_name = graph(root)
    names = {name: re.sub(r"\W", "_", name) for name in rooms}
    lines = ["```mermaid", "flowchart TD"]
    for top, what in (
        ("nodes", "nodes: knows ComfyUI"),
        ("pipelines", "pipelines: torch, no ComfyUI"),
        ("training", ""),
        ("weights", ""),
    ):
        inside = [name for name in sorted(rooms) if name.split("/")[0] == top]
        boxes = [_box(names[name], name, rooms[name]) for name in inside]
        if what:
            boxes = [f'subgraph {top}_["{what}"]', *boxes, "end"]
        lines += [f"    {box}" for box in boxes]
    lines += [f"    {names[a]} --> {names[b]}" for a, b in sorted(needed(arrows))]
    lines += [f"    {names[a]} -. list of names .-> {names[b]}" for a, b in sorted(by_name)]
    return "\n".join([*lines, "```"])


def _box(key: str, name: str, files: list[str]) -> str:
    label = f"<b>{name}</b>" + ("<br/>" + ", ".join(files) if files else "")
    return f'{key}["{label}"]'


def written(text: str, root: Path = Path(ROOT)) -> str:
    """The document with the drawing as the code is now."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{drawing(root)}\n\n{END}{after}"


def main():
    FILE.write_text(written(FILE.read_text(encoding="utf-8")), encoding="utf-8")
    print(FILE.relative_to(ROOT))
