// The view of BokehSynthesize and DeblurAiF: the picture before and after, with an edge to drag between them.
import { LeftView, firstOf } from "./left.js";
import { loadPicture } from "./pictures.js";

const HEIGHT = 220; // of the view at least, in the page's pixels
const MODES = [
  ["before", "Before", "The picture that came in; hold the pointer down to see the other"],
  ["wipe", "Wipe", "Before at the left of the edge, after at the right: drag it"],
  ["after", "After", "The picture that goes out; hold the pointer down to see the other"],
];
const OTHER = { before: "after", after: "before" };
const WAYS = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 };

export function wipeView(host) {
  return new WipeView(host);
}

class WipeView extends LeftView {
  constructor(host) {
    super(host);
    this.mode = "wipe";
    this.edge = 0.5; // 0..1 of the picture's width
    this.held = false;
    this.show = this.frame.addChoice(MODES, (mode) => {
      this.mode = mode;
      this.refresh();
    });
    this.show(this.mode);
    this.open(HEIGHT);
  }

  async load(left, url) {
    const [before, after] = await Promise.all([loadPicture(url(left.before)), loadPicture(url(left.after))]);
    this.frame.size = [after.width, after.height];
    return { before, after };
  }

  draw(context, area, scale) {
    const { before, after } = this.pictures, { x, y, width, height } = area;
    context.imageSmoothingQuality = "high";
    if (this.mode !== "wipe") {
      const seen = this.held ? OTHER[this.mode] : this.mode;
      context.drawImage(this.pictures[seen], x, y, width, height);
      label(context, seen, x, y + height, scale, "left");
      return;
    }
    const edge = x + this.edge * width;
    context.drawImage(after, x, y, width, height);
    context.save();
    context.beginPath();
    context.rect(x, y, edge - x, height);
    context.clip();
    context.drawImage(before, x, y, width, height);
    if (this.edge > 0.2) label(context, "before", x, y + height, scale, "left");
    context.restore();
    if (this.edge < 0.8) label(context, "after", x + width, y + height, scale, "right");
    handle(context, edge, y, height, scale);
  }

  words() {
    if (!this.pictures) return "Run the workflow to compare before and after here.";
    const first = firstOf(Math.max(this.loaded.of, this.loaded.runs ?? 1), "pictures");
    return first + (this.mode === "wipe" ? "Drag the edge." : "Hold: the other.");
  }

  moveTo(edge) {
    this.edge = Math.min(1, Math.max(0, edge));
    this.refresh();
  }

  press(point) {
    if (!this.pictures) return false;
    this.held = true;
    if (this.mode === "wipe") this.moveTo(point.x);
    this.refresh();
    return true;
  }

  drag(point) {
    if (this.mode === "wipe") this.moveTo(point.x);
  }

  release() {
    this.held = false;
    this.refresh();
  }

  key(event) {
    if (!this.pictures || this.mode !== "wipe" || !(event.key in WAYS)) return false;
    this.moveTo(this.edge + WAYS[event.key]);
    return true;
  }
}

/** A white line with a black rim and two arrows. */
function handle(context, x, y, height, scale) {
  const middle = y + height / 2;
  context.save();
  for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = width * scale;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x, y + height);
    for (const way of [-1, 1]) {
      context.moveTo(x + way * 6 * scale, middle - 5 * scale);
      context.lineTo(x + way * 11 * scale, middle);
      context.lineTo(x + way * 6 * scale, middle + 5 * scale);
    }
    context.stroke();
  }
  context.restore();
}

/** A word in a corner of the picture. */
function label(context, text, x, bottom, scale, align) {
  context.save();
  context.font = `${10 * scale}px system-ui, sans-serif`;
  const wide = context.measureText(text).width + 10 * scale, tall = 16 * scale;
  const left = align === "left" ? x + 4 * scale : x - wide - 4 * scale, top = bottom - tall - 4 * scale;
  context.fillStyle = "rgba(0, 0, 0, 0.6)";
  context.fillRect(left, top, wide, tall);
  context.fillStyle = "#fff";
  context.textBaseline = "middle";
  context.fillText(text, left + 5 * scale, top + tall / 2);
  context.restore();
}
