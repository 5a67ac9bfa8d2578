// The view of ApertureShapeMask: the opening as its widgets stand, drawn by the node's own function on the host.
import { LeftView } from "./left.js";
import { loadPicture } from "./pictures.js";

const HEIGHT = 170; // of the view at least, in the page's pixels
const ACCEPT = { headers: { Accept: "image/png, text/plain" } };
const WIDGETS = ["shape", "blades", "roundness", "rotation", "squeeze", "inner", "offset"];

/** The widgets of an ApertureShapeMask as a query of /rackfocus/aperture; null where one, or a picture, comes over a link. */
export function openingQuery(host) {
  const values = host.values(WIDGETS);
  if (host.before("image") || Object.values(values).some((value) => value === undefined)) return null;
  return String(new URLSearchParams(values));
}

export function apertureView(host) {
  return new ApertureView(host);
}

class ApertureView extends LeftView {
  constructor(host) {
    super(host);
    this.asked = null; // the query whose answer is shown
    this.asking = false; // one at a time: of many changes the newest is asked for
    this.drawn = null;
    this.refused = "";
    this.frame.canvas.tabIndex = -1; // nothing to do in it
    this.host.hidePicture();
    this.open(HEIGHT);
    this.host.onRemoved(() => this.drawn?.close());
  }

  get query() {
    return openingQuery(this.host);
  }

  async fetch() {
    if (this.query === null) return super.fetch();
    this.refresh();
    if (this.asking) return;
    this.asking = true;
    try {
      while (this.frame.visible && this.query !== null && this.query !== this.asked) await this.ask(this.query);
    } finally {
      this.asking = false;
    }
  }

  async ask(query) {
    let bitmap = null, refused = "";
    try {
      const answer = await this.host.ask(`/rackfocus/aperture?${query}`, ACCEPT);
      const isText = answer.headers.get("Content-Type")?.startsWith("text/plain");
      if (!answer.ok) refused = "The host does not draw it.";
      else if (isText) refused = await answer.text(); // one sentence
      else bitmap = await createImageBitmap(await answer.blob());
    } catch {
      refused = "The host does not answer.";
    }
    this.drawn?.close();
    Object.assign(this, { drawn: bitmap, refused, asked: query });
    this.refresh();
  }

  async load(left, url) {
    return { mask: await loadPicture(url(left.mask)) };
  }

  get canDraw() {
    return Boolean(this.shown);
  }

  get shown() {
    return this.query === null ? this.pictures?.mask : this.drawn;
  }

  refresh() {
    const { shown } = this;
    this.frame.size = shown ? [shown.width, shown.height] : null;
    super.refresh();
  }

  draw(context, { x, y, width, height }) {
    context.imageSmoothingQuality = "high";
    context.drawImage(this.shown, x, y, width, height);
  }

  words() {
    if (this.query === null) return this.pictures ? "As in the last run." : "Run the workflow to see the opening here.";
    return this.refused || "As seen from the front.";
  }
}
