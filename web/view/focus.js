// The view of RefocusLens: the picture in the node, a click says what is sharp.
import { Frame } from "./frame.js";
import { lensOf } from "./lens.js";
import { LOOKS, Look, loadScene } from "./look.js";
import { loadPicture } from "./pictures.js";

const WIDGETS = [
  "depth_kind", "focus_by", "focus_x", "focus_y", "focus_distance", "lens", "strength", "focal_mm", "f_number", "sensor_mm",
  "scene_near", "scene_far", "near_factor", "far_factor", "in_focus_range",
];
const HEIGHT = 230; // of the view at least, in the page's pixels
const STEP = 1.12; // of the blur, for a step of the wheel
const REACH = 120; // pixels of a drag for which the blur grows e times
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function focusView(host) {
  return new FocusView(host);
}

class FocusView {
  constructor(host) {
    this.host = host;
    this.mode = "live";
    this.moving = false;
    this.source = null; // what was seen at the input when the picture was fetched
    this.look = new Look(() => this.frame.invalidate());
    this.frame = new Frame({ name: "view", draw: (context, area, scale) => this.draw(context, area, scale) });
    this.show = this.frame.addChoice(LOOKS, (mode) => {
      this.mode = mode;
      this.refresh();
    });
    this.show(this.mode);
    this.frame.addSpace();
    this.frame.addButton("run", "Run this", "Run this node and what it needs: its picture and depth are shown then", () =>
      this.host.run());
    this.frame.listen(this);
    this.frame.onVisible = (visible) => visible && this.fetch();
    host.addView(this.frame.element, HEIGHT);
    host.onChange(() => this.fetch());
    host.onResult((result) => this.take(result));
    host.onRemoved(() => {
      this.frame.remove();
      this.look.dispose();
    });
    this.refresh();
  }

  // The picture

  /** Show what the node's last run left behind. */
  async take(result) {
    this.result = result;
    this.source = await this.seen();
    await this.load(result);
  }

  /** Before the first run, or when another picture was connected since the last: show what is at the input. */
  async fetch() {
    this.refresh();
    if (!this.frame.visible) return;
    const seen = await this.seen();
    if (seen === this.source) return;
    this.source = seen;
    this.result = null;
    const before = await this.host.pictureBefore("image").catch(() => null);
    await this.load(before?.result ?? null, before?.url);
  }

  /** A word for what is at the input, to tell whether it is another. */
  async seen() {
    const source = this.host.before("image");
    if (!source) return "nothing";
    const own = source.type === "RefocusSample" ? source.before("image") : source;
    return own ? `${own.type} ${own.type === "LoadImage" ? own.get("image") : own.node.id}` : "sample";
  }

  async load(left, url = null) {
    const turn = (this.turn = {});
    let scene = null;
    try {
      if (left) scene = await loadScene(left, (file) => this.host.url(file));
      else if (url) scene = { bitmap: await loadPicture(url) };
    } catch {
      if (left && left === this.result) return this.host.forgetResult(); // files of a host that was started anew
    }
    if (turn !== this.turn) return scene?.bitmap.close();
    this.look.setScene(scene);
    this.frame.size = scene ? [scene.bitmap.width, scene.bitmap.height] : null;
    this.refresh();
  }

  // What is drawn

  refresh() {
    this.frame.say(this.words());
    this.frame.canvas.setAttribute("aria-label", this.frame.line.textContent);
    this.frame.invalidate();
  }

  get settings() {
    return this.host.values(WIDGETS);
  }

  lens(settings) {
    const { scene } = this.look;
    return scene?.plane ? lensOf(scene, settings, scene.bitmap.width) : null;
  }

  draw(context, area, scale) {
    const settings = this.settings;
    this.look.draw(context, area, this.mode, this.lens(settings), this.moving);
    const { focus_x: x, focus_y: y } = settings;
    if (settings.focus_by === "point" && this.look.scene && Number.isFinite(x) && Number.isFinite(y))
      cross(context, area.x + x * area.width, area.y + y * area.height, scale);
    this.frame.say(this.words()); // whether it can be seen live is known by now
  }

