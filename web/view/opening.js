// The opening through which the picture of a lens is taken: that of the ApertureShapeMask before the BokehSynthesize
// behind the lens, drawn by the host. A circle where there is none, or none that is known before a run.
import { openingQuery } from "./aperture.js";

export class Opening {
  /** lens: HostNode of a node with a defocus; give(mask): {data, width, height}, or null for a circle. */
  constructor(lens, give) {
    this.lens = lens;
    this.give = give;
    this.query = null; // of the opening that was given last; null is the circle
    this.asking = false; // one at a time: of many changes the newest is asked for
    this.heard = new WeakSet();
  }

  /** Another opening may stand there by now. */
  async look() {
    if (this.asking) return;
    this.asking = true;
    try {
      for (let query = this.wanted(); query !== this.query; query = this.wanted()) {
        this.query = query;
        this.give(query === null ? null : await this.fetch(query));
      }
    } finally {
      this.asking = false;
    }
  }

  wanted() {
    for (const bokeh of this.lens.after("defocus")) {
      this.hear(bokeh);
      const shape = bokeh.type === "BokehSynthesize" ? bokeh.before("aperture") : null;
      if (shape?.type !== "ApertureShapeMask") continue;
      this.hear(shape);
      return openingQuery(shape);
    }
    return null;
  }

  hear(node) {
    if (this.heard.has(node)) return;
    this.heard.add(node);
    node.onChange(() => this.look());
  }

  async fetch(query) {
    const answer = await this.lens.ask(`/rackfocus/aperture?${query}`).catch(() => null);
    if (!answer?.ok) return null;
    const bitmap = await createImageBitmap(await answer.blob());
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const bytes = context.getImageData(0, 0, width, height).data;
    return { data: Float32Array.from({ length: width * height }, (_, i) => bytes[4 * i] / 255), width, height };
  }
}
