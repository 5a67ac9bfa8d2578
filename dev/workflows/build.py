"""Write workflows in UI form (version 0.4) as readable Python.

flow = Flow(client.object_info())
photo = flow.node("LoadImage", "Photo", image="photo.png")
blur = flow.node("ImageBlur", image=photo["IMAGE"], blur_radius=8)
save = flow.node("SaveImage", images=blur["IMAGE"], filename_prefix="blurred")
flow.lay_out(("Your photo", [flow.note("**Any** picture."), photo]), ("Result", [blur], [save]))
flow.save("workflows/blur.json")

Convention: the page's pixels, x to the right, y down; a node's place is the left top of what lies under its title.
"""

import json
import math
import re
import uuid
from pathlib import Path

from rackfocus.weights.manifest import model_entries

from ..host.paths import COMFY_VERSION
from ..host.schema import SCHEMA_VERSION
from .convert import WorkflowError, compatible
from .shown import shown_rows
from .widgets import UPLOADS, inputs_of, stored_order

CORE = ("nodes", "comfy_extras", "comfy_api_nodes")
# Nodes that show a picture, and the room they leave for it: (width, height).
SHOWS_PICTURE = {
    "SaveImage": (240, 240), "PreviewImage": (240, 200), "MaskPreview": (240, 200), "SaveAnimatedWEBP": (240, 300),
    "RefocusSample": (240, 230), "RefocusDepth": (240, 150), "ApertureShapeMask": (240, 190), "RefocusLens": (340, 290),
    "RefocusPhoto": (340, 290),
    "RefocusRack": (400, 400), "BokehSynthesize": (280, 250), "DeblurAiF": (260, 250), "FocalStackGenerate": (280, 280),
    "SelectFocusFrame": (280, 280), "StackFuse": (280, 250), "LoadRefocusModel": (240, 20),
}  # fmt: skip
LINK = re.compile(r"\[(.+?)\]\(.+?\)")
TITLE = 30  # height of a node's title, which lies above its place
GAP = 20  # between nodes, and from a node to the edge of its group
HEAD = 50  # of a group: its title


class Output:
    """One output of a node, to be given as the input of another.

    value: what a widget holds that it is linked to; None is the widget's default.
    """

    def __init__(self, node, slot, kind, value=None):
        self.node, self.slot, self.kind, self.value = node, slot, kind, value


class Node:
    """A node of a Flow. `node["IMAGE"]` or `node[0]` is one of its outputs.

    size, mode (2 muted, 4 bypassed), color, bgcolor and properties may be set freely. offer_models: whether the page
    offers the model files it names when they are missing.
    """

    def __init__(self, number, info, title, given):
        self.id, self.info, self.title, self.given = number, info, title, given
        self.at = (0, 0)
        self.mode, self.color, self.bgcolor, self.offer_models = 0, None, None, True
        core = info["python_module"].split(".")[0] in CORE
        self.properties = {
            "cnr_id": "comfy-core" if core else "rackfocus",
            "ver": COMFY_VERSION if core else SCHEMA_VERSION,
            "Node name for S&R": info["name"],
        }
        self.size = self._usual_size()

    def __getitem__(self, key):
        names = self.info["output_name"]
        if key not in names and key not in range(len(names)):
            raise WorkflowError(f"{self.info['name']} has no output {key!r}; it has {', '.join(names)}.")
        slot = key if isinstance(key, int) else names.index(key)
        return Output(self, slot, self.info["output"][slot])

    def _usual_size(self):
        """Enough for the Vue renderer, whose rows are the taller ones, and a picture where one is shown."""
        inputs = inputs_of(self.info)
        rows = shown_rows(self.info, self.given)
        tall = sum(1 for entry in inputs if entry.name in rows and entry.options.get("multiline"))
        upload = any(UPLOADS & entry.options.keys() for entry in inputs)
        sockets = max(sum(not entry.is_widget for entry in inputs), len(self.info["output"]))
        width, picture = SHOWS_PICTURE.get(self.info["name"], (240, 190 if upload else 0))
        return [width, 48 + 20 * sockets + 28 * len(rows) + 90 * tall + picture]


class Note:
    """A text in Markdown, as tall as it needs at its width."""

    def __init__(self, number, text, title, width):
        self.id, self.text, self.title, self.at = number, text, title, (0, 0)
        self.width = width

    @property
    def size(self):
        letters = (self.width - 24) / 6.4
        shown = LINK.sub(r"\1", self.text).replace("**", "").split("\n\n")
        lines = sum(math.ceil(len(paragraph) / letters) for paragraph in shown)
        return [self.width, 60 + 16 * lines + 9 * len(shown)]

    @size.setter
    def size(self, size):
        self.width = size[0]


