// The box that every view shares: small buttons, a picture that fits into what room there is, one line of text.
//
// It draws once after something changed, and only while it can be seen. Points (x, y) are in 0..1 of the picture.

const STYLE = `
.rackfocus { display: flex; flex-direction: column; gap: 4px; width: 100%; height: 100%; min-width: 0; min-height: 0; flex: 1;
  box-sizing: border-box; contain: inline-size;
  color: #ddd; font: 11px/1.3 system-ui, sans-serif; }
.isLOD .rackfocus { pointer-events: auto; } /* Vue pages up to 1.3x take it from the widgets of nodes that look small */
.rackfocus-bar { display: flex; flex-wrap: wrap; gap: 3px; align-items: center; flex: none; }
.rackfocus-bar button { all: unset; cursor: pointer; padding: 2px 8px; border-radius: 4px; background: #3a3a3e; color: #ccc;
  font: inherit; user-select: none; }
.rackfocus-bar button:hover { background: #4c4c52; }
.rackfocus-bar button[aria-pressed="true"] { background: #e8e8e8; color: #111; }
.rackfocus-bar button:focus-visible, .rackfocus-picture:focus-visible { outline: 2px solid #7ab8ff; outline-offset: -1px; }
.rackfocus-bar button:disabled { opacity: .45; cursor: default; }
.rackfocus-space { flex: 1; }
.rackfocus-room { position: relative; flex: 1 1 0; min-height: 40px; }
.rackfocus-picture { position: absolute; inset: 0; width: 100%; height: 100%; touch-action: none; outline: none;
  background: #17171a; border-radius: 4px; }
.rackfocus-line { flex: none; min-height: 1.3em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; color: #aaa; }
`;
const DENSITY = 2; // pixels of the canvas for one of the page at zoom 1, so that a view stays sharp when zoomed in
const MOST = 2048; // pixels of the canvas

export class Frame {
  /** draw(context, area): area {x, y, width, height} is where the picture lies, in the canvas's pixels. */
  constructor({ name, draw }) {
    this.drawPicture = draw;
    this.size = null; // [width, height] of the picture that is shown
    this.draws = 0;
    this.visible = false;
    this.waiting = 0;
    this.hands = null;
    this.element = part("div", "rackfocus", { rackfocus: name });
    const style = document.createElement("style");
    style.textContent = STYLE;
    this.bar = part("div", "rackfocus-bar");
    this.room = part("div", "rackfocus-room");
    this.canvas = part("canvas", "rackfocus-picture", { rackfocus: "picture" });
    this.canvas.tabIndex = 0;
    this.line = part("div", "rackfocus-line", { rackfocus: "line" });
    this.line.setAttribute("role", "status");
    this.room.append(this.canvas);
    this.element.append(style, this.bar, this.room, this.line);
    this.context = this.canvas.getContext("2d");
    this.seen = new IntersectionObserver((entries) => {
      this.visible = entries.at(-1).isIntersecting;
      this.onVisible?.(this.visible);
      if (this.visible) this.invalidate();
    });
    this.seen.observe(this.canvas);
    this.sized = new ResizeObserver(() => this.invalidate());
    this.sized.observe(this.room);
    this.canvas.addEventListener("focus", () => {
      if (this.hands?.wheel) this.canvas.dataset.captureWheel = "true"; // else Vue pages zoom before it comes here
      this.invalidate();
    });
    this.canvas.addEventListener("blur", () => {
      delete this.canvas.dataset.captureWheel;
      this.invalidate();
    });
    // Buttons belong to the view: the page must not start to drag the node with them.
    this.bar.addEventListener("pointerdown", (event) => event.stopPropagation());
  }

  /** Another room between the picture and the line of text, for a timeline or a slider. */
  addBelow(element) {
    this.line.before(element);
  }

  /** A small button; press() when it is pressed. Its element. */
  addButton(name, label, title, press) {
    const button = part("button", "", { rackfocus: `button-${name}` });
    button.type = "button";
    button.textContent = label;
    button.title = title;
    button.addEventListener("click", press);
    this.bar.append(button);
    return button;
  }

