// The view of RefocusPhoto: the picture in the node, a click says what is to be sharp; what came out stands beside it.
import { FocusView } from "./focus.js";
import { loadScene } from "./look.js";
import { loadPicture } from "./pictures.js";
import { shown } from "./scene.js";

const RESULT = ["result", "Result", "What the last run made"];
// What RefocusLens has widgets for and this node has not.
const LENS = {
  focus_by: "point", lens: "artist", scene_near: 1, scene_far: 10, near_factor: 1, far_factor: 1, in_focus_range: 0,
};

export function photoView(host) {
  return new PhotoView(host);
}

class PhotoView extends FocusView {
  static looks = [...FocusView.looks, RESULT];
  static blur = "blur";

  get settings() {
    const { blur, ...own } = this.host.values(["focus_x", "focus_y", "blur", "depth_kind"]);
    return { ...LENS, ...own, strength: blur };
  }

  /** Of a run of this node; or the sample's, whose depth counts only where it is connected. */
  async read(left, url) {
    const known = left.plane && (left.after || this.host.before("depth"));
    const [scene, after] = await Promise.all([
      known ? loadScene(left, url) : loadPicture(url(left.picture)).then((bitmap) => ({ ...left, bitmap, plane: null, shine: null })),
      left.after ? loadPicture(url(left.after)) : null,
    ]);
    return { ...scene, after };
  }

  adopt(scene) {
    this.after?.close?.();
    this.after = scene?.after ?? null;
    super.adopt(scene);
    const made = this.after && this.result?.after?.filename;
    if (made && made !== this.made) this.showAs("result"); // a run has ended: what it made is what one wants to see
    this.made = made;
  }

  draw(context, area, scale) {
    if (this.mode !== "result" || !this.after) return super.draw(context, area, scale);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.after, area.x, area.y, area.width, area.height);
    this.frame.say(this.words());
  }

  words() {
    const { scene } = this.look;
    if (!scene) return "Connect a picture to image, or run this node, to see it here.";
    const { focus_x: x, focus_y: y, strength, depth_kind } = this.settings;
    const asked = `focus ${shown(x)}, ${shown(y)}; blur ${shown(strength)}`;
    if (this.mode === "result") {
      if (!this.after) return "Run this node to see its result.";
      return scene.of > 1 ? `The first of ${scene.of} pictures. Click: another focus.` : "Click: another focus, then run.";
    }
    const hands = "Click: focus. Wheel or Shift + drag: blur. Arrows: move.";
    if (!scene.plane) return `${asked}. ${hands} Run this node to see it.`;
    if (this.result && scene.depth_kind && scene.depth_kind !== depth_kind) return "depth_kind has changed: run this node to see it.";
    if (!this.lens(this.settings)) return "The focus is not known before a run: a widget is connected.";
    if (this.mode === "live" && this.look.why) return `Not live: ${this.look.why}.`;
    return `${asked}. ${hands}`;
  }

  /** Where one points, the focus is to be seen: the result is that of another. */
  press(point, event) {
    if (this.mode === "result") this.showAs("live");
    return super.press(point, event);
  }

  showAs(mode) {
    this.mode = mode;
    this.show(mode);
    this.refresh();
  }
}
