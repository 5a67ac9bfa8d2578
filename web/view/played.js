// Frames of a pull as they were drawn while it played: from the second time on it runs as a film does, however long the
// lens takes for one of them.

const MOST_BYTES = 96e6;
const SMALLEST = 0.35; // of the drawn size, for pulls of many frames; below that nothing is kept

export class Played {
  constructor() {
    this.frames = new Map();
    this.of = [];
  }

  /** What is kept was made of these; of anything else nothing is. */
  madeOf(...of) {
    if (of.length !== this.of.length || of.some((one, i) => one !== this.of[i])) this.clear();
    this.of = of;
  }

  clear() {
    this.frames.clear();
  }

  /** Draw a kept frame into the area; whether there was one. */
  draw(context, area, frame) {
    const kept = this.frames.get(frame);
    if (kept) context.drawImage(kept, area.x, area.y, area.width, area.height);
    return kept !== undefined;
  }

  /** Keep what the area shows as one of `count` frames. */
  keep(context, area, frame, count) {
    const scale = Math.min(1, Math.sqrt(MOST_BYTES / (4 * count * area.width * area.height)));
    if (scale < SMALLEST) return;
    const width = Math.max(1, Math.round(area.width * scale)), height = Math.max(1, Math.round(area.height * scale));
    const kept = new OffscreenCanvas(width, height);
    kept.getContext("2d").drawImage(context.canvas, area.x, area.y, area.width, area.height, 0, 0, width, height);
    this.frames.set(frame, kept);
  }
}
