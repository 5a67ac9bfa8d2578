"""From the workflow a person saves (UI form, version 0.4) to the prompt the host runs (API form), as the page does it.

prompt = to_prompt(load("workflows/refocus.json"), client.object_info())
"""

import json
import re
from pathlib import Path

from ..host.paths import UserError
from .widgets import inputs_of, stored_order

NEVER, BYPASS = 2, 4  # LiteGraph's node modes "muted" and "bypassed"
VIRTUAL = {"Reroute", "PrimitiveNode", "Note", "MarkdownNote"}
SUBGRAPH = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class WorkflowError(UserError):
    """A workflow that cannot be turned into a prompt; the text says what is wrong with it."""


def load(path):
    """A workflow file as a dict."""
    try:
        workflow = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise WorkflowError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise WorkflowError(f"{path} is not JSON: {error}.") from error
    if not isinstance(workflow, dict) or not isinstance(workflow.get("nodes"), list):
        raise WorkflowError(f"{path} is not a workflow in UI form: it has no list of nodes.")
    return workflow


def to_prompt(workflow, object_info):
    """The API form {node id: {class_type, inputs, _meta}} of a UI-form workflow. Raises WorkflowError."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    real = [node for node in nodes.values() if node["type"] not in VIRTUAL]
    active = [node for node in real if node.get("mode") not in (NEVER, BYPASS)]
    _check_types(active, object_info)
    links = _Links(workflow.get("links", []), nodes)
    prompt = {str(node["id"]): _entry(node, object_info[node["type"]], links) for node in active}
    for entry in prompt.values():  # what a muted node would have given is not there
        for name, value in list(entry["inputs"].items()):
            if isinstance(value, list) and value[0] not in prompt:
                del entry["inputs"][name]
    return prompt


def _check_types(nodes, object_info):
    types = {node["type"] for node in nodes} - object_info.keys()
    if any(SUBGRAPH.fullmatch(name) or name.startswith("workflow") for name in types):
        raise WorkflowError("This workflow holds a subgraph or group node, which is not supported: unpack it first.")
    if types:
        raise WorkflowError(f"The host does not have these node types of the workflow: {', '.join(sorted(types))}.")


def _entry(node, info, links):
    inputs = {name: _plain(value) for name, value in widget_values(node, info).items()}
    for socket in node.get("inputs", []):
        source = links.source(socket.get("link"), socket["type"])
        if source is not None:
            inputs[socket["name"]] = source
    title = node.get("title") or info.get("display_name") or node["type"]
    return {"class_type": node["type"], "inputs": inputs, "_meta": {"title": title}}


def _plain(value):
    return {"__value__": value} if isinstance(value, list) else value  # a bare list would read as a link


def widget_values(node, info):
    """{widget name: value} of a node; what the file leaves out has its default."""
    stored = node.get("widgets_values") or []
    values = {entry.name: entry.default for entry in inputs_of(info) if entry.is_widget}
    if isinstance(stored, dict):
        values.update((name, value) for name, value in stored.items() if name in values)
        return values
    for entry, value in zip(stored_order(info), stored, strict=False):
        if not isinstance(entry, str):
            values[entry.name] = value
    return values


class _Links:
    """Follows links back through reroutes and bypassed nodes to the node that really gives the value."""

    def __init__(self, links, nodes):
        self.nodes = nodes
        self.origin = {}
        for link in links:
            if isinstance(link, dict):
                self.origin[link["id"]] = (link["origin_id"], link["origin_slot"])
            else:
                self.origin[link[0]] = (link[1], link[2])

    def source(self, link, kind, seen=()):
        """[node id, slot], a primitive's value, or None when nothing arrives."""
        if link is None:
            return None
        if link in seen:
            raise WorkflowError(f"The workflow has a circle of links (link {link}).")
        if link not in self.origin or self.origin[link][0] not in self.nodes:
            raise WorkflowError(f"The workflow is damaged: link {link} leads to no node.")
        node_id, slot = self.origin[link]
        node, seen = self.nodes[node_id], (*seen, link)
        if node.get("mode") == BYPASS:
            through = _bypass_socket(node, slot, kind)
            return self.source(through.get("link"), through["type"], seen) if through else None
        if node["type"] == "Reroute":
            return self.source(node["inputs"][0].get("link"), kind, seen)
        if node["type"] == "PrimitiveNode":
            return _plain((node.get("widgets_values") or [None])[0])
        return [str(node_id), slot]


def _bypass_socket(node, slot, kind):
    """The input a bypassed node passes on as its output `slot`: that of the same number, else the first that fits."""
    sockets = node.get("inputs", [])
    gives = node["outputs"][slot]["type"]
    if kind in ("*", ""):
        return sockets[slot if len(sockets) > slot else 0] if sockets else None

    def fits(socket):
        return compatible(socket["type"], gives) and compatible(socket["type"], kind)

    if slot < len(sockets) and fits(sockets[slot]):
        return sockets[slot]
    exact = [socket for socket in sockets if socket["type"] == kind]
    return next(iter(exact + [socket for socket in sockets if fits(socket)]), None)


def compatible(a, b):
    """Whether the page lets two socket types be joined; a type may be "*" or a list with commas."""
    a, b = str(a).lower(), str(b).lower()
    return "*" in (a, b) or "" in (a, b) or bool(set(a.split(",")) & set(b.split(",")))
