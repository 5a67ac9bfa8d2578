"""Write workflows in UI form (version 0.4) as readable Python.

flow = Flow(client.object_info())
photo = flow.node("LoadImage", (0, 0), "Photo", image="motorcycle.png")
blur = flow.node("ImageBlur", (400, 0), image=photo["IMAGE"], blur_radius=8)
save = flow.node("SaveImage", (800, 0), images=blur["IMAGE"], filename_prefix="blurred")
save.size = (420, 400)
flow.group("Input", [photo])
flow.note("Move the focus point.", (0, 420))
flow.save("workflows/blur.json")
"""

import json
import uuid
from pathlib import Path

from rackfocus.weights.manifest import model_entries

from ..host.paths import COMFY_VERSION
from ..host.schema import SCHEMA_VERSION
from .convert import WorkflowError, compatible
from .widgets import UPLOADS, inputs_of, stored_order

CORE = ("nodes", "comfy_extras", "comfy_api_nodes")
SHOWS_PICTURE = {"SaveImage", "PreviewImage", "MaskPreview"}


class Output:
    """One output of a node, to be given as the input of another."""

    def __init__(self, node, slot, kind):
        self.node, self.slot, self.kind = node, slot, kind


class Node:
    """A node of a Flow. `node["IMAGE"]` or `node[0]` is one of its outputs.

    size, mode (2 muted, 4 bypassed), color, bgcolor and properties may be set freely.
    """

    def __init__(self, number, info, at, title, given):
        self.id, self.info, self.at, self.title, self.given = number, info, at, title, given
        self.mode, self.color, self.bgcolor = 0, None, None
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
        inputs = inputs_of(self.info)
        widgets = stored_order(self.info)
        tall = sum(1 for entry in inputs if entry.is_widget and entry.options.get("multiline"))
        sockets = max(sum(not entry.is_widget for entry in inputs), len(self.info["output"]))
        picture = self.info["name"] in SHOWS_PICTURE or any(UPLOADS & entry.options.keys() for entry in inputs)
        height = 26 + 20 * sockets + 24 * len(widgets) + 100 * tall + 240 * picture
        return [400 if tall else 315, height]


class Flow:
    """A workflow being built. Positions and sizes are in the page's pixels, x to the right, y down."""

    def __init__(self, object_info):
        self.object_info = object_info
        self.nodes, self.links, self.groups, self.notes = [], [], [], []

    def node(self, kind, at, title=None, /, **inputs):
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
        node = Node(self._next_id(), info, at, title, inputs)
        self.nodes.append(node)
        return node

    def note(self, text, at, size=(315, 120), title="Note"):
        """Add a note, written in Markdown."""
        self.notes.append(
            {
                "id": self._next_id(), "type": "MarkdownNote", "pos": list(at), "size": list(size), "flags": {},
                "order": 0, "mode": 0, "inputs": [], "outputs": [], "title": title, "properties": {},
                "widgets_values": [text], "color": "#432", "bgcolor": "#653",
            }
        )  # fmt: skip

    def group(self, title, nodes, color="#3f789e"):
        """Draw a titled box round nodes."""
        left = min(node.at[0] for node in nodes) - 20
        top = min(node.at[1] for node in nodes) - 80  # a node's title lies above its position
        right = max(node.at[0] + node.size[0] for node in nodes) + 20
        bottom = max(node.at[1] + node.size[1] for node in nodes) + 20
        box = {"bounding": [left, top, right - left, bottom - top], "color": color, "font_size": 24, "flags": {}}
        self.groups.append({"id": len(self.groups) + 1, "title": title, **box})

    def to_dict(self):
        """The workflow in UI form."""
        self.links = []
        outgoing = {}
        entries = []
        for node in self.nodes:
            entries.append((node, self._sockets(node, outgoing)))
        nodes = [self._entry(node, sockets, outgoing, order) for order, (node, sockets) in enumerate(entries)]
        nodes += [{**note, "order": len(nodes) + index} for index, note in enumerate(self.notes)]
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
        models = model_entries(node.given.values())
        for entry in stored_order(node.info):
            value = entry if isinstance(entry, str) else node.given.get(entry.name, entry.default)
            values.append(entry.default if isinstance(value, Output) else value)
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
