// The lens of pipelines/optics in the page: the same equations, for what a view shows while a widget moves.
//
//   radius = strength * (focus_disparity - disparity)      pixels; positive behind the focal plane, negative in front
//
// A scene is what a node left behind: {plane: {data, width, height}, kind, automatic, mask}; kind is that of the plane:
// "disparity" and "inverted" are relative, "inverse_metres" is in 1/m. Settings are the widgets' values by name.

const INVERTED_NEAR_OVER_FAR = 0.1; // as in pipelines/optics/depth.py
const POINT_WINDOW = 0.01; // as in pipelines/optics/focus.py
const SHARP_RADIUS = 0.5; // as in pipelines/optics/show.py

/** How a value v of the plane becomes disparity:  (scale v + offset), or  top / (ratio + (1 - v)(1 - ratio)). */
export function conversion(kind, settings) {
  const { scene_near: near, scene_far: far } = settings;
  const camera = settings.lens === "camera";
  if (kind === "inverted") {
    const ratio = camera || settings.focus_by === "distance" ? near / far : INVERTED_NEAR_OVER_FAR;
    return { inverted: true, ratio, top: camera ? 1 / far : ratio };
  }
  if (kind === "disparity" && camera) return { inverted: false, scale: 1 / near - 1 / far, offset: 1 / far };
  return { inverted: false, scale: 1, offset: 0 };
}

export function toDisparity(v, how) {
  if (!how.inverted) return how.scale * v + how.offset;
  const clamped = Math.min(1, Math.max(0, v));
  return how.top / (how.ratio + (1 - clamped) * (1 - how.ratio));
}

/** Value of the plane at a point (x, y) in 0..1: the median of a small window about it. */
export function valueAt(plane, x, y) {
  const { data, width, height } = plane;
  const cx = Math.min(Math.floor(x * width), width - 1), cy = Math.min(Math.floor(y * height), height - 1);
  const r = Math.floor((POINT_WINDOW * width) / 2);
  const values = [];
  for (let j = Math.max(0, cy - r); j <= Math.min(height - 1, cy + r); j++)
    for (let i = Math.max(0, cx - r); i <= Math.min(width - 1, cx + r); i++) values.push(data[j * width + i]);
  values.sort((a, b) => a - b);
  return values[(values.length - 1) >> 1];
}

/** Disparity of the focal plane that the settings choose; null where the page cannot know it. */
export function focusOf(scene, settings) {
  const how = conversion(scene.kind, settings);
  const { focus_by: by, focus_distance: metres, scene_near: near, scene_far: far } = settings;
  if (by === "point") return toDisparity(valueAt(scene.plane, settings.focus_x, settings.focus_y), how);
  if (by === "automatic") return toDisparity(scene.automatic, how);
  if (by === "mask") return scene.mask == null ? null : toDisparity(scene.mask, how);
  const disparity = 1 / metres;
  if (scene.kind === "inverse_metres" || settings.lens === "camera") return disparity;
  return scene.kind === "inverted" ? disparity * near : (disparity - 1 / far) / (1 / near - 1 / far);
}

/** Blur radius in pixels per unit of disparity, of a picture `width` pixels wide; null where no lens focuses so near. */
export function strengthOf(focus, settings, width) {
  if (settings.lens !== "camera") return (settings.strength * width) / 1000;
  const f = settings.focal_mm, s = focus > 0 ? 1000 / focus : Infinity;
  if (s <= f * 1.001) return null;
  const extension = s === Infinity ? 1 : s / (s - f);
  return (((f * f) / (2 * settings.f_number)) * extension * (width / settings.sensor_mm)) / 1000;
}

/** Everything that makes a radius of a value of the plane, for a picture `width` pixels wide; null if not known. */
export function lensOf(scene, settings, width) {
  const known = ["scene_near", "scene_far", "near_factor", "far_factor", "in_focus_range"];
  if (known.some((name) => !Number.isFinite(settings[name]))) return null;
  const focus = focusOf(scene, settings);
  if (focus === null || !Number.isFinite(focus)) return null;
  const strength = strengthOf(focus, settings, width);
  if (strength === null || !Number.isFinite(strength)) return null;
  return {
    how: conversion(scene.kind, settings), focus, strength,
    nearFactor: settings.near_factor, farFactor: settings.far_factor, slab: settings.in_focus_range / 2,
  };
}

/** Signed blur radius in pixels of a value of the plane. */
export function radiusOf(v, lens) {
  let behind = lens.focus - toDisparity(v, lens.how);
  if (lens.slab) behind = Math.sign(behind) * Math.max(0, Math.abs(behind) - lens.slab);
  return lens.strength * (behind < 0 ? lens.nearFactor : lens.farFactor) * behind;
}

/** -1 in front of the focal plane, 0 in focus, 1 behind it, of a radius in pixels. */
export function zoneOf(radius) {
  return radius < -SHARP_RADIUS ? -1 : radius > SHARP_RADIUS ? 1 : 0;
}