class Flow:
    """A workflow being built."""

    def __init__(self, object_info):
        self.object_info = object_info
        self.nodes, self.links, self.groups, self.notes = [], [], [], []

    def node(self, kind, title=None, /, **inputs):
        """Add a node of a type the host knows. Keywords are its inputs by name: an Output to link, or a widget's value.

        Widgets not named have their default. Raises WorkflowError for a type, name or link that does not exist.
        """
        if kind not in self.object_info:
            raise WorkflowError(f"The host has no node type {kind}.")
        info = self.object_info[kind]
        known = {entry.name: entry for entry in inputs_of(info)}
        for name, value in inputs.items():
            if name not in known:
                raise WorkflowError(f"{kind} has no input {name!r}; it has {', '.join(known)}.")
            if isinstance(value, Output) and not compatible(value.kind, known[name].type):
                raise WorkflowError(f"{kind}.{name} takes {known[name].type}, and was given {value.kind}.")
            if not isinstance(value, Output) and not known[name].is_widget:
                raise WorkflowError(f"{kind}.{name} is not a widget: give it an output of another node.")
        missing = [e.name for e in known.values() if e.required and not e.is_widget and e.name not in inputs]
        if missing:
            raise WorkflowError(f"{kind} needs {', '.join(missing)}.")
        node = Node(self._next_id(), info, title, inputs)
        self.nodes.append(node)
        return node

    def note(self, text, title="Note", width=280):
        """Add a note, written in Markdown. No backticks: code cannot be read there in the Vue renderer."""
        note = Note(self._next_id(), text, title, width)
        self.notes.append(note)
        return note

    def lay_out(self, *groups):
        """Give everything its place: groups from left to right, each (title, column, column, ...).

        A column is a list of nodes and notes from top to bottom; a number among them is free space in pixels. A column
        is as wide as its widest node. Wires run behind nodes: leave room above a node for those that pass it by.
        """
        x = 0
        for title, *columns in groups:
            left, right, bottom, top = x, x, 0, math.inf
            x += GAP
            for column in columns:
                y, width = 0, max(item.size[0] for item in column if not isinstance(item, int))
                for item in column:
                    if isinstance(item, int):
                        y += item
                        continue
                    item.at, item.size = (x, y), (width, item.size[1])
                    top, bottom = min(top, y), max(bottom, y + item.size[1])
                    y += item.size[1] + TITLE + GAP
                right = x = x + width
                x += 2 * GAP
            box = [left, top - TITLE - HEAD, right + GAP - left, bottom - top + TITLE + HEAD + GAP]
            self.groups.append(
                {"id": len(self.groups) + 1, "title": title, "bounding": box, "color": "#3f789e", "font_size": 24,
                 "flags": {}}
            )  # fmt: skip

    def to_dict(self):
        """The workflow in UI form."""
        self.links = []
        outgoing = {}
        entries = []
        for node in self.nodes:
            entries.append((node, self._sockets(node, outgoing)))
        nodes = [self._entry(node, sockets, outgoing, order) for order, (node, sockets) in enumerate(entries)]
        nodes += [self._note(note, len(nodes) + index) for index, note in enumerate(self.notes)]
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(nodes))),  # the same for the same workflow
            "revision": 0,
            "last_node_id": self._next_id() - 1,
            "last_link_id": len(self.links),
            "nodes": nodes,
            "links": self.links,
            "groups": self.groups,
            "config": {},
            "extra": {},
            "version": 0.4,
        }

    def save(self, path):
        """Write the workflow file."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="ascii")

    def _next_id(self):
        return len(self.nodes) + len(self.notes) + 1

    def _note(self, note, order):
        return {
            "id": note.id, "type": "MarkdownNote", "pos": list(note.at), "size": list(note.size), "flags": {},
            "order": order, "mode": 0, "inputs": [], "outputs": [], "title": note.title, "properties": {},
            "widgets_values": [note.text], "color": "#432", "bgcolor": "#653",
        }  # fmt: skip

    def _sockets(self, node, outgoing):
        """The node's inputs as the page stores them: sockets first, then the sockets of widgets."""
        sockets = []
        for index, entry in enumerate(sorted(inputs_of(node.info), key=lambda entry: entry.is_widget)):
            value, link = node.given.get(entry.name), None
            if isinstance(value, Output):
                link = len(self.links) + 1
                self.links.append([link, value.node.id, value.slot, node.id, index, value.kind])
                outgoing.setdefault((value.node.id, value.slot), []).append(link)
            socket = {"name": entry.name, "type": entry.type, "link": link}
            if not entry.required and not entry.is_widget:
                socket["shape"] = 7
            if entry.is_widget:
                socket["widget"] = {"name": entry.name}
            sockets.append(socket)
        return sockets

    def _entry(self, node, sockets, outgoing, order):
        values = []
        models = model_entries(node.given.values()) if node.offer_models else []
        for entry in stored_order(node.info):
            value = entry if isinstance(entry, str) else node.given.get(entry.name, entry.default)
            linked = isinstance(value, Output)
            values.append(value if not linked else entry.default if value.value is None else value.value)
        outputs = [
            {"name": name, "type": kind, "links": outgoing.get((node.id, slot))}
            for slot, (name, kind) in enumerate(zip(node.info["output_name"], node.info["output"], strict=True))
        ]
        entry = {
            "id": node.id, "type": node.info["name"], "pos": list(node.at), "size": list(node.size), "flags": {},
            "order": order, "mode": node.mode, "inputs": sockets, "outputs": outputs,
            "properties": {**node.properties, **({"models": models} if models else {})}, "widgets_values": values,
        }  # fmt: skip
        extras = {"title": node.title, "color": node.color, "bgcolor": node.bgcolor}
        return {**entry, **{name: value for name, value in extras.items() if value}}
