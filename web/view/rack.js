// The view of RefocusRack: the pull seen frame by frame, and a timeline of its keyframes.
//
// The text of the widget is the truth: whatever the hands do becomes a small change of it, and what is typed moves the
// marks. Focus and strength between keyframes are those of pipelines/optics/rack.py.
import { Clip, isClip } from "./clip.js";
import {
  EASINGS, MOST_FRAMES, curve, namedStrengths, parse, remove, retime, setPoint, setStrength,
} from "./keyframes.js";
import { conversion, focusOf, toDisparity, valueAt } from "./lens.js";
import { Played } from "./played.js";
import { SceneView, cross, dragged, shown, stronger, wheeled } from "./scene.js";
import { Timeline } from "./timeline.js";

const WIDGETS = [
  "depth_kind", "keyframes", "frames", "easing", "strength", "scene_near", "scene_far", "near_factor", "far_factor",
  "in_focus_range",
];
const HEIGHT = 330; // of the view at least, in the page's pixels
const SECOND = 24; // frames of it, while the pull plays
const LEAST = 25, ROOM = 12; // frames that a timeline has at least, and by which a pull can be made longer on it
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
// A point is rounded by so much at most: two decimals are what a person writes, and what a depth is read by.
const ROUNDED = 0.005, ROUNDED_PIXELS = 1.5;

export function rackView(host) {
  return new RackView(host);
}

class RackView extends SceneView {
  constructor(host) {
    super(host);
    this.now = 0;
    this.clip = null;
    this.playing = 0; // the animation frame that is waited for
    this.played = new Played();
    this.timeline = new Timeline({
      scrub: (frame) => this.go(frame),
      grab: () => this.begin(),
      drag: (frame, to) => this.retime(frame, to),
      drop: () => this.release(),
      remove: (frame) => this.removeAt(frame),
      key: (event) => this.timelineKey(event),
    });
    this.frame.addBelow(this.timeline.element);
    this.playButton = this.frame.addButton("play", "Play", "Play the pull, again and again (Space)", () =>
      this.playing ? this.stop() : this.play());
    this.deleteButton = this.frame.addButton("delete", "Delete", "Delete the keyframe of this frame (Delete)", () =>
      this.removeAt(this.now));
    this.open(HEIGHT);
    host.onRemoved(() => this.clip?.close());
  }

  // The pull

  read(left, url) {
    return isClip(left) ? Clip.load(left, url).then((clip) => ({ bitmap: clip.sheet, clip })) : super.read(left, url);
  }

  adopt(scene) {
    this.clip?.close();
    this.clip = scene?.clip instanceof Clip ? scene.clip : null;
    this.seenAt = null;
    super.adopt(this.clip ? this.sceneAt(this.now) : scene);
  }

  sceneAt(frame) {
    this.seenAt = this.clip.nearest(frame);
    return this.clip.sceneOf(frame);
  }

  /** Frames that a clip has; 0 of a still. */
  get clipLength() {
    return this.look.scene?.clip ?? 0;
  }

  /** Everything that the text and the other widgets make of the scene, kept until one of them changes. */
  get pull() {
    const settings = this.host.values(WIDGETS), { scene } = this.look;
    const key = JSON.stringify(settings);
    if (this.made?.key !== key || this.made.from !== (this.clip ?? scene)) {
      this.made = { key, from: this.clip ?? scene, ...this.pullOf(settings, scene) };
    }
    return this.made;
  }

  pullOf(settings, scene) {
    const text = settings.keyframes ?? "", { keys, wrong } = parse(text);
    const last = keys.at(-1)?.frame ?? 0;
    const count = Math.min(MOST_FRAMES, this.clipLength || settings.frames || last + 1);
    const free = !this.clipLength && settings.frames === 0; // its last keyframe makes it as long as it is
    const longer = Math.max(LEAST, last + 1 + Math.max(ROOM, last >> 2));
    const extent = Math.min(MOST_FRAMES, free ? longer : Math.max(count, last + 1));
    const pull = { settings, text, keys, wrong, count, extent, free, focus: [], strength: [], how: null };
    const { easing, strength, scene_near: near, scene_far: far } = settings;
    if (!keys.length || !(easing in EASINGS)) return pull;
    if (Number.isFinite(strength)) pull.strength = curve(namedStrengths(keys, strength), extent, easing);
    if (!scene?.plane || !Number.isFinite(near) || !Number.isFinite(far)) return pull;
    const ratio = near / far; // an inverted map's scale, see rack.py
    pull.how = scene.kind === "inverted" ? { inverted: true, ratio, top: ratio } : conversion(scene.kind, settings);
    const focus = keys.map((key) => [key.frame, this.focusOf(key, pull.how, scene, settings)]);
    if (focus.every(([, value]) => Number.isFinite(value))) pull.focus = curve(focus, extent, easing);
    return pull;
  }

