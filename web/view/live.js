// The live lens: what render_bokeh(quality="fast") of pipelines/optical would give, by WebGL2. The light of clipped
// highlights comes with the picture; without it, highlights = 1.
//
// Once per picture, plane and strength (live_scene.js): light and disparity, depth edges, the background that goes on
// behind them, and so two surfaces for each pixel. At each focus (live_focus.js): the light of highlights out of focus,
// blur radii, colours smoothed to the spacing of the lens points, and what each lens point sees: the nearest surface on
// its ray.
//
// Convention: row 0 is the picture's top; radii are in pixels of the view, positive behind the focal plane.
import { Pass, Texture, isSoftware, waitFor, webgl2 } from "./gl.js";
import { toDisparity } from "./lens.js";
import { lensPoints } from "./lens_points.js";
import { FOCUS } from "./live_focus.js";
import { SCENE } from "./live_scene.js";

const MOST = 768; // pixels of the view's longer side
const SETS = [40, 12, 7]; // lens points for large, small and hardly any blur
const NARROWEST = 0.3; // of lens radii: points nearer to the middle step along their rays as those do
const TILE = 8, LEVELS = 6; // as FILL_REACH of surfaces.py: 2^6 pixels
const PARALLAX = 1; // pixels of radius: neighbours that differ by more stand on different surfaces
const STEPS = { blurred: [1, 0.2], look: [0.8, 0.28] }; // along a ray: of radius in pixels, and of the radius itself

export class LiveLens {
  /** canvas: for this alone. why: a reason where the browser cannot, else empty. onLost(), onRestored(): of WebGL. */
  constructor(canvas) {
    this.canvas = canvas;
    this.why = "";
    this.onLost = this.onRestored = () => {};
    this.gl = webgl2(canvas);
    if (!this.gl) {
      this.why = "this browser has no WebGL 2";
      return;
    }
    this.unfinished = false;
    this.listeners = { webglcontextlost: (event) => this._lost(event), webglcontextrestored: () => this._restored() };
    for (const [type, fn] of Object.entries(this.listeners)) canvas.addEventListener(type, fn);
    this.setAperture(null);
    this._start();
  }

  get size() {
    return { width: this.canvas.width, height: this.canvas.height };
  }

  /**
   * An ImageBitmap, or whatever else WebGL takes, kept until the next; the view is as large, but MOST at most.
   * shine: {bitmap, gain} of the light that its highlights lost (see kept_shine of nodes/views.py), or none.
   */
  setPicture(picture, shine = null) {
    this.picture = picture;
    this.shine = shine;
    const scale = Math.min(1, MOST / Math.max(picture.width, picture.height));
    this.canvas.width = Math.max(1, Math.round(picture.width * scale));
    this.canvas.height = Math.max(1, Math.round(picture.height * scale));
    this.scene = this.drawn = this.steps = null;
  }

  /** {data: Float32Array, width, height}: what lens.how makes disparity of. */
  setPlane(plane) {
    this.plane = plane;
    let low = Infinity, high = -Infinity;
    for (const v of plane.data) {
      if (v < low) low = v;
      if (v > high) high = v;
    }
    this.span = [low, high];
    this.scene = this.drawn = this.steps = null;
  }

  /** {data, width, height} of the opening as seen from the front, 0..1; null is a circle. One without light is none. */
  setAperture(mask) {
    const sets = SETS.map((count) => lensPoints(mask, count) ?? lensPoints(null, count));
    const step = (x, y) => 1 / Math.max(NARROWEST, Math.hypot(x, y));
    const points = sets.flat().map(([x, y, light]) => [x, y, light, step(x, y)]);
    this.points = new Float32Array(4 * 64);
    this.points.set(points.flat());
    this.counts = sets.map((set) => set.length);
    this.drawn = this.steps = null;
  }

  /**
   * Draw the view, if anything has changed. lens: of lensOf, for a picture as wide as the one given; quick: a rougher
   * one while the hand moves, where no GPU draws. There the fine picture that follows comes step by step over the rough
   * one, so that the page stays awake: draw again as long as it is `unfinished`. False where nothing can be drawn.
   */
  draw(lens, quick = false) {
    if (this.why || !this.picture || !this.plane || this.gl.isContextLost()) return false;
    const rough = quick && this.software, keys = [false, true].map((kind) => JSON.stringify([lens, kind]));
    const key = keys[Number(rough)];
    this.unfinished = false;
    if (key === this.drawn) return true;
    if (this.steps?.key !== key) this.steps = { key, work: this._work(lens, rough) };
    const bySteps = this.software && !rough && this.drawn === keys[1];
    do this.unfinished = !this.steps.work.next().done;
    while (this.unfinished && !bySteps);
    if (this.unfinished) {
      waitFor(this.gl); // else all steps would be waited for at the last one
      return true;
    }
    this.steps = null;
    this.drawn = key;
    return true;
  }

  /** The work of a redraw; it yields wherever it may be broken off. */
  *_work(lens, rough) {
    const strength = (lens.strength * this.size.width) / this.picture.width;
    const [low, high] = this.span.map((v) => toDisparity(v, lens.how)), { focus, nearFactor, farFactor } = lens;
    const most = strength * Math.max(nearFactor, farFactor);
    const apart = PARALLAX / Math.max(1e-9, most * (high - low));
    if (!this._serves(lens.how, apart, rough)) {
      this.scene = null; // until all of it is there
      yield* this._makeScene(lens.how, apart);
      this.scene = { how: JSON.stringify(lens.how), apart };
      yield;
    }
    const optics = { lens: [focus, strength, nearFactor, farFactor], scene: [low, high, lens.slab] };
    const largest = Math.max(Math.abs(focus - low), Math.abs(focus - high)) * most;
    yield* this._look(optics, largest, rough);
  }

