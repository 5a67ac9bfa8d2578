"""subgraphs/*.json: boxes that the page's node library offers, each one node that holds others (a subgraph).

Newer hosts list them (0.3.75 does, 0.3.64 does not); the page loads them as workflows of one node. A box's inputs lead
to sockets and to widgets alike; an input that leads to a widget shows it on the box (promotes it).
"""

import json
import uuid
from pathlib import Path

from rackfocus.weights.manifest import weight_files

from ..host.paths import ROOT
from .build import Flow, Output

FOLDER = Path(ROOT) / "subgraphs"
INSIDE, OUTSIDE = -10, -20  # ids of a subgraph's two doors
WIDTH, ROW = 300, 28


class Door:
    """Where a box's inputs come in: `door.input("strength", "FLOAT", 60.0)` is given to a node like any Output."""

    id = INSIDE

    def __init__(self):
        self.names, self.kinds = [], []

    def input(self, name, kind, value=None) -> Output:
        """value: what a widget that it leads to starts with."""
        self.names.append(name)
        self.kinds.append(kind)
        return Output(self, len(self.names) - 1, kind, value)


class Box:
    """A blueprint being built: `flow` makes its nodes, `door` brings its inputs, `gives` names its outputs."""

    def __init__(self, info, name, description):
        self.flow, self.door, self.name, self.description, self.gives = Flow(info), Door(), name, description, {}

    def _id(self, *what) -> str:
        """The same for the same thing in every run."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(("rackfocus", self.name, *what))))

    def to_dict(self) -> dict:
        inside = self.flow.to_dict()
        links = [
            dict(zip(("id", "origin_id", "origin_slot", "target_id", "target_slot", "type"), link, strict=True))
            for link in inside["links"]
        ]
        for slot, output in enumerate(self.gives.values()):
            links.append(
                {"id": len(links) + 1, "origin_id": output.node.id, "origin_slot": output.slot,
                 "target_id": OUTSIDE, "target_slot": slot, "type": output.kind}
            )  # fmt: skip
            (node,) = (node for node in inside["nodes"] if node["id"] == output.node.id)
            sent = node["outputs"][output.slot]
            sent["links"] = [*(sent["links"] or []), len(links)]
        inputs = list(zip(self.door.names, self.door.kinds, strict=True))
        widgets = {
            link["origin_slot"]
            for link in links
            if link["origin_id"] == INSIDE and "widget" in self._socket(inside, link)
        }
        given = [(name, output.kind) for name, output in self.gives.items()]
        right = max(node["pos"][0] + node["size"][0] for node in inside["nodes"])
        subgraph = {
            "id": self._id(), "version": 1, "revision": 0, "config": {}, "name": self.name,
            "state": {"lastGroupId": 0, "lastNodeId": inside["last_node_id"], "lastLinkId": len(links),
                      "lastRerouteId": 0},
            "inputNode": {"id": INSIDE, "bounding": [-220, 0, 140, 40 + 20 * len(inputs)]},
            "outputNode": {"id": OUTSIDE, "bounding": [right + 80, 0, 120, 40 + 20 * len(given)]},
            "inputs": self._slots("input", inputs, links, "origin", INSIDE, [-100, 20]),
            "outputs": self._slots("output", given, links, "target", OUTSIDE, [right + 100, 20]),
            "widgets": [], "nodes": inside["nodes"], "groups": [], "links": links, "extra": {},
            "category": "Rackfocus", "description": self.description,
        }  # fmt: skip
        sockets = [{"name": name, "type": kind, "link": None} for name, kind in inputs]
        for slot in widgets:
            sockets[slot]["widget"] = {"name": inputs[slot][0]}
        node = {
            "id": 1, "type": subgraph["id"], "pos": [0, 0], "flags": {}, "order": 0, "mode": 0, "title": self.name,
            "size": [WIDTH, 40 + ROW * max(len(inputs), len(given))], "inputs": sockets,
            "outputs": [{"name": name, "type": kind, "links": []} for name, kind in given],
            "properties": {"proxyWidgets": [["-1", inputs[slot][0]] for slot in sorted(widgets)]},
            "widgets_values": [],
        }  # fmt: skip
        return {
            "id": self._id("workflow"), "revision": 0, "last_node_id": 1, "last_link_id": 0, "nodes": [node],
            "links": [], "groups": [], "definitions": {"subgraphs": [subgraph]}, "config": {},
            "extra": {"BlueprintDescription": self.description}, "version": 0.4,
        }  # fmt: skip

    @staticmethod
    def _socket(inside, link):
        (node,) = (node for node in inside["nodes"] if node["id"] == link["target_id"])
        return node["inputs"][link["target_slot"]]

    def _slots(self, side, named, links, end, door, place):
        return [
            {"id": self._id(side, name), "name": name, "type": kind, "pos": [place[0], place[1] + 20 * slot],
             "linkIds": [k["id"] for k in links if k[f"{end}_id"] == door and k[f"{end}_slot"] == slot]}
            for slot, (name, kind) in enumerate(named)
        ]  # fmt: skip

    def save(self):
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{self.name}.json").write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="ascii")


def _lens_and_picture(box, image, depth, kind):
    """From picture and depth to the refocused picture, the widgets that an artist moves on the box."""
    door, flow = box.door, box.flow
    lens = flow.node(
        "RefocusLens",
        image=image,
        depth=depth,
        depth_kind=kind,
        focus_x=door.input("focus_x", "FLOAT", 0.5),
        focus_y=door.input("focus_y", "FLOAT", 0.5),
        strength=door.input("strength", "FLOAT", 60.0),
    )
    shape = flow.node(
        "ApertureShapeMask", shape=door.input("shape", "COMBO", "iris"), blades=door.input("blades", "INT", 0)
    )
    bokeh = flow.node(
        "BokehSynthesize",
        image=image,
        defocus=lens["defocus"],
        aperture=shape["aperture"],
        highlights=door.input("highlights", "FLOAT", 12.0),
        quality=door.input("quality", "COMBO", "best"),
    )
    box.gives = {"image": bokeh["IMAGE"], "overlay": lens["overlay"]}
    return lens, shape, bokeh


def refocus(info) -> Box:
    box = Box(
        info,
        "Refocus a photo",
        "A photo and its depth map, refocused: focus point, strength and aperture in one box. The overlay shows what "
        "is sharp.",
    )
    image, depth = box.door.input("image", "IMAGE"), box.door.input("depth", "IMAGE,MASK")
    lens, shape, bokeh = _lens_and_picture(box, image, depth, box.door.input("depth_kind", "COMBO", "auto"))
    box.flow.lay_out(("Lens", [lens], [shape]), ("Picture", [bokeh]))
    return box


def refocus_alone(info) -> Box:
    box = Box(
        info,
        "Depth and refocus",
        "A photo, refocused: its depth is estimated by a model in models/refocus, and focus point, strength and "
        "aperture are set, in one box. The overlay shows what is sharp.",
    )
    image = box.door.input("image", "IMAGE")
    model = box.door.input("depth_model", "COMBO", weight_files("depth")[0].path)
    depth = box.flow.node("RefocusDepth", image=image, model=model)
    lens, shape, bokeh = _lens_and_picture(box, image, depth["depth"], depth["depth_kind"])
    box.flow.lay_out(("Depth", [depth]), ("Lens", [lens], [shape]), ("Picture", [bokeh]))
    return box


BLUEPRINTS = {"Refocus a photo": refocus, "Depth and refocus": refocus_alone}
