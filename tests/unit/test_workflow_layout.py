"""The shipped workflows as a page: nothing lies on anything else, every result can be seen, every text be read."""

import json
import math
import re
from itertools import combinations
from pathlib import Path

import pytest

TITLE = 30  # of a node, above its place
FILES = sorted(Path(__file__).resolve().parents[2].glob("workflows/*.json"))
# Rows are taller in the Vue renderer; measured in front end 1.48.7, by tests/browser.
ROW, SOCKET, FRAME = 28, 20, 38
ROOM = {
    "SaveImage": (320, 150),
    "PreviewImage": (230, 200),
    "MaskPreview": (230, 200),
    "SaveAnimatedWEBP": (400, 200),
    "RefocusSample": (220, 140),
    "RefocusLens": (320, 250),
    "RefocusRack": (380, 350),
    "SelectFocusFrame": (260, 250),
    "FocalStackGenerate": (260, 250),
    "BokehSynthesize": (260, 220),
    "DeblurAiF": (260, 220),
    "StackFuse": (260, 220),
    "ApertureShapeMask": (220, 170),
}
# Front ends show a workflow at this share of the window, and no text on the canvas below this zoom.
WINDOW, SHARE, LEGIBLE = (1600, 1000), 0.756, 0.57


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def flow(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


@pytest.fixture
def name(request):
    return request.node.callspec.params["flow"].stem


def box(node):
    (x, y), (w, h) = node["pos"], node["size"]
    return x, y - TITLE, x + w, y + h


def bounds(group):
    x, y, w, h = group["bounding"]
    return x, y, x + w, y + h


def apart(a, b, gap=0):
    return a[2] + gap <= b[0] or b[2] + gap <= a[0] or a[3] + gap <= b[1] or b[3] + gap <= a[1]


def holds(outer, inner):
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def overlaps(flow):
    """Pairs of nodes and notes, and of groups, that lie on one another."""
    nodes = [(node.get("title") or node["type"], box(node)) for node in flow["nodes"]]
    groups = [(group["title"], bounds(group)) for group in flow["groups"]]
    return [(a, b) for things in (nodes, groups) for (a, p), (b, q) in combinations(things, 2) if not apart(p, q, 8)]


def homeless(flow):
    """Nodes and notes that do not lie inside exactly one group, below its title, and clear of the others."""
    found = []
    for node in flow["nodes"]:
        inside = [g for g in flow["groups"] if holds(bounds(g), box(node))]
        across = [g for g in flow["groups"] if not apart(bounds(g), box(node))]
        if len(inside) != 1 or len(across) != 1 or box(node)[1] < bounds(inside[0])[1] + 30:
            found.append(node.get("title") or node["type"])
    return found


def test_there_are_workflows():
    assert len(FILES) == 17


def test_nothing_lies_on_anything_else(flow):
    assert not overlaps(flow) and not homeless(flow)


def test_an_overlap_would_be_seen(flow):
    flow["nodes"][0]["pos"] = [flow["nodes"][1]["pos"][0] + 30, flow["nodes"][1]["pos"][1] + 30]
    assert overlaps(flow)
    flow["nodes"][0]["pos"] = [-4000, 0]
    assert homeless(flow)


def wire(start, end):
    """Points of the curve that a front end draws from an output to an input."""
    (x0, y0), (x3, y3) = start, end
    bend = 0.25 * math.dist(start, end)
    for i in range(1, 60):
        t = i / 60
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        yield a * x0 + b * (x0 + bend) + c * (x3 - bend) + d * x3, a * y0 + b * y0 + c * y3 + d * y3


def hidden_wires(flow):
    """(from, to, behind) of wires that run more than 40 pixels behind a node that they do not belong to."""
    nodes = {node["id"]: node for node in flow["nodes"]}
    found = []
    for _, source, slot, target, socket, _kind in flow["links"]:
        a, b = nodes[source], nodes[target]
        row = min(socket, sum("widget" not in entry for entry in b["inputs"]))
        start = a["pos"][0] + a["size"][0], a["pos"][1] + 14 + 20 * slot
        points = list(wire(start, (b["pos"][0], b["pos"][1] + 14 + 20 * row)))
        for node in nodes.values():
            left, top, right, bottom = box(node)
            behind = [x for x, y in points if left < x < right and top < y < bottom]
            if node["id"] not in (source, target) and behind and max(behind) - min(behind) > 40:
                found.append(tuple(n.get("title") or n["type"] for n in (a, b, node)))
    return found


# Graphs with so many wires that some must cross: the files of FLUX go to every part of them.
ALLOWED = {
    "DiffCamera 2 Five planes and a new aperture": 1,
    "Genfocus 2 Refocus and compare": 1,
    "Genfocus 3 Generate and refocus": 5,
    "Genfocus 4 With your own sampler": 4,
}


def test_no_wire_runs_behind_a_node_of_others(flow, name):
    """Wires of sleeping nodes may: they carry nothing until the artist wakes them."""
    asleep = {node["id"] for node in flow["nodes"] if node["mode"] == 2}
    flow["links"] = [link for link in flow["links"] if link[1] not in asleep]
    assert len(hidden_wires(flow)) <= ALLOWED.get(name, 0)


def backwards(flow):
    """(from, to) of wires that must turn round: their end does not lie to the right of their start."""
    nodes = {node["id"]: node for node in flow["nodes"]}
    pairs = [(nodes[link[1]], nodes[link[3]]) for link in flow["links"]]
    return [(a["type"], b["type"]) for a, b in pairs if b["pos"][0] < a["pos"][0] + a["size"][0]]


def test_wires_run_from_left_to_right(flow, name):
    assert len(backwards(flow)) <= {"G": 8, "l": 2, "D": 2}.get(name[0], 1)


def test_every_node_has_room_for_its_rows_and_picture(flow):
    for node in flow["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        sockets = max(sum("widget" not in entry for entry in node["inputs"]), len(node["outputs"]))
        # Of the pack's own nodes the page hides rows: tests/browser measures them.
        widgets = 0 if node["properties"].get("cnr_id") == "rackfocus" else len(node["widgets_values"])
        rows = FRAME + SOCKET * sockets + ROW * widgets
        width, height = ROOM.get(node["type"], (220, 0))
        assert node["size"][0] >= width and node["size"][1] >= rows + height, node["type"]


def test_the_result_is_the_largest_picture(flow):
    area = {node["type"]: node["size"][0] * node["size"][1] for node in flow["nodes"]}
    results = [area[kind] for kind in ("SaveImage", "SaveAnimatedWEBP") if kind in area]
    assert results and max(results) >= area.get("PreviewImage", 0)


def test_a_window_shows_all_of_it_legibly(flow):
    """Whole at a zoom at which the canvas still draws text."""
    boxes = [bounds(group) for group in flow["groups"]]
    width = max(b[2] for b in boxes) - min(b[0] for b in boxes)
    height = max(b[3] for b in boxes) - min(b[1] for b in boxes)
    zoom = SHARE * min(WINDOW[0] / width, WINDOW[1] / height)
    assert zoom >= LEGIBLE, f"{width} x {height} px are shown at {zoom:.2f}"


def test_notes_use_bold_and_no_code(flow):
    """Code in a note is unreadable in the Vue renderer. What is in bold is a name on the page or an instruction."""
    notes = [node["widgets_values"][0] for node in flow["nodes"] if node["type"] == "MarkdownNote"]
    assert notes and all("`" not in text and "**" in text and text.count("**") % 2 == 0 for text in notes)


def test_a_template_says_how_to_bring_ones_own_picture(flow):
    """All but the one that generates its picture."""
    types = {node["type"]: node for node in flow["nodes"]}
    text = " ".join(node["widgets_values"][0] for node in flow["nodes"] if node["type"] == "MarkdownNote")
    assert "CLIPTextEncode" in types or ("RefocusSample" in types and "**Your own" in text and "Ctrl+M" in text)


def test_names_sort_as_they_are_meant_and_need_no_quoting_beyond_spaces():
    """The template browser shows file names, and fetches them by address."""
    names = [path.stem for path in FILES]
    assert all(re.fullmatch(r"[A-Za-z0-9 ]+", name) for name in names)
    assert [name[0] for name in names[:5]] == list("12345") and names[0] == "1 Refocus a photo"


def test_the_core_nodes_are_those_of_the_oldest_host(flow):
    """ComfyUI 0.3.64 has all of these, and 0.33.0 none of them as deprecated."""
    ours = {node["type"] for node in flow["nodes"] if node["properties"].get("cnr_id") == "rackfocus"}
    core = {node["type"] for node in flow["nodes"]} - ours
    assert core <= CORE, core - CORE


CORE = {
    "LoadImage", "SaveImage", "PreviewImage", "SaveAnimatedWEBP", "MaskPreview", "InvertMask", "MarkdownNote",
    "ImageStitch", "ImageScaleBy", "ImageCompositeMasked", "ImageOnlyCheckpointLoader", "UNETLoader", "DualCLIPLoader",
    "VAELoader", "VAEDecode", "CLIPTextEncode", "FluxGuidance", "ConditioningZeroOut", "EmptySD3LatentImage",
    "KSampler", "CFGGuider", "RandomNoise", "KSamplerSelect", "BasicScheduler", "SamplerCustomAdvanced",
}  # fmt: skip
