"""The tables in web/docs/<node>.md, from the schema. Written by: python -m dev.host schema.

What stands outside the marks is written by hand and stays.
"""

from pathlib import Path

from ..workflows.widgets import inputs_of
from .paths import ROOT
from .texts import ours

FOLDER = Path(ROOT) / "web" / "docs"
START, END = "<!-- tables: python -m dev.host schema -->", "<!-- end of tables -->"
ANY = 2**32  # a limit above it says nothing


def page(node: str) -> Path:
    return FOLDER / f"{node}.md"


def tables(info: dict) -> str:
    """Inputs and outputs of one node, from its entry in /object_info."""
    lines = ["## Inputs", "", "| input | what it does |", "|---|---|"]
    lines += [_row(f"**{i.name}**<br>{_values(i)}", _effect(i)) for i in inputs_of(info)]
    lines += ["", "## Outputs", "", "| output | what it is |", "|---|---|"]
    for name, kind, tooltip in zip(info["output_name"], info["output"], info["output_tooltips"], strict=True):
        lines.append(_row(f"**{name}**" + ("" if name == kind else f"<br>{kind}"), tooltip))
    return "\n".join(lines)


def _row(*cells) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"


def _values(i) -> str:
    """The default, and what else it may be; for a socket its type."""
    o = i.options
    if not i.is_widget:
        return i.type.replace(",", " or ") + ("" if i.required else ", optional")
    if i.type == "COMBO":
        choices = [str(choice) for choice in o["options"]]
        others = ", ".join(choice for choice in choices if choice != str(i.default))
        return f"{i.default} (or {others})" if others else "a file of the list"
    if i.type == "BOOLEAN":
        return "on (or off)" if i.default else "off (or on)"
    if i.type in ("INT", "FLOAT"):
        return (
            f"{i.default:g} ({o['min']:g} to {o['max']:g})" if o["max"] < ANY else f"{i.default:g} (any whole number)"
        )
    return "text"


def _effect(i) -> str:
    return i.options["tooltip"]


def filled(text: str, info: dict) -> str:
    """A page's text with its tables as the schema has them."""
    before, rest = text.split(START)
    return f"{before}{START}\n\n{tables(info)}\n\n{END}{rest.split(END)[1]}"


def write(object_info: dict):
    """Fill every page; a node without one gets a page of its tables alone."""
    for node, info in ours(object_info).items():
        new = f"# {info['display_name']}\n\n{info['description']}\n\n{START}\n{END}\n"
        text = page(node).read_text(encoding="utf-8") if page(node).exists() else new
        page(node).write_text(filled(text, info), encoding="ascii")
