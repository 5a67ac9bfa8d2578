"""The view of RefocusRack: keyframes made, moved and deleted with the mouse are a person's text; the pull plays."""

RENDERER = "canvas"
GRAPH = {
    "1": {"class_type": "RefocusSample", "inputs": {}},
    "2": {
        "class_type": "RefocusRack",
        "inputs": {
            "depth": ["1", 1],
            "image": ["1", 0],
            "depth_kind": "auto",
            "keyframes": "0: 0.2, 0.8 # the pawn\n8: 0.6, 0.7\n\n# and back\n16: 2.5m",
            "frames": 0,
            "easing": "linear",
            "strength": 50.0,
            "scene_near": 1.0,
            "scene_far": 10.0,
            "near_factor": 1.0,
            "far_factor": 1.0,
            "in_focus_range": 0.0,
        },
    },
}
EDGE = 12  # pixels of the timeline beside its first and its last frame
FRAMES = """element => new Promise(resolve => {
  const seen = [], now = () => Number(element.dataset.frame);
  let last = now();
  new MutationObserver((all, observer) => {
    if (now() !== last) seen.push(last = now());
    if (seen.length >= 40) { observer.disconnect(); resolve(seen); }
  }).observe(element, { attributeFilter: ["data-frame"] });
})"""
DRAWN_AGAIN = "([element, draws]) => Number(element.dataset.draws) > draws"


class Rack:
    """The only RefocusRack of a page."""

    def __init__(self, page, others=None, **inputs):
        page.load({**GRAPH, **(others or {}), "2": {**GRAPH["2"], "inputs": {**GRAPH["2"]["inputs"], **inputs}}})
        # What the page makes of a prompt differs from what it makes of a workflow, and would be a step of its undo.
        page.page.evaluate("app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())), true, true)")
        self.page, self.node = page, page.node("RefocusRack")
        page.show(self.node, 1.0, "timeline")
        self.wait("element.dataset.frame", "picture")

    def part(self, name):
        return self.page.part(self.node, name)

    def wait(self, condition, part):
        """Until a condition holds of the element of a part."""
        self.page.page.wait_for_function(f"element => {condition}", arg=self.part(part))

    @property
    def text(self):
        return self.page.values(self.node)["keyframes"]

    def until(self, **values):
        self.page.until(self.node, **values)

    def place(self, frame):
        """(x, y), 0..1, of a keyframe's frame on the timeline, below its ruler."""
        self.wait("element.dataset.extent", "timeline")
        element = self.part("timeline")
        width = element.evaluate("element => element.offsetWidth")
        extent = int(element.get_attribute("data-extent"))
        return (EDGE + (width - 2 * EDGE) * frame / (extent - 1)) / width

    def scrub(self, frame):
        self.page.click(self.part("timeline"), self.place(frame), 0.1)
        self.wait(f"element.dataset.frame === '{frame}'", "picture")

    def click(self, x, y):
        self.page.click(self.part("picture"), x, y, 1.5)

    def marks(self, *frames):
        """Wait until the timeline shows keyframes at these frames."""
        self.wait(f"element.dataset.keys === '{' '.join(map(str, frames))}'", "timeline")


def test_five_keyframes_made_by_mouse_are_the_text_a_person_would_write(page):
    rack = Rack(page, keyframes="# the pull")
    for frame, x, y in ((0, 0.25, 0.75), (12, 0.5, 0.5), (6, 0.4, 0.62), (24, 0.8, 0.2), (18, 0.1, 0.9)):
        rack.scrub(frame)
        rack.click(x, y)
    wanted = "# the pull\n0: 0.25, 0.75\n6: 0.4, 0.62\n12: 0.5, 0.5\n18: 0.1, 0.9\n24: 0.8, 0.2"
    assert rack.text == wanted
    rack.marks(0, 6, 12, 18, 24)
    rack.click(0.3, 0.85)  # the keyframe of this frame moves
    rack.until(keyframes=wanted.replace("18: 0.1, 0.9", "18: 0.3, 0.85"))
    page.undo()
    rack.until(keyframes=wanted)
    page.undo()
    rack.until(keyframes=wanted.replace("18: 0.1, 0.9\n", ""))
    assert page.prompts == []


