// The view of StackFuse: the fused picture, which frame was sharp where, and how sure that is.
import { cross } from "./scene.js";
import { LeftView, firstOf } from "./left.js";
import { loadPicture } from "./pictures.js";

const HEIGHT = 220; // of the view at least, in the page's pixels
const TABS = [
  ["fused", "Fused", "The picture that is sharp everywhere"],
  ["order", "Order", "Which frame was sharp there: black the first, white the last"],
  ["confidence", "Confidence", "How sure that is: black where nothing tells, white where much does"],
];

export function tabsView(host) {
  return new TabsView(host);
}

class TabsView extends LeftView {
  constructor(host) {
    super(host);
    this.tab = "fused";
    this.point = null; // where one clicked last
    this.show = this.frame.addChoice(TABS, (tab) => {
      this.tab = tab;
      this.refresh();
    });
    this.show(this.tab);
    this.open(HEIGHT);
  }

  async load(left, url) {
    const loaded = await Promise.all(TABS.map(([name]) => loadPicture(url(left[name]))));
    const pictures = Object.fromEntries(TABS.map(([name], i) => [name, loaded[i]]));
    this.frame.size = [pictures.fused.width, pictures.fused.height];
    return pictures;
  }

  draw(context, area, scale) {
    context.imageSmoothingQuality = "high";
    context.drawImage(this.pictures[this.tab], area.x, area.y, area.width, area.height);
    if (this.point) cross(context, area.x + this.point.x * area.width, area.y + this.point.y * area.height, scale);
  }

  words() {
    if (!this.pictures) return "Run the workflow to see the fused picture here.";
    const first = firstOf(this.loaded.runs ?? 1, "stacks");
    if (!this.point) return `${first}Click: which frame was sharp there.`;
    const frame = Math.round(this.at("order") * (this.loaded.frames - 1)) + 1;
    return `${first}Sharp in frame ${frame} of ${this.loaded.frames}, confidence ${this.at("confidence").toFixed(2)}.`;
  }

  /** 0..1: a grey picture's value at the point. */
  at(name) {
    const { width, height } = this.pictures[name], context = new OffscreenCanvas(1, 1).getContext("2d");
    const pixel = (share, size) => Math.min(size - 1, Math.floor(share * size));
    context.drawImage(this.pictures[name], -pixel(this.point.x, width), -pixel(this.point.y, height));
    return context.getImageData(0, 0, 1, 1).data[0] / 255;
  }

  press(point) {
    if (!this.pictures) return false;
    this.drag(point);
    return true;
  }

  drag(point) {
    this.point = point;
    this.refresh();
  }

  release() {}
}
