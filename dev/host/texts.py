"""locales/<language>/nodeDefs.json: what the page shows of every node. Written by: python -m dev.host schema.

English is the schema's own. A translation stays while the English that it was made from stays; where that changed, the
translation is dropped, and tests/host/test_texts.py names what is to be translated. Type it into the file as it is
written: the command turns it into the escapes that sources are made of.

The page reads nodeDefs.<node>.display_name, .description, .inputs.<name>.name and .tooltip, .outputs.<place>.name and
.tooltip. A translated name is a label alone: workflows and prompts keep the input's own. Values of lists are not
translated: no front end reads such a key. The name of an output that is its type is the page's own to translate.
"""

import json
from pathlib import Path

from .paths import ROOT

FOLDER = Path(ROOT) / "locales"
ENGLISH, TRANSLATED = "en", ("ja", "zh")
# What the page's translator takes for its own signs: a text that holds one would be shown cut or not at all.
SIGNS = set("{}@|")


def file(language: str) -> Path:
    return FOLDER / language / "nodeDefs.json"


def ours(object_info: dict) -> dict:
    """{node id: its entry} of the pack's nodes."""
    return {name: i for name, i in sorted(object_info.items()) if i["python_module"] == "custom_nodes.rackfocus"}


def english(object_info: dict) -> dict:
    """What nodeDefs.json holds in English."""
    return {name: _node(info) for name, info in ours(object_info).items()}


def _node(info: dict) -> dict:
    node = {"display_name": info["display_name"], "description": info["description"]}
    inputs = {
        name: spec for section in ("required", "optional") for name, spec in info["input"].get(section, {}).items()
    }
    node["inputs"] = {name: {"name": name, "tooltip": spec[1]["tooltip"]} for name, spec in inputs.items()}
    node["outputs"] = {}
    outputs = zip(info["output_name"], info["output"], info["output_tooltips"], strict=True)
    for place, (name, kind, tooltip) in enumerate(outputs):
        node["outputs"][str(place)] = {**({} if name == kind else {"name": name}), "tooltip": tooltip}
    return node


def flat(tree: dict, above=()) -> dict:
    """{path: text} of a tree of texts."""
    found = {}
    for key, value in tree.items():
        found.update(flat(value, (*above, key)) if isinstance(value, dict) else {(*above, key): value})
    return found


def _tree(texts: dict) -> dict:
    tree: dict = {}
    for path, text in texts.items():
        place = tree
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = text
    return tree


def kept(before: dict, now: dict, translation: dict) -> dict:
    """The part of a translation whose English is as it was, in the order of the English; texts that moved come along.

    before, now: the English that it was made from, and that of today.
    """
    before, now, translation = flat(before), flat(now), flat(translation)
    known = {text: translation[path] for path, text in before.items() if path in translation}
    same = {
        p: translation[p] if before.get(p) == text and p in translation else known.get(text) for p, text in now.items()
    }
    return _tree({path: text for path, text in same.items() if text is not None})


def read(language: str) -> dict:
    return json.loads(file(language).read_text(encoding="utf-8")) if file(language).exists() else {}


def write(object_info: dict):
    before, now = read(ENGLISH), english(object_info)
    for language in TRANSLATED:
        _save(language, kept(before, now, read(language)))
    _save(ENGLISH, now)


def _save(language: str, tree: dict):
    file(language).parent.mkdir(parents=True, exist_ok=True)
    file(language).write_text(json.dumps(tree, indent=1) + "\n", encoding="ascii")
