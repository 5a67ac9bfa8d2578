// The view of RefocusLens: the picture in the node, a click says what is sharp.
import { lensOf } from "./lens.js";
import { SceneView, cross, dragged, shown, stronger, wheeled } from "./scene.js";

const WIDGETS = [
  "depth_kind", "focus_by", "focus_x", "focus_y", "focus_distance", "lens", "strength", "focal_mm", "f_number", "sensor_mm",
  "scene_near", "scene_far", "near_factor", "far_factor", "in_focus_range",
];
const HEIGHT = 230; // of the view at least, in the page's pixels
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function focusView(host) {
  return new FocusView(host);
}

export class FocusView extends SceneView {
  static blur = "strength"; // the widget of an artist's blur

  constructor(host) {
    super(host);
    this.open(HEIGHT);
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
    if (!this.look.scene) return false; // there is nothing yet to point at
    this.moving = true;
    this.host.beginEdit();
    this.blurring = event.shiftKey ? this.host.get(this.blurWidget) : null;
    if (!event.shiftKey) this.focusAt(point);
    return true;
  }

  drag(point, event, dy) {
    if (this.blurring === null) this.focusAt(point);
    else if (Number.isFinite(this.blurring)) this.blurTo(this.blurring, dragged(dy));
  }

  release() {
    this.moving = false;
    this.host.endEdit();
    this.refresh();
  }

  wheel(steps) {
    const blur = this.host.get(this.blurWidget);
    if (!Number.isFinite(blur)) return false;
    this.host.edit(() => this.blurTo(blur, wheeled(steps)));
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
    this.host.set({ ...(this.host.has("focus_by") && { focus_by: "point" }), focus_x: to(x), focus_y: to(y) });
  }

  get blurWidget() {
    return this.host.get("lens") === "camera" ? "f_number" : this.constructor.blur;
  }

  /** More blur by a factor: more strength, or a smaller f-number. */
  blurTo(from, factor) {
    if (this.blurWidget === "f_number") {
      this.host.set({ f_number: Math.min(64, Math.max(0.1, Math.round((10 * from) / factor) / 10)) });
      return;
    }
    this.host.set({ [this.constructor.blur]: stronger(from, factor) });
  }
}
