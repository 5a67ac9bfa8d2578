// Three ways to look at a scene: the photo, the focus overlay, and live through the lens.
import { LiveLens } from "./live.js";
import { radiusOf, zoneOf } from "./lens.js";
import { loadPicture, loadPlane } from "./pictures.js";

export const LOOKS = [
  ["photo", "Photo", "The picture as it is"],
  ["focus", "Focus", "Blue with rising lines: in front. Green: in focus. Red with falling lines: behind"],
  ["live", "Live", "The picture through the lens as it stands now"],
];
// As in pipelines/optics/show.py; the lines tell the colours apart where the eye does not.
const TINTS = { "-1": [51, 115, 255], 0: [64, 255, 89], 1: [255, 89, 51] };
const LINES = 8; // pixels of the plane from one line to the next

/** A picture, with its depth plane if that is known; see lens.js for the rest of a scene. */
export async function loadScene(left, url) {
  const [bitmap, plane, light] = await Promise.all([
    loadPicture(url(left.picture)), loadPlane(url(left.plane), left.plane), left.shine && loadPicture(url(left.shine)),
  ]);
  return { ...left, bitmap, plane, shine: light && { bitmap: light, gain: left.shine.gain } };
}

// One lens in WebGL for all views of the page: browsers keep few contexts, and views are drawn one at a time.
const shared = {
  live: null,
  owner: null, // the Look whose scene it holds
  why: "", // why nothing can be seen live
  looks: new Set(),

  start() {
    const live = new LiveLens(document.createElement("canvas"));
    this.live = live;
    this.why = live.why;
    live.onLost = () => this.become("the browser took WebGL away, the focus overlay is shown");
    live.onRestored = () => this.become(live.why);
  },

  become(why) {
    this.why = why;
    this.owner = null;
    for (const look of this.looks) look.onChange();
  },

  leave(look) {
    this.looks.delete(look); // the lens stays: undo makes every node anew, and to make it again takes a second
    if (this.owner === look) this.owner = null;
  },
};

export class Look {
  /** onChange(): something that was drawn has changed by itself. */
  constructor(onChange) {
    this.onChange = onChange;
    this.scene = null;
    this.aperture = null;
    this.tinted = null;
    shared.looks.add(this);
  }

  /** Why nothing can be seen live; empty where it can, or was not tried yet. */
  get why() {
    return shared.why;
  }

  /** scene: {bitmap}, and {plane, kind, shine, ...} where the depth is known; null for none. */
  setScene(scene) {
    this.release();
    this.scene = scene;
    this.tinted = null;
    if (shared.owner === this) shared.owner = null;
  }

  /** Draw the scene into the area. lens: of lensOf, null where it is not known; quick: while the hand moves. */
  draw(context, area, mode, lens, quick = false) {
    const { scene } = this;
    if (!scene) return;
    const picture = !lens || !scene.plane || mode === "photo" ? null : mode === "live" ? this.through(lens, quick) : null;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture ?? scene.bitmap, area.x, area.y, area.width, area.height);
    if (lens && scene.plane && (mode === "focus" || (mode === "live" && !picture)))
      context.drawImage(this.tint(lens), area.x, area.y, area.width, area.height);
  }

  /** The canvas that holds the picture as the lens sees it; null where the page cannot. */
  through(lens, quick) {
    if (!shared.live) shared.start();
    if (shared.why) return null;
    const { live } = shared;
    if (shared.owner !== this) {
      shared.owner = this;
      live.setPicture(this.scene.bitmap, this.scene.shine);
      live.setPlane(this.scene.plane);
      live.setAperture(this.aperture);
    }
    if (!live.draw(lens, quick)) return null;
    if (live.unfinished) this.onChange();
    return live.canvas;
  }

  /** {data, width, height} of the opening as seen from the front; null is a circle. */
  setAperture(aperture) {
    this.aperture = aperture;
    if (shared.owner === this) shared.live.setAperture(aperture);
  }

  /** The overlay of a lens, at the size of the plane; kept until another lens is asked for. */
  tint(lens) {
    const key = JSON.stringify(lens);
    if (this.tinted?.key === key) return this.tinted.canvas;
    const { data, width, height } = this.scene.plane;
    const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let i = 0, y = 0; y < height; y++)
      for (let x = 0; x < width; x++, i++) {
        const zone = zoneOf(radiusOf(data[i], lens)), colour = TINTS[zone];
        const line = zone && (zone < 0 ? x + y : x - y + height) % LINES < 1;
        image.data.set(colour, 4 * i);
        image.data[4 * i + 3] = line ? 170 : 90;
      }
    context.putImageData(image, 0, 0);
    this.tinted = { key, canvas };
    return canvas;
  }

  dispose() {
    shared.leave(this);
    this.release();
    this.scene = null;
  }

  release() {
    this.scene?.bitmap?.close?.();
    this.scene?.shine?.bitmap.close();
  }
}