  focusOf(key, how, scene, settings) {
    const plane = this.clip?.planeOf(key.frame) ?? scene.plane;
    if (key.point) return toDisparity(valueAt(plane, ...key.point), how);
    return focusOf(scene, { ...settings, focus_by: "distance", focus_distance: key.metres });
  }

  /** The lens at a frame; null where it is not known. */
  lensAt(frame) {
    const { settings, how, focus, strength } = this.pull, { scene } = this.look;
    const numbers = [settings.near_factor, settings.far_factor, settings.in_focus_range];
    if (focus[frame] === undefined || strength[frame] === undefined || !numbers.every(Number.isFinite)) return null;
    return {
      how, focus: focus[frame], strength: (strength[frame] * scene.bitmap.width) / 1000,
      nearFactor: settings.near_factor, farFactor: settings.far_factor, slab: settings.in_focus_range / 2,
    };
  }

  get keyNow() {
    return this.pull.keys.find((key) => key.frame === this.now) ?? null;
  }

  get locked() {
    return this.host.isLinked("keyframes");
  }

  // What is drawn

  draw(context, area, scale) {
    if (this.clip && this.clip.nearest(this.now) !== this.seenAt) this.look.setScene(this.sceneAt(this.now));
    const { keys, count, extent, focus, strength } = this.pull;
    this.drawPicture(context, area);
    if (this.look.scene) {
      for (const key of keys) if (key.point && key.frame !== this.now) dot(context, area, key, scale);
      const point = this.keyNow?.point;
      if (point) cross(context, area.x + point[0] * area.width, area.y + point[1] * area.height, scale);
    }
    this.timeline.show({
      keys, count, focus, strength, frame: this.now, locked: this.locked, extent: this.heldExtent ?? extent,
    });
    this.timeline.draw();
    this.drawn = this.now;
    if (this.look.scene) this.frame.canvas.dataset.frame = this.now;
    this.frame.say(this.words());
  }

  drawPicture(context, area) {
    const lens = this.look.scene && this.lensAt(this.now), playing = this.playing > 0;
    const keeps = playing && this.mode === "live" && lens !== null;
    if (keeps) {
      this.played.madeOf(this.pull, this.look.aperture, area.width, area.height);
      if (this.played.draw(context, area, this.now)) return;
    }
    this.look.draw(context, area, this.mode, lens, this.moving || playing);
    if (keeps) this.played.keep(context, area, this.now, this.pull.count);
    this.frame.canvas.dataset.played = this.played.frames.size;
  }

  refresh() {
    this.now = Math.min(this.now, (this.heldExtent ?? this.pull.extent) - 1);
    this.deleteButton.disabled = this.locked || !this.keyNow;
    this.playButton.disabled = this.pull.count < 2;
    super.refresh();
  }

  words() {
    if (this.playing) return "Playing. Space stops.";
    const { keys, wrong, count, settings, strength } = this.pull, { scene } = this.look, key = this.keyNow;
    if (wrong.length) {
      const [{ line, text, why }] = wrong;
      const more = why && ` (${why})`;
      return `Line ${line} of keyframes reads '${text.slice(0, 40)}'${more}: write 24: 0.8, 0.4 or 24: 2.5m.`;
    }
    if (settings.keyframes === undefined) return "keyframes come over a link: they are not known here.";
    const at = `Frame ${this.now}/${count - 1}`;
    if (!scene) return `${at}. Connect a picture to image, or run this node, to see it here.`;
    if (!keys.length) return `${at}. Click on what should be sharp here.`;
    if (this.result && scene.depth_kind !== settings.depth_kind) return "depth_kind has changed: run this node.";
    const what = !key ? "" : key.point ? `: ${key.point.map(shown).join(", ")}` : `: ${shown(key.metres)} m`;
    const now = `${at}${what}, strength ${shown(Math.round(10 * strength[this.now]) / 10)}.`;
    if (!scene.plane) return `${now} Run this node to see the blur.`;
    if (this.locked) return `${now} Keyframes come over a link.`;
    if (this.mode === "live" && this.look.why) return `${now} Not live: ${this.look.why}.`;
    return `${now} Click: focus. Wheel or Shift + drag: strength. Space: play.`;
  }

  // Time

  go(frame) {
    this.stop();
    this.now = frame;
    this.refresh();
  }

  /** One frame after the other, each is drawn before the next; from the start again after the last. */
  play() {
    if (this.pull.count < 2) return;
    if (this.now >= this.pull.count - 1) this.now = 0;
    let last = null;
    const step = (time) => {
      last ??= time;
      if (this.drawn === this.now && time - last >= 1000 / SECOND - 4) {
        this.now = (this.now + 1) % this.pull.count;
        last = time;
        this.frame.invalidate();
      }
      this.playing = requestAnimationFrame(step);
    };
    this.playing = requestAnimationFrame(step);
    this.playButton.textContent = "Stop";
    this.refresh();
  }

  stop() {
    if (!this.playing) return;
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    this.played.clear();
    this.playButton.textContent = "Play";
    this.refresh();
  }

