// The timeline of a focus pull: a ruler to scrub on, and under it the way of the focus with its keyframes.
//
// It shows what it is told and says what the hand does; what that means is decided by who made it. Heights and places
// are in CSS pixels; frames are whole numbers from 0.

const HEIGHT = 76, RULER = 20, EDGE = 12, MARK = 6, REACH = 9;
// Told apart by their shapes as well: a keyframe on a point is a diamond, one on a distance a square.
const INK = {
  ground: "#161616", beyond: "#0a0a0a", line: "#3a3a3a", text: "#a8a8a8", way: "#d8d8d8", strength: "#4a4a52",
  mark: "#f0a830", chosen: "#ffffff", head: "#5ab4f0",
};

export class Timeline {
  /**
   * on: {scrub(frame), grab(frame), drag(frame, to), drop(), remove(frame), key(event) -> whether it was used}; grab,
   * drag and drop are a keyframe that is moved in time. drag's `to` may be past the end.
   */
  constructor(on) {
    this.on = on;
    this.state = { count: 1, extent: 1, frame: 0, keys: [], focus: [], strength: [], locked: false };
    this.element = document.createElement("canvas");
    this.element.dataset.rackfocus = "timeline";
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "slider");
    this.element.setAttribute("aria-label", "Frame");
    this.element.style.cssText = `display: block; width: 100%; height: ${HEIGHT}px; touch-action: none; outline: none;`;
    for (const [name, act] of Object.entries({
      pointerdown: this.#down, pointermove: this.#move, pointerup: this.#up, pointercancel: this.#up,
      dblclick: this.#double, keydown: this.#key,
    })) this.element.addEventListener(name, act.bind(this));
  }

  static HEIGHT = HEIGHT;

  /** Shows a state: any of {count, extent, frame, keys, focus, strength, locked}. */
  show(state) {
    Object.assign(this.state, state);
    const { frame, count, keys, extent } = this.state;
    this.element.dataset.keys = keys.map((key) => key.frame).join(" ");
    this.element.dataset.extent = extent;
    for (const [name, value] of Object.entries({ now: frame, min: 0, max: count - 1, text: `Frame ${frame}` })) {
      this.element.setAttribute(`aria-value${name}`, value);
    }
  }

  /** Where a frame stands, from the left. */
  x(frame) {
    const width = this.element.clientWidth - 2 * EDGE;
    return EDGE + (width * frame) / Math.max(1, this.state.extent - 1);
  }

  /** The frame nearest to a place from the left, at least 0; past the right end it goes on. */
  frameAt(x) {
    const width = this.element.clientWidth - 2 * EDGE;
    return Math.max(0, Math.round(((x - EDGE) / width) * Math.max(1, this.state.extent - 1)));
  }

  /** Where keyframes stand, from the top. */
  y(key) {
    const value = this.state.focus[Math.min(key.frame, this.state.focus.length - 1)];
    return value === undefined ? (RULER + HEIGHT) / 2 : this.#height(value);
  }

  #height(value) {
    const { focus } = this.state, low = Math.min(...focus), high = Math.max(...focus);
    const part = high > low ? (value - low) / (high - low) : 0.5;
    return HEIGHT - 10 - part * (HEIGHT - RULER - 20); // nearer is higher
  }

  #place(event) {
    const box = this.element.getBoundingClientRect(), zoom = box.width / this.element.clientWidth || 1;
    return [(event.clientX - box.left) / zoom, (event.clientY - box.top) / zoom];
  }

  /** The keyframe under a place, the nearest of several. */
  keyAt(x, y) {
    if (y < RULER) return null;
    const near = this.state.keys.filter((key) => Math.abs(this.x(key.frame) - x) <= REACH);
    const away = (key) => Math.hypot(this.x(key.frame) - x, (this.y(key) - y) / 4);
    return near.sort((a, b) => away(a) - away(b))[0] ?? null;
  }

  #down(event) {
    if (event.button) return;
    event.stopPropagation();
    event.preventDefault();
    this.element.focus({ preventScroll: true });
    this.element.setPointerCapture(event.pointerId);
    const [x, y] = this.#place(event), key = this.keyAt(x, y);
    this.held = { key: key?.frame ?? null, x, moved: false };
    this.on.scrub(key?.frame ?? Math.min(this.frameAt(x), this.state.extent - 1));
  }

  #move(event) {
    const [x, y] = this.#place(event);
    if (!this.held) {
      this.element.style.cursor = this.keyAt(x, y) ? (this.state.locked ? "pointer" : "ew-resize") : "default";
      return;
    }
    event.stopPropagation();
    const { held } = this;
    if (held.key === null) return this.on.scrub(Math.min(this.frameAt(x), this.state.extent - 1));
    if (this.state.locked || (!held.moved && Math.abs(x - held.x) < 3)) return;
    if (!held.moved) this.on.grab(held.key);
    held.moved = true;
    this.on.drag(held.key, this.frameAt(x));
  }

  #up(event) {
    if (!this.held) return;
    event.stopPropagation();
    const { moved } = this.held;
    this.held = null;
    if (moved) this.on.drop();
  }

  #double(event) {
    event.stopPropagation();
    event.preventDefault();
    const key = this.keyAt(...this.#place(event));
    if (key && !this.state.locked) this.on.remove(key.frame);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.on.key(event)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  draw() {
    const { clientWidth: width } = this.element;
    if (!width) return;
    const sharp = Math.min(3, Math.max(1, (this.element.getBoundingClientRect().width / width) * devicePixelRatio));
    if (this.element.width !== Math.round(width * sharp)) this.element.width = Math.round(width * sharp);
    if (this.element.height !== Math.round(HEIGHT * sharp)) this.element.height = Math.round(HEIGHT * sharp);
    const pen = this.element.getContext("2d");
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.fillStyle = INK.ground;
    pen.fillRect(0, 0, width, HEIGHT);
    const end = this.x(this.state.count - 1) + 1;
    pen.fillStyle = INK.beyond;
    pen.fillRect(end, 0, width - end, HEIGHT);
    this.#drawRuler(pen, width);
    this.#drawWay(pen);
    for (const key of this.state.keys) this.#drawMark(pen, key);
    this.#drawHead(pen, width);
  }

  #drawRuler(pen, width) {
    const { extent } = this.state, least = (44 * extent) / width; // frames between two numbers
    const step = [1, 2, 4, 6, 12, 24, 48, 120, 240, 480, 1200, 2400, 4800].find((n) => n >= least) ?? 9600;
    pen.font = "10px sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (let frame = 0; frame < extent; frame += step) {
      pen.fillStyle = INK.line;
      pen.fillRect(Math.round(this.x(frame)), RULER - 5, 1, HEIGHT);
      pen.fillStyle = INK.text;
      pen.fillText(frame, this.x(frame), 3);
    }
    pen.fillStyle = INK.line;
    pen.fillRect(0, RULER, width, 1);
  }

  #drawWay(pen) {
    const { focus, strength } = this.state;
    const strongest = Math.max(...strength, 1e-9), low = HEIGHT - 2;
    pen.fillStyle = INK.strength;
    pen.beginPath();
    pen.moveTo(this.x(0), low);
    strength.forEach((value, frame) => pen.lineTo(this.x(frame), low - (14 * value) / strongest));
    pen.lineTo(this.x(strength.length - 1), low);
    pen.fill();
    pen.strokeStyle = INK.way;
    pen.lineWidth = 1.5;
    pen.beginPath();
    focus.forEach((value, frame) => pen.lineTo(this.x(frame), this.#height(value)));
    pen.stroke();
  }

  #drawMark(pen, key) {
    const x = this.x(key.frame), y = this.y(key), chosen = key.frame === this.state.frame;
    pen.save();
    pen.translate(x, y);
    if (key.point) pen.rotate(Math.PI / 4);
    pen.fillStyle = INK.mark;
    pen.strokeStyle = chosen ? INK.chosen : "#000000";
    pen.lineWidth = chosen ? 2 : 1;
    pen.globalAlpha = this.state.locked ? 0.6 : 1;
    const half = key.point ? MARK - 1 : MARK - 1.5;
    pen.beginPath();
    pen.rect(-half, -half, 2 * half, 2 * half);
    pen.fill();
    pen.stroke();
    pen.restore();
  }

  #drawHead(pen, width) {
    const { frame } = this.state, x = this.x(frame);
    pen.fillStyle = INK.head;
    pen.fillRect(x - 0.75, 0, 1.5, HEIGHT);
    const half = 5 + 3.5 * String(frame).length, at = Math.min(width - half, Math.max(half, x));
    pen.fillRect(at - half, 1, 2 * half, 14);
    pen.fillStyle = "#000000";
    pen.font = "bold 10px sans-serif";
    pen.fillText(frame, at, 3);
  }
}
