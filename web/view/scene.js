// What views of a scene share: the picture and its depth, three ways to look, and one line of text.
import { Frame } from "./frame.js";
import { LOOKS, Look, loadScene } from "./look.js";
import { Opening } from "./opening.js";
import { loadPicture } from "./pictures.js";

/** A view says what it draws and what the hands do: words(), draw(context, area, scale), press, drag, release, ... */
export class SceneView {
  static looks = LOOKS;

  constructor(host) {
    this.host = host;
    this.mode = "live";
    this.moving = false;
    this.source = null; // what was seen at the input when the picture was fetched
    this.look = new Look(() => this.frame.invalidate());
    this.opening = new Opening(host, (mask) => {
      this.look.setAperture(mask);
      this.frame.invalidate();
    });
    this.frame = new Frame({ name: "view", draw: (context, area, scale) => this.draw(context, area, scale) });
    this.show = this.frame.addChoice(this.constructor.looks, (mode) => {
      this.mode = mode;
      this.refresh();
    });
    this.show(this.mode);
  }

  /** Into the node, `height` tall at least, once its buttons are there. */
  open(height) {
    this.frame.addSpace();
    const why = "Run this node and what it needs: its picture and depth are shown then";
    this.frame.addButton("run", "Run this", why, () => this.host.run());
    this.frame.listen(this);
    this.frame.onVisible = (visible) => (visible ? this.fetch() : this.rest());
    this.host.addView(this.frame.element, height);
    this.host.onChange(() => this.fetch());
    this.host.onResult((result) => this.take(result));
    this.host.onRemoved(() => {
      this.rest();
      this.frame.remove();
      this.look.dispose();
    });
    this.refresh();
  }

  /** Nobody looks any more. */
  rest() {}

  /** Show what the node's last run left behind; where that is gone, what is at the input. */
  async take(result) {
    this.result = result;
    if (!result) {
      this.source = null;
      return this.fetch();
    }
    this.source = await this.seen();
    await this.load(result);
  }

  /** Before the first run, or when another picture was connected since the last: show what is at the input. */
  async fetch() {
    this.refresh();
    if (!this.frame.visible) return;
    this.opening.look();
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
    return own ? `${own.type} ${own.type === "LoadImage" ? own.get("image") : own.node.id}` : `sample ${this.host.outputBefore("image")}`;
  }

  async load(left, url = null) {
    const turn = (this.turn = {});
    let scene = null;
    try {
      if (left) scene = await this.read(left, (file) => this.host.url(file));
      else if (url) scene = { bitmap: await loadPicture(url) };
    } catch {
      if (left && left === this.result) return this.host.forgetResult(); // files of a host that was started anew
    }
    if (turn !== this.turn) return scene?.bitmap.close?.();
    this.adopt(scene);
    this.refresh();
  }

  /** The scene that a run left behind. */
  read(left, url) {
    return loadScene(left, url);
  }

  /** Show another scene, or none. */
  adopt(scene) {
    this.look.setScene(scene);
    this.frame.size = scene ? [scene.bitmap.width, scene.bitmap.height] : null;
  }

  refresh() {
    this.frame.say(this.words());
    this.frame.canvas.setAttribute("aria-label", this.frame.line.textContent);
    this.frame.invalidate();
  }
}

/** A widget's number as a line of text shows it. */
export function shown(v) {
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

const STEP = 1.12; // of the blur, for a step of the wheel
const REACH = 120; // pixels of a drag for which the blur grows e times

export const wheeled = (steps) => STEP ** steps;
export const dragged = (dy) => Math.exp(-dy / REACH);

/** A strength made larger by a factor, in halves, and by a half at least. */
export function stronger(from, factor) {
  const to = Math.round(2 * Math.max(from, 0.5) * factor) / 2;
  const moved = to === from && factor !== 1 ? from + (factor > 1 ? 0.5 : -0.5) : to;
  return Math.min(2000, Math.max(0, moved));
}