  /** Free room in the bar: what is added after it stands at the right. */
  addSpace() {
    this.bar.append(part("span", "rackfocus-space"));
  }

  /** Buttons of which one is pressed: [[name, label, title], ...]; choose(name). Returns show(name). */
  addChoice(choices, choose) {
    const buttons = new Map();
    const show = (name) => buttons.forEach((b, n) => b.setAttribute("aria-pressed", String(n === name)));
    for (const [name, label, title] of choices)
      buttons.set(name, this.addButton(name, label, title, () => { show(name); choose(name); }));
    return Object.assign(show, { buttons });
  }

  say(text) {
    if (this.line.textContent !== text) this.line.textContent = text;
    this.line.title = text;
  }

  /** Draw once, in the next animation frame, if the view can be seen; else when it can. */
  invalidate() {
    if (this.waiting || !this.visible) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      if (this.visible) this.draw();
    });
  }

  draw() {
    const { canvas, context } = this;
    const scale = Math.min(DENSITY * devicePixelRatio, MOST / Math.max(1, canvas.clientWidth, canvas.clientHeight));
    const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.clearRect(0, 0, width, height);
    this.draws++;
    canvas.dataset.draws = this.draws;
    this.drawPicture(context, this.area(width, height), scale);
  }

  /** Where a picture of `size` lies in a room of width x height: as large as it can be, in the middle. */
  area(width, height) {
    const [w, h] = this.size ?? [width, height];
    const k = Math.min(width / w, height / h);
    return { x: (width - w * k) / 2, y: (height - h * k) / 2, width: w * k, height: h * k };
  }

  /** The point of the picture under a pointer event; null outside of it unless `clamp`. */
  pointOf(event, clamp = false) {
    const box = this.canvas.getBoundingClientRect();
    if (!box.width || !box.height) return null;
    const area = this.area(box.width, box.height);
    const x = (event.clientX - box.left - area.x) / area.width, y = (event.clientY - box.top - area.y) / area.height;
    const inside = x >= 0 && x <= 1 && y >= 0 && y <= 1;
    if (!inside && !clamp) return null;
    return { x: Math.min(1, Math.max(0, x)), y: Math.min(1, Math.max(0, y)), inside };
  }

  /**
   * What the hands do: {press(point, event) -> whether a drag begins, drag(point, event, dy), release(event),
   * wheel(steps) -> whether it was used, key(event) -> whether it was used}. dy: pixels of the page since the press.
   * The wheel acts once the picture was clicked; before, it zooms the page as everywhere.
   */
  listen(hands) {
    const { canvas } = this;
    this.hands = hands;
    let from = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || from !== null) return;
      const point = this.pointOf(event);
      event.stopPropagation();
      canvas.focus({ preventScroll: true });
      if (!point || !hands.press(point, event)) return;
      event.preventDefault();
      from = { id: event.pointerId, y: event.clientY };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (from === null || event.pointerId !== from.id) return;
      event.stopPropagation();
      hands.drag(this.pointOf(event, true), event, event.clientY - from.y);
    });
    const end = (event) => {
      if (from === null || event.pointerId !== from.id) return;
      from = null;
      hands.release(event);
    };
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(name, end);
    canvas.addEventListener("wheel", (event) => {
      if (event.ctrlKey || event.metaKey || document.activeElement !== canvas || !event.deltaY) return;
      if (!hands.wheel?.(-Math.sign(event.deltaY), event)) return;
      event.preventDefault();
      event.stopPropagation();
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !hands.key?.(event)) return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  remove() {
    cancelAnimationFrame(this.waiting);
    this.visible = false;
    this.seen.disconnect();
    this.sized.disconnect();
  }
}

/** An element of a class, with data- attributes. */
export function part(tag, className = "", data = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  Object.assign(element.dataset, data);
  return element;
}