  words() {
    const { scene } = this.look;
    if (!scene) return "Connect a picture to image, or run this node, to see it here.";
    const settings = this.settings;
    const blur = settings.lens === "camera" ? `f/${shown(settings.f_number)}` : `strength ${shown(settings.strength)}`;
    if (!scene.plane) return `Click on what should be sharp. ${blur}. Run this node to see the blur.`;
    if (this.result && scene.depth_kind !== settings.depth_kind) return "depth_kind has changed: run this node to see it.";
    if (!this.lens(settings)) {
      if (settings.focus_by === "mask" && scene.mask == null) return "Connect a focus_mask and run this node to see the focus.";
      return "The focus is not known before a run: a widget is connected, or no lens focuses there.";
    }
    if (this.mode === "live" && this.look.why) return `Not live: ${this.look.why}.`;
    const by = settings.focus_by === "point" ? `focus ${shown(settings.focus_x)}, ${shown(settings.focus_y)}` : settings.focus_by;
    return `${by}; ${blur}. Click: focus. Wheel or Shift + drag: blur. Arrows: move.`;
  }

  // What the hands do

  press(point, event) {
    this.moving = true;
    this.host.beginEdit();
    this.blurring = event.shiftKey ? this.host.get(this.blurWidget) : null;
    if (!event.shiftKey) this.focusAt(point);
    return true;
  }

  drag(point, event, dy) {
    if (this.blurring === null) this.focusAt(point);
    else if (Number.isFinite(this.blurring)) this.blurTo(this.blurring, Math.exp(-dy / REACH));
  }

  release() {
    this.moving = false;
    this.host.endEdit();
    this.refresh();
  }

  wheel(steps) {
    const blur = this.host.get(this.blurWidget);
    if (!Number.isFinite(blur)) return false;
    this.host.edit(() => this.blurTo(blur, STEP ** steps));
    return true;
  }

  key(event) {
    const way = ARROWS[event.key];
    if (!way) return false;
    const { focus_x: x, focus_y: y } = this.settings;
    if (!Number.isFinite(x) || !Number.isFinite(y)) return false;
    const by = event.shiftKey ? 0.05 : 0.005;
    this.host.edit(() => this.focusAt({ x: x + by * way[0], y: y + by * way[1] }));
    return true;
  }

  focusAt({ x, y }) {
    const to = (v) => Math.round(1000 * Math.min(1, Math.max(0, v))) / 1000;
    this.host.set({ focus_by: "point", focus_x: to(x), focus_y: to(y) });
  }

  get blurWidget() {
    return this.host.get("lens") === "camera" ? "f_number" : "strength";
  }

  /** More blur by a factor: more strength, or a smaller f-number. */
  blurTo(from, factor) {
    if (this.blurWidget === "f_number") {
      this.host.set({ f_number: Math.min(64, Math.max(0.1, Math.round((10 * from) / factor) / 10)) });
      return;
    }
    const to = Math.round(2 * Math.max(from, 0.5) * factor) / 2;
    const moved = to === from && factor !== 1 ? from + (factor > 1 ? 0.5 : -0.5) : to;
    this.host.set({ strength: Math.min(2000, Math.max(0, moved)) });
  }
}

function shown(v) {
  return Number.isFinite(v) ? String(Math.round(1000 * v) / 1000) : "over a link";
}

/** A white cross in a ring, with a black rim, that hides nothing of what it points at. */
export function cross(context, x, y, scale) {
  const r = 7 * scale;
  context.save();
  for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = width * scale;
    context.beginPath();
    context.arc(x, y, r, 0, 2 * Math.PI);
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + dx * r, y + dy * r);
      context.lineTo(x + 1.7 * dx * r, y + 1.7 * dy * r);
    }
    context.stroke();
  }
  context.restore();
}
