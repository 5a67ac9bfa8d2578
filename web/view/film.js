// The view of FocalStackGenerate and SelectFocusFrame: a focal stack as a film that scrubs without running anything.
import { cross } from "./scene.js";
import { part } from "./frame.js";
import { LeftView, firstOf } from "./left.js";
import { loadPicture, loadPlane } from "./pictures.js";

const HEIGHT = 250; // of the view at least, in the page's pixels
const STILL = 4; // pixels that a click may move
const WAYS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function filmView(host) {
  return new FilmView(host);
}

class FilmView extends LeftView {
  constructor(host) {
    super(host);
    this.selects = host.type === "SelectFocusFrame";
    this.at = 0.5; // the position where no widget knows it
    this.mark = null; // where one clicked last
    this.heard = new WeakSet();
    this.strip = part("input", "", { rackfocus: "strip" });
    Object.assign(this.strip, { type: "range", min: 0, max: 1, step: "any" });
    Object.assign(this.strip.style, { width: "100%", margin: 0, flex: "none", accentColor: "#e8e8e8" });
    this.strip.setAttribute("aria-label", "Position along the stack, near to far");
    this.listenToStrip();
    this.frame.addBelow(this.strip);
    this.open(HEIGHT);
  }

  /** The node before, where it makes stacks: what it left behind is shown before this node has run. */
  get source() {
    const before = this.selects ? this.host.before("stack") : null;
    if (before?.type !== "FocalStackGenerate") return this.host;
    if (!this.heard.has(before)) {
      this.heard.add(before);
      before.onResult(() => this.fetch());
    }
    return before.result ? before : this.host;
  }

  async load(left, url) {
    const { film } = left;
    const [sheet, map] = await Promise.all([loadPicture(url(film.sheet)), loadPlane(url(film.map), film.map)]);
    this.frame.size = [film.width, film.height];
    return { ...film, sheet, map };
  }

  // Where it stands

  get byPoint() {
    return this.selects && this.host.get("select_by") === "point";
  }

  get point() {
    const x = this.host.get("focus_x"), y = this.host.get("focus_y");
    return Number.isFinite(x) && Number.isFinite(y) ? { x, y } : null;
  }

  /** 0..1; that of the widgets, as far as they are known. */
  get position() {
    if (!this.selects) return this.at;
    const known = this.byPoint ? this.point && this.sharpestAt(this.point) : this.host.get("position");
    return Number.isFinite(known) ? known : this.at;
  }

  /** The position that is sharpest at a point: that of its cell of the map. */
  sharpestAt({ x, y }) {
    if (!this.pictures) return null;
    const { data, width, height } = this.pictures.map;
    const column = Math.min(width - 1, Math.floor(x * width)), row = Math.min(height - 1, Math.floor(y * height));
    return data[row * width + column];
  }

  moveTo(position, mark = null) {
    const at = Math.min(1, Math.max(0, position));
    this.mark = mark;
    this.at = at;
    if (this.selects) this.host.set({ select_by: "position", position: Math.round(1000 * at) / 1000 });
    this.refresh();
  }

  /** So many frames on, to a frame. */
  step(frames) {
    const last = (this.pictures?.frames ?? 1) - 1;
    if (last > 0) this.moveTo((Math.round(this.position * last) + frames) / last);
  }

  pointTo({ x, y }) {
    const to = (v) => Math.round(1000 * Math.min(1, Math.max(0, v))) / 1000;
    this.host.set({ focus_x: to(x), focus_y: to(y) });
    this.refresh();
  }

  // What is drawn

  draw(context, area, scale) {
    const { frames, kept } = this.pictures, position = this.position;
    context.imageSmoothingQuality = "high";
    const at = position * (frames - 1), low = Math.floor(at), share = at - low;
    const blends = this.selects && this.host.get("blend") !== false && kept === frames;
    if (blends && share > 1e-6 && share < 1 - 1e-6) { // as frame_at of pipelines/optical/focal_stack.py
      this.drawFrame(context, area, low, 1);
      this.drawFrame(context, area, low + 1, share);
    } else this.drawFrame(context, area, Math.floor(position * (kept - 1) + 0.5), 1);
    const mark = this.byPoint ? this.point : this.mark;
    if (mark) cross(context, area.x + mark.x * area.width, area.y + mark.y * area.height, scale);
  }

  drawFrame(context, area, i, share) {
    const { sheet, columns, width, height } = this.pictures;
    context.globalAlpha = share;
    const from = [(i % columns) * width, Math.floor(i / columns) * height];
    context.drawImage(sheet, ...from, width, height, area.x, area.y, area.width, area.height);
    context.globalAlpha = 1;
  }

  refresh() {
    const { position } = this;
    this.strip.value = position;
    this.strip.disabled = !this.pictures;
    super.refresh();
  }

  words() {
    if (!this.pictures) return "Run the workflow to see the stack here.";
    const { frames, kept } = this.pictures, { position } = this;
    const at = `Frame ${Math.floor(position * (frames - 1) + 0.5) + 1} of ${frames}`;
    const thinned = kept < frames ? ` (${kept} of them are seen)` : "";
    const first = firstOf(Math.max(this.loaded.of ?? 1, this.loaded.runs ?? 1), "stacks");
    return `${first}${at}${thinned}. Click: sharp there. Drag: scrub.`;
  }

  // What the hands do

  press(point, event) {
    if (!this.pictures) return false;
    this.host.beginEdit();
    this.from = { x: event.clientX, y: event.clientY, position: this.position, point, moved: false };
    if (this.byPoint) this.pointTo(point);
    return true;
  }

  drag(point, event) {
    if (this.byPoint) return this.pointTo(point);
    const { from } = this, dx = event.clientX - from.x;
    from.moved ||= Math.hypot(dx, event.clientY - from.y) > STILL;
    if (!from.moved) return;
    const box = this.frame.canvas.getBoundingClientRect();
    this.moveTo(from.position + dx / this.frame.area(box.width, box.height).width);
  }

  release() {
    const { from } = this;
    this.from = null;
    if (from && !from.moved && !this.byPoint) this.moveTo(this.sharpestAt(from.point) ?? this.position, from.point);
    this.host.endEdit();
  }

  wheel(steps) {
    if (!this.pictures) return false;
    this.host.edit(() => this.step(steps));
    return true;
  }

  key(event) {
    if (!this.pictures) return false;
    const way = ARROWS[event.key];
    if (this.byPoint && way) {
      const { point } = this, by = event.shiftKey ? 0.05 : 0.005;
      if (point) this.host.edit(() => this.pointTo({ x: point.x + by * way[0], y: point.y + by * way[1] }));
      return Boolean(point);
    }
    const ends = { Home: 0, End: 1 };
    if (event.key in ends) this.host.edit(() => this.moveTo(ends[event.key]));
    else if (event.key in WAYS) this.host.edit(() => this.step(WAYS[event.key]));
    else return false;
    return true;
  }

  /** The strip below the picture: the same by mouse, touch and keys. */
  listenToStrip() {
    const { strip } = this;
    let held = false;
    strip.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      if (event.button !== 0 || held) return;
      held = true;
      this.host.beginEdit();
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"])
      strip.addEventListener(name, () => {
        if (held) this.host.endEdit();
        held = false;
      });
    strip.addEventListener("pointermove", (event) => held && event.stopPropagation());
    strip.addEventListener("input", () => {
      if (held) this.moveTo(Number(strip.value));
      else this.host.edit(() => this.moveTo(Number(strip.value)));
    });
    strip.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.key(event)) return;
      event.preventDefault();
      event.stopPropagation();
    });
  }
}
