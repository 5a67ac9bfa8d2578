"""The tables in web/docs/<node>.md, from the schema. Written by: python -m dev.host schema.

What stands outside the marks is written by hand and stays.
"""

from pathlib import Path

from ..workflows.widgets import inputs_of
from .paths import ROOT
from .texts import ours

FOLDER = Path(ROOT) / "web" / "docs"
START, END = "<!-- tables: python -m dev.host schema -->", "<!-- end of tables -->"
WORDS = {
    "STRING": "text",
    "FLOAT": "number",
    "INT": "number",
    "VAE": "VAE",
    "CLIP": "CLIP",
    "CLIP_VISION": "CLIP vision",
}
HIDDEN = "The node hides what does not act, and folds advanced inputs away."
ANY = 2**32  # a limit above it says nothing


def page(node: str) -> Path:
    return FOLDER / f"{node}.md"


def tables(info: dict) -> str:
    """Inputs and outputs of one node, from its entry in /object_info. One column: the page's panel is narrow."""
    inputs = [
        _row(f"**{i.name}**: {_values(i)}" + ", advanced" * bool(i.options.get("advanced")), _effect(i))
        for i in inputs_of(info)
    ]
    outputs = zip(info["output_name"], info["output"], info["output_tooltips"], strict=True)
    given = [
        _row(f"**{name}**" if name == kind else f"**{name}**: {_kind(kind)}", about) for name, kind, about in outputs
    ]
    hides = any("rackfocus" in i.options or i.options.get("advanced") for i in inputs_of(info))
    return "\n".join(
        ["## Inputs", "", *([HIDDEN, ""] if hides else []), "| name: default (or) |", "|---|", *inputs, ""]
        + ["## Outputs", "", "| name: type |", "|---|", *given]
    )


def _row(*lines) -> str:
    return "| " + "<br>".join(lines).replace("|", "\\|").replace("\n", "<br>") + " |"


def _kind(kind: str) -> str:
    """A type in words: IMAGE,MASK is image or mask."""
    return " or ".join(WORDS.get(name, name.lower().replace("_", " ")) for name in kind.split(",") if name != "COMBO")


def _values(i) -> str:
    """The default, and what else it may be; for a socket its type."""
    o = i.options
    if not i.is_widget:
        return _kind(i.type) + ("" if i.required else ", optional")
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
    """Its tooltip; below it where it acts, if that is not everywhere (`acts` of nodes/host.py)."""
    rows = i.options.get("rackfocus", {}).get("acts", [{}])
    told = [" and ".join(_condition(*c) for c in row.items() if not _is_told(i, *c)) for row in rows]
    tooltip = i.options["tooltip"]
    return tooltip if "" in told else f"{tooltip}<br>*Acts where {'; or '.join(told)}.*"


def _is_told(i, name, condition) -> bool:
    """Whether the tooltip begins with the engine that it is for."""
    return name.split(".")[-1] == "engine" and [i.options["tooltip"].split(":")[0]] == condition


def _condition(name: str, condition) -> str:
    """One condition in words."""
    owner, _, widget = name.rpartition(".")
    name = f"{widget} of {owner}" if owner else name
    if isinstance(condition, dict) and "match" in condition:
        return f"{name} asks for it"
    denied = isinstance(condition, dict)
    values = condition["not"] if denied else condition
    said = [f"{name} is {'not ' * denied}{' or '.join(str(v) for v in values if v is not None)}"] * (values != [None])
    if None in values:
        said.append(f"{owner or name} is {'' if denied else 'not '}connected")
    return (" and " if denied else " or ").join(said)


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