def test_keyframes_move_in_time_and_are_deleted_and_comments_stay(page):
    rack = Rack(page)
    before = rack.text
    rack.marks(0, 8, 16)
    page.drag(rack.part("timeline"), (rack.place(8), 0.6), (rack.place(12), 0.6))
    rack.until(keyframes=before.replace("8:", "12:"))
    page.undo()
    rack.until(keyframes=before)
    rack.marks(0, 8, 16)
    page.drag(rack.part("timeline"), (rack.place(16), 0.6), (rack.place(8), 0.6))  # as far as there is room
    assert "\n16: 2.5m" not in rack.text and "\n8: 0.6, 0.7\n" in rack.text and rack.text.endswith(": 2.5m")
    page.undo()
    rack.until(keyframes=before)

    page.page.mouse.dblclick(*page.point(rack.part("timeline"), rack.place(8), 0.6))
    rack.until(keyframes="0: 0.2, 0.8 # the pawn\n\n# and back\n16: 2.5m")
    rack.scrub(0)
    page.page.keyboard.press("Delete")
    rack.until(keyframes="# the pawn\n\n# and back\n16: 2.5m")
    rack.scrub(16)
    rack.part("button-delete").click()
    rack.until(keyframes="# the pawn\n\n# and back")
    assert page.nodes("RefocusRack") and rack.part("button-delete").is_disabled()


def test_a_click_makes_a_point_of_a_distance(page):
    rack = Rack(page)
    rack.scrub(16)
    rack.click(0.5, 0.25)
    rack.until(keyframes="0: 0.2, 0.8 # the pawn\n8: 0.6, 0.7\n\n# and back\n16: 0.5, 0.25")
    page.page.keyboard.press("ArrowLeft")
    rack.until(keyframes="0: 0.2, 0.8 # the pawn\n8: 0.6, 0.7\n\n# and back\n16: 0.495, 0.25")


def test_strength_is_that_of_the_widget_until_a_keyframe_has_its_own(page):
    rack = Rack(page)
    before = rack.text
    rack.scrub(8)
    page.drag(rack.part("picture"), (0.5, 0.7), (0.5, 0.3), 1.5, held=["Shift"])
    strength = float(rack.text.split("strength=")[1].split("\n")[0])
    assert strength > 55 and rack.text == before.replace("0.6, 0.7", f"0.6, 0.7 strength={strength:g}")
    assert page.values(rack.node)["strength"] == 50
    page.undo()
    rack.until(keyframes=before)
    rack.scrub(0)
    page.page.mouse.move(*page.point(rack.part("picture"), 0.5, 0.5, 1.5))
    rack.part("picture").focus()
    page.page.mouse.wheel(0, -100)
    rack.until(strength=56, keyframes=before)
    rack.scrub(3)  # between keyframes, none of which names one
    rack.part("picture").focus()
    page.page.mouse.move(*page.point(rack.part("picture"), 0.5, 0.5, 1.5))
    page.page.mouse.wheel(0, 100)
    rack.until(strength=50, keyframes=before)


def test_what_is_typed_moves_the_marks(page):
    rack = Rack(page)
    page.assign(rack.node, keyframes="3: 0.5, 0.5; 20: 4m")
    rack.marks(3, 20)
    page.assign(rack.node, keyframes="3: 0.5, 0.5; 20: 4 feet")
    rack.marks(3)
    rack.wait("element.textContent.startsWith(\"Line 1 of keyframes reads '20: 4 feet'\")", "line")
    rack.scrub(10)
    rack.click(0.5, 0.25)
    rack.until(keyframes="3: 0.5, 0.5; 20: 4 feet\n10: 0.5, 0.25")


