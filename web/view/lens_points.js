// Points of the lens: aperture_points of pipelines/optics/aperture.py in JavaScript.
//
// Convention: a mask {data, width, height} shows the opening as seen from the front, row by row, 0..1. Points are
// (x right, y down) in the picture, in units of the blur radius, for light from behind the focal plane: seen from the
// picture's side the mask is mirrored left to right. A negative radius turns everything by 180 degrees by itself.

const CELLS = 64, ROUNDS = 16, GOLDEN = 2.399963; // of the raster along x and y; of the relaxation; radians

/** mask, null = circle; count -> [[x, y, weight], ...], null where no light passes. Weighted Lloyd relaxation. */
export function lensPoints(mask, count) {
  const { x, y, light } = openCells(mask);
  if (!x.length) return null;
  const px = new Float64Array(count), py = new Float64Array(count), weight = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const r = Math.sqrt((i + 0.5) / count), a = (i + 0.5) * GOLDEN;
    px[i] = r * Math.cos(a);
    py[i] = r * Math.sin(a);
    const { distance } = nearest(px[i], py[i], x, y);
    if (distance < 1 / 1024) continue; // (1 / 32)^2: inside the opening
    const start = Math.floor(((i + 0.5) / count) * (x.length - 1));
    px[i] = x[start];
    py[i] = y[start];
  }
  const sum = new Float64Array(2 * count);
  for (let round = 0; round < ROUNDS; round++) {
    weight.fill(0);
    sum.fill(0);
    for (let k = 0; k < x.length; k++) {
      const { which } = nearest(x[k], y[k], px, py);
      weight[which] += light[k];
      sum[2 * which] += light[k] * x[k];
      sum[2 * which + 1] += light[k] * y[k];
    }
    for (let i = 0; i < count; i++) {
      if (!weight[i]) continue; // an empty cell stays
      px[i] = sum[2 * i] / weight[i];
      py[i] = sum[2 * i + 1] / weight[i];
    }
  }
  const total = weight.reduce((a, b) => a + b, 0), out = [];
  for (let i = 0; i < count; i++) if (weight[i] > 0) out.push([px[i], py[i], weight[i] / total]);
  return out;
}

function nearest(x, y, xs, ys) {
  let which = 0, distance = Infinity;
  for (let k = 0; k < xs.length; k++) {
    const dx = xs[k] - x, dy = ys[k] - y, d = dx * dx + dy * dy;
    if (d < distance) {
      distance = d;
      which = k;
    }
  }
  return { which, distance };
}

/** The open cells of a raster of the opening as the picture sees it: {x, y, light}. */
function openCells(mask) {
  const at = mask ? means(mask) : circle(), most = Math.max(...at);
  const x = [], y = [], light = [];
  for (let row = 0; row < CELLS; row++) {
    for (let column = 0; column < CELLS; column++) {
      const l = at[row * CELLS + CELLS - 1 - column];
      if (!(l > Math.min(1e-3, most / 2))) continue; // nothing where all is black
      x.push((column + 0.5) / (CELLS / 2) - 1);
      y.push((row + 0.5) / (CELLS / 2) - 1);
      light.push(l);
    }
  }
  return { x, y, light };
}

function circle() {
  const out = new Float64Array(CELLS * CELLS), fine = 16;
  for (let i = 0; i < CELLS * fine; i++) {
    for (let k = 0; k < CELLS * fine; k++) {
      const x = (k + 0.5) / (CELLS * fine / 2) - 1, y = (i + 0.5) / (CELLS * fine / 2) - 1;
      if (x * x + y * y <= 1) out[Math.floor(i / fine) * CELLS + Math.floor(k / fine)] += 1 / (fine * fine);
    }
  }
  return out;
}

/** A mask of any size -> means over the cells; one that is not square lies centred in a black square. */
function means({ data, width, height }) {
  const side = Math.max(width, height), left = (side - width) >> 1, top = (side - height) >> 1;
  const out = new Float64Array(CELLS * CELLS);
  for (let row = 0; row < CELLS; row++) {
    const [y0, y1] = cell(row, side);
    for (let column = 0; column < CELLS; column++) {
      const [x0, x1] = cell(column, side);
      let sum = 0;
      for (let y = Math.max(y0 - top, 0); y < Math.min(y1 - top, height); y++) {
        for (let x = Math.max(x0 - left, 0); x < Math.min(x1 - left, width); x++) sum += clamp01(data[y * width + x]);
      }
      out[row * CELLS + column] = sum / ((y1 - y0) * (x1 - x0));
    }
  }
  return out;
}

/** The pixels of `side` from which a cell takes its mean: [first, last + 1]. */
function cell(i, side) {
  return [Math.floor((i * side) / CELLS), Math.ceil(((i + 1) * side) / CELLS)];
}

function clamp01(v) {
  return Math.min(1, Math.max(0, v));
}