  rest() {
    this.stop();
  }

  // What the hands do

  /** A change of the text; fn(text) -> text. */
  change(fn) {
    if (!this.locked) this.host.set({ keyframes: fn(this.pull.text) });
    this.refresh();
  }

  begin() {
    this.moving = true;
    this.heldExtent = this.pull.extent;
    this.textBefore = this.pull.text;
    this.host.beginEdit();
  }

  release() {
    this.moving = false;
    this.heldExtent = null;
    this.host.endEdit();
    this.refresh();
  }

  press(point, event) {
    this.stop();
    if (!this.look.scene || this.locked) return false;
    this.blurring = event.shiftKey ? this.strengthNow : null;
    if (event.shiftKey && !this.blurring) return false;
    this.begin();
    if (!this.blurring) this.focusOn(point);
    return true;
  }

  drag(point, event, dy) {
    if (this.blurring) this.blurring.write(stronger(this.blurring.value, dragged(dy)));
    else this.focusOn(point);
  }

  wheel(steps) {
    this.stop();
    const strength = this.strengthNow;
    if (!strength) return false;
    this.host.edit(() => strength.write(stronger(strength.value, wheeled(steps))));
    return true;
  }

  key(event) {
    const way = ARROWS[event.key], point = this.keyNow?.point;
    if (!way) return this.timelineKey(event);
    if (!point || this.locked) return false;
    const by = event.shiftKey ? 0.05 : 0.005;
    const [x, y] = point.map((v, k) => v + by * way[k]);
    this.host.edit(() => this.change((text) => setPoint(text, this.now, x, y)));
    return true;
  }

  /** Keys of the timeline; most of them act on the picture, too. Whether it was one. */
  timelineKey(event) {
    const { keys, extent } = this.pull;
    const next = (way) => {
      if (!event.shiftKey) return this.now + way;
      const ahead = keys.filter((key) => Math.sign(key.frame - this.now) === way);
      return (way > 0 ? ahead[0] : ahead.at(-1))?.frame ?? this.now;
    };
    const to = { ArrowLeft: -1, ",": -1, ArrowRight: 1, ".": 1 }[event.key];
    if (to) this.go(Math.min(extent - 1, Math.max(0, next(to))));
    else if (event.key === "Home") this.go(0);
    else if (event.key === "End") this.go(this.pull.count - 1);
    else if (event.key === " ") this.playing ? this.stop() : this.play();
    else if (event.key === "Delete" || event.key === "Backspace") this.removeAt(this.now);
    else return false;
    return true;
  }

  focusOn({ x, y }) {
    const box = this.frame.canvas.getBoundingClientRect(), area = this.frame.area(box.width, box.height);
    const rounded = Math.min(ROUNDED, ROUNDED_PIXELS / Math.max(area.width, area.height));
    this.change((text) => setPoint(text, this.now, x, y, rounded));
  }

  retime(frame, to) {
    const { free } = this.pull;
    const end = (free ? MOST_FRAMES : this.heldExtent) - 1, wanted = Math.min(to, end);
    const text = retime(this.textBefore, frame, wanted);
    if (text === this.textBefore && wanted !== frame) return; // another keyframe stands there
    this.host.set({ keyframes: text });
    this.now = Math.min(wanted, this.heldExtent - 1);
    this.refresh();
  }

  removeAt(frame) {
    if (this.locked || !this.pull.keys.some((key) => key.frame === frame)) return;
    this.stop();
    this.host.edit(() => this.change((text) => remove(text, frame)));
  }

  /** {value, write(value)} of the strength here: the keyframe's, or the widget's where that one holds; else null. */
  get strengthNow() {
    const { keys, strength, settings } = this.pull, key = this.keyNow;
    const ofWidget = key?.strength == null && (key ? key === keys[0] : keys.every((other) => other.strength === null));
    if (ofWidget) {
      if (!Number.isFinite(settings.strength)) return null;
      return { value: settings.strength, write: (value) => this.host.set({ strength: value }) };
    }
    if (!key || this.locked || strength[this.now] === undefined) return null;
    return { value: strength[this.now], write: (value) => this.change((text) => setStrength(text, key.frame, value)) };
  }
}

/** Where another frame's keyframe is, with that frame's number. */
function dot(context, area, key, scale) {
  const x = area.x + key.point[0] * area.width, y = area.y + key.point[1] * area.height;
  context.save();
  context.font = `${10 * scale}px sans-serif`;
  context.textBaseline = "middle";
  context.strokeStyle = "#000";
  context.lineWidth = 2.5 * scale;
  context.fillStyle = "#f0a830";
  context.beginPath();
  context.arc(x, y, 3 * scale, 0, 2 * Math.PI);
  context.stroke();
  context.fill();
  context.strokeText(key.frame, x + 6 * scale, y);
  context.fillText(key.frame, x + 6 * scale, y);
  context.restore();
}