def test_a_text_over_a_link_is_shown_and_not_changed(page):
    text = "0: 0.5, 0.5\n9: 2m"
    source = {"class_type": "PrimitiveStringMultiline", "inputs": {"value": text}}
    rack = Rack(page, {"3": source}, keyframes=["3", 0])
    rack.marks(0, 9)
    rack.scrub(9)
    rack.click(0.2, 0.2)
    page.page.mouse.dblclick(*page.point(rack.part("timeline"), rack.place(9), 0.6))
    page.page.keyboard.press("Delete")
    page.drag(rack.part("timeline"), (rack.place(9), 0.6), (rack.place(5), 0.6))
    rack.marks(0, 9)
    rack.scrub(9)
    assert rack.part("button-delete").is_disabled() and "over a link" in rack.part("line").inner_text()
    assert page.values(page.node("PrimitiveStringMultiline"))["value"] == text


def test_play_visits_every_frame_again_and_again_until_it_is_stopped(page):
    rack = Rack(page)
    rack.part("button-focus").click()
    rack.scrub(0)
    picture = rack.part("picture")
    seen = page.page.evaluate_handle(f"element => {{ const seen = ({FRAMES})(element); return {{ seen }}; }}", picture)
    rack.part("button-play").click()
    frames = seen.evaluate("held => held.seen")
    assert frames == [(1 + i) % 17 for i in range(40)]
    rack.part("button-play").click()
    assert_nothing_is_drawn(page, rack)
    rack.part("timeline").focus()
    page.page.keyboard.press("Space")
    rack.wait("element.textContent === 'Stop'", "button-play")
    page.page.evaluate("app.canvas.ds.offset[0] += 5000; app.canvas.setDirty(true, true)")  # out of sight
    rack.wait("element.textContent === 'Play'", "button-play")
    assert page.prompts == []


def assert_nothing_is_drawn(page, rack):
    """In 30 frames of the page, after those that were asked for."""
    draws = """element => new Promise(resolve => {
      let left = 33, first;
      const look = () => {
        if (left === 30) first = element.dataset.draws;
        if (left-- > 0) requestAnimationFrame(look); else resolve([first, element.dataset.draws]);
      };
      look();
    })"""
    first, last = rack.part("picture").evaluate(draws)
    assert first == last


COLOUR = """([element, x, y]) =>
  [...element.getContext('2d').getImageData(x * element.width, y * element.height, 1, 1).data].slice(0, 3)"""


def test_a_clip_is_scrubbed_frame_by_frame(page):
    """Frames in red, green and blue, and a run of the node alone."""
    colours = {"3": 0xFF0000, "4": 0x00FF00, "5": 0x0000FF, "8": 0x808080}

    def empty(colour):
        return {"class_type": "EmptyImage", "inputs": {"width": 90, "height": 60, "batch_size": 1, "color": colour}}

    graph = {
        **{name: empty(colour) for name, colour in colours.items()},
        "6": {"class_type": "ImageBatch", "inputs": {"image1": ["3", 0], "image2": ["4", 0]}},
        "7": {"class_type": "ImageBatch", "inputs": {"image1": ["6", 0], "image2": ["5", 0]}},
        "2": {**GRAPH["2"], "inputs": {**GRAPH["2"]["inputs"], "image": ["7", 0], "depth": ["8", 0]}},
    }
    graph["2"]["inputs"]["keyframes"] = "0: 0.5, 0.5"
    page.load(graph)
    rack = Rack.__new__(Rack)
    rack.page, rack.node = page, page.node("RefocusRack")
    page.show(rack.node, 1.0, "timeline")
    rack.part("button-photo").click()
    rack.part("button-run").click()
    rack.wait("element.dataset.extent === '3'", "timeline")
    for frame, colour in enumerate([[255, 0, 0], [0, 255, 0], [0, 0, 255]]):
        rack.scrub(frame)
        assert page.page.evaluate(COLOUR, [rack.part("picture"), 0.5, 0.8]) == colour
    assert len(page.prompts) == 1
