// A clip that a node left behind: some of its frames side by side on a sheet, pictures and depth planes.
//
// An entry with {cells, columns} is a sheet, read row by row; one without is a still that all frames share. `at` names
// the frames that are there.
import { loadPicture, loadPlane } from "./pictures.js";

export const isClip = (left) => (left?.at?.length ?? 0) > 1;

export class Clip {
  /** left: {picture, plane, at, ...}; url(entry): its address. Rejects where a file is gone. */
  static async load(left, url) {
    const [sheet, plane] = await Promise.all([loadPicture(url(left.picture)), loadPlane(url(left.plane), left.plane)]);
    return new Clip(left, sheet, plane);
  }

  constructor(left, sheet, plane) {
    this.left = left;
    this.sheet = sheet;
    this.planes = cellsOf(left.plane, plane).map(([x, y, width, height]) => cut(plane, x, y, width, height));
    this.cells = cellsOf(left.picture, sheet);
    const [, , width, height] = this.cells[0];
    this.canvas = new OffscreenCanvas(width, height); // of the frame that is shown
  }

  /** The number of the kept frame that is nearest to a frame. */
  nearest(frame) {
    const { at } = this.left;
    const after = at.findIndex((kept) => kept >= frame);
    if (after <= 0) return after < 0 ? at.length - 1 : 0;
    return at[after] - frame < frame - at[after - 1] ? after : after - 1;
  }

  planeOf(frame) {
    return this.planes[Math.min(this.nearest(frame), this.planes.length - 1)];
  }

  /** What there is to see at a frame, until the next is asked for. */
  sceneOf(frame) {
    const [x, y, width, height] = this.cells[Math.min(this.nearest(frame), this.cells.length - 1)];
    this.canvas.getContext("2d").drawImage(this.sheet, x, y, width, height, 0, 0, width, height);
    return { ...this.left, bitmap: this.canvas, plane: this.planeOf(frame) };
  }

  close() {
    this.sheet.close();
  }
}

/** [x, y, width, height] of every frame on a sheet of that size. */
function cellsOf({ cells = 1, columns = 1 }, { width, height }) {
  const w = width / columns, h = height / Math.ceil(cells / columns);
  return Array.from({ length: cells }, (_, i) => [w * (i % columns), h * Math.floor(i / columns), w, h]);
}

function cut({ data, width: across }, x, y, width, height) {
  const part = new Float32Array(width * height);
  for (let row = 0; row < height; row++) {
    const from = (y + row) * across + x;
    part.set(data.subarray(from, from + width), row * width);
  }
  return { data: part, width, height };
}
