// Views of what a run left behind: files are loaded once, and only when the view can be seen.
import { Frame } from "./frame.js";

export class LeftView {
  /** A view says how its pictures are loaded and drawn: load(left, url), draw(context, area, scale), words(). */
  constructor(host) {
    this.host = host;
    this.pictures = null; // what load gave
    this.loaded = null; // what a run left behind that it was loaded from
    this.files = "null"; // the same, as text
    this.frame = new Frame({
      name: "view",
      draw: (context, area, scale) => this.canDraw && this.draw(context, area, scale),
    });
  }

  /** Into the node, `height` tall at least, once its buttons are there. */
  open(height) {
    if (this.press) this.frame.listen(this);
    this.frame.onVisible = (visible) => visible && this.fetch();
    this.host.addView(this.frame.element, height);
    this.host.onChange(() => this.fetch());
    this.host.onResult(() => this.fetch());
    this.host.onRemoved(() => {
      this.frame.remove();
      this.replace(null);
    });
    this.refresh();
  }

  get canDraw() {
    return this.pictures !== null;
  }

  /** The HostNode whose run is shown. */
  get source() {
    return this.host;
  }

  /** Load what was left behind, if it is not what is shown. */
  async fetch() {
    this.refresh();
    if (!this.frame.visible) return;
    const source = this.source, left = source?.result ?? null, key = JSON.stringify(left);
    if (key === this.files) return;
    this.files = key;
    let pictures = null;
    try {
      if (left) pictures = await this.load(left, (file) => source.url(file));
    } catch {
      if (key === this.files) source.forgetResult(); // files of a host that was started anew
      return;
    }
    if (key !== this.files) return close(pictures);
    this.loaded = left;
    this.replace(pictures);
    this.refresh();
  }

  replace(pictures) {
    close(this.pictures);
    this.pictures = pictures;
  }

  refresh() {
    this.frame.say(this.words());
    this.frame.canvas.setAttribute("aria-label", this.frame.line.textContent);
    this.frame.invalidate();
  }
}

/** Free the bitmaps among these. */
function close(pictures) {
  for (const picture of Object.values(pictures ?? {})) picture?.close?.();
}

/** "The first of 3 pictures. " where there are several. */
export function firstOf(count, what) {
  return count > 1 ? `The first of ${count} ${what}. ` : "";
}