  /** Whether the scene is that of these; a rough look takes that of a strength not far off. */
  _serves(how, apart, rough) {
    if (this.scene?.how !== JSON.stringify(how)) return false;
    const ratio = this.scene.apart / apart;
    return rough ? ratio > 0.5 && ratio < 2 : ratio === 1;
  }

  /** Give everything back to the browser. */
  dispose() {
    for (const [type, fn] of Object.entries(this.listeners ?? {})) this.canvas.removeEventListener(type, fn);
    for (const texture of this.textures?.values() ?? []) texture.delete();
    this.gl?.getExtension("WEBGL_lose_context")?.loseContext();
    this.picture = this.shine = this.plane = null;
  }

  _start() {
    const { gl } = this;
    this.software = isSoftware(gl);
    this.textures = new Map();
    this.scene = this.drawn = this.steps = null;
    try {
      this.passes = {};
      for (const [name, source] of Object.entries({ ...SCENE, ...FOCUS })) this.passes[name] = new Pass(gl, source);
    } catch (error) {
      this.why = "this browser's WebGL does not take the lens";
      console.warn("Rackfocus, live lens:", error.message);
    }
  }

  _lost(event) {
    event.preventDefault(); // so that it may come back
    this.textures.clear();
    this.scene = this.drawn = this.steps = null;
    this.onLost();
  }

  _restored() {
    this._start();
    this.onRestored();
  }

  /** Run a pass into the texture of a name, width x height. */
  _make(name, pass, width, height, uniforms) {
    let target = this.textures.get(name);
    if (target?.width !== width || target?.height !== height) {
      target?.delete();
      target = new Texture(this.gl, name === "fit" ? "rgba8" : "packed", width, height);
      this.textures.set(name, target);
    }
    this.passes[pass].draw(target, uniforms);
    return target;
  }

  *_makeScene(how, apart) {
    const { width: w, height: h } = this.size, { gl } = this, size = [w, h];
    const picture = new Texture(gl, "rgba8", this.picture.width, this.picture.height, this.picture);
    const lost = this.shine?.bitmap, shine = lost && new Texture(gl, "rgba8", lost.width, lost.height, lost);
    const plane = new Texture(gl, "float", this.plane.width, this.plane.height, this.plane.data);
    const inverted = how.inverted ? how.ratio : 0; // n is of the span, whatever the unit of disparity
    const [low, high] = this.span.map((v) => toDisparity(v, inverted ? { ...how, top: inverted } : UNIT));
    const fit = this._make("fit", "fit", w, h, { picture, size });
    const lit = { shine: shine || fit, shines: Number(Boolean(shine)) };
    const S = this._make("S", "base", w, h, { picture: fit, plane, size, inverted, low, high, apart, ...lit });
    for (const texture of [picture, shine, plane]) texture?.delete();
    const E = this._make("E", "edges", w, h, { S, apart });
    yield;
    const cells = (k) => [Math.ceil(w / 2 ** k), Math.ceil(h / 2 ** k)];
    const H = this._make("H", "halve", ...cells(1), { E });
    const pushed = [null, this._make("push1", "seeds", ...cells(1), { S, E, H })];
    for (let k = 2; k <= LEVELS; k++) pushed[k] = this._make(`push${k}`, "push", ...cells(k), { finer: pushed[k - 1] });
    let fill = pushed[LEVELS];
    for (let k = LEVELS; k > 0; k--) {
      const last = k === LEVELS ? 1 : 0;
      fill = this._make(`pull${k}`, "pull", ...cells(k), { cells: pushed[k], coarser: fill, side: 2 ** k, last });
    }
    const G = this._make("G", "surfaces", w, h, { S, E, fill, apart });
    this._make("T", "tiles", Math.ceil(w / TILE), Math.ceil(h / TILE), { G, tile: TILE });
  }

  *_look(optics, largest, rough) {
    const { width: w, height: h } = this.size, kept = (name) => this.textures.get(name), S = kept("S"), T = kept("T");
    const R = this._make("R", "range", T.width, T.height, { T, tile: TILE, largest, ...optics });
    const gain = this.shine?.gain ?? 0, shines = Math.sign(gain);
    const G = gain ? this._make("L", "shine", w, h, { G: kept("G"), S, gain, ...optics }) : kept("G");
    const spacing = Math.sqrt(Math.PI / SETS[0]);
    const P = this._make("P", "rows", w, h, { G, spacing, shines, ...optics });
    const M = this._make("M", "columns", w, h, { G, P, spacing, shines, ...optics });
    yield;
    const rays = { M, R, tile: TILE, points: this.points, shines }, [many, some, few] = this.counts;
    const skip = rough ? 4 : 2;
    const blurred = { ...rays, tune: STEPS.blurred, count: many, skip };
    let B = this._make("B", "blurred", Math.ceil(w / 2), Math.ceil(h / 2), blurred);
    if (gain) B = this._make("C", "even", B.width, B.height, { B });
    yield;
    const sets = rough ? [many + some, few, many + some, few] : [many, some, many + some, few];
    const last = { ...rays, tune: STEPS.look, S, B, height: h, sets };
    this.passes.look.draw(null, last, [0.5, 1]); // the upper half first
    yield;
    this.passes.look.draw(null, last, [0, 0.5]);
  }
}

const UNIT = { inverted: false, scale: 1, offset: 0 };
