// Shaders of the lens: blur radii at one focus, and the picture that the points of the lens see.
//
// Convention: radii are signed, in pixels of the view, negative in front of the focal plane.
// Packed: R = (least and greatest radius that can show in the tile, the same of what is nearly sharp, -, -)
//         L = G of live_scene.js, with highlights lit
//         P = (radius and weight, rg, b, -)          M = (radius of the front, its coverage in the last bits; radius
//         behind, in its last bits k; colour of the front / 2^k; behind)   B = (near rg, near ba, far rg, far ba)

import { COMMON } from "./live_scene.js";

const LENS = `
const float SHARP = 2.5, BLURRED = 4.0, FEW = 1.5;
uniform vec4 lens;  // disparity of the focal plane, strength, near factor, far factor
uniform vec3 scene; // disparity of n = 0 and n = 1, half of the slab that stays sharp
float radius_of(float n) {
  float behind = lens.x - mix(scene.x, scene.y, n);
  behind = sign(behind) * max(abs(behind) - scene.z, 0.0);
  return clamp(lens.y * (behind < 0.0 ? lens.z : lens.w) * behind, -4096.0, 4096.0);
}
`;

/** Between which radii lie the surfaces that can show in a tile, and those of them that are nearly sharp. */
const range = COMMON + LENS + `
uniform usampler2D T; uniform float tile, largest; out uvec4 o;
vec2 radii(ivec2 t) { vec2 n = unpackUnorm2x16(texelFetch(T, t, 0).x); return vec2(radius_of(n.y), radius_of(n.x)); }
float gap(ivec2 a, ivec2 b) { return tile * length(max(abs(vec2(a - b)) - 1.0, 0.0)); }
void main() {
  ivec2 t = ivec2(gl_FragCoord.xy), size = textureSize(T, 0); vec2 all = radii(t), sharp = vec2(BLURRED, -BLURRED);
  // Blur that reaches over so many tiles comes from anywhere.
  bool wide = largest > 14.0 * tile; int steps = wide ? 1 : int(ceil(largest / tile)) + 1;
  ivec2 first = max(t - steps, ivec2(0)), last = min(t + steps, size - 1);
  for (int y = first.y; y <= last.y; y++) for (int x = first.x; x <= last.x; x++) {
    vec2 there = radii(ivec2(x, y)); float far = gap(ivec2(x, y), t);
    if (max(-there.x, there.y) >= far) all = vec2(min(all.x, there.x), max(all.y, there.y));
    if (far <= BLURRED && there.x < BLURRED && there.y > -BLURRED)
      sharp = vec2(min(sharp.x, max(there.x, -BLURRED)), max(sharp.y, min(there.y, BLURRED)));
  }
  // What stands near enough to be uncovered by the blur of these, though its own blur does not reach.
  float reach = max(-all.x, all.y);
  for (int y = first.y; y <= last.y; y++) for (int x = first.x; x <= last.x; x++) {
    if (reach >= gap(ivec2(x, y), t)) all.y = max(all.y, radii(ivec2(x, y)).y);
  }
  if (wide) all = vec2(radius_of(1.0), radius_of(0.0));
  o = uvec4(packHalf2x16(all), packHalf2x16(sharp), 0, 0);
}`;

/** The front as bright as a highlight was where it is out of focus, as ClippedHighlights.recover of highlights.py. */
const shine = COMMON + LENS + `
uniform usampler2D G, S; uniform float gain; out uvec4 o;
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy); uvec4 own = texelFetch(S, p, 0); o = texelFetch(G, p, 0);
  float n = unpackUnorm2x16(o.x).x; bool front = abs(uintBitsToFloat(own.z) - n) < 2e-5;
  if (own.w == 0u || !front) return;
  vec3 c = light(o.yzyz) + gain * unpack(own.w) * clamp((abs(radius_of(n)) - 0.5) / 1.5, 0.0, 1.0);
  o.yz = uvec2(packHalf2x16(c.rg), packHalf2x16(vec2(c.b, unpackHalf2x16(o.z).y)));
}`;

const SMOOTH = `
uniform float spacing, shines;
// With highlights at least 3 pixels: what is blurred is seen at every other pixel, and would miss small ones.
float width_of(float r) { return max(abs(r) * spacing, shines > 0.0 && abs(r) > SHARP ? 3.0 : 0.0); }
// Pixels of about the same blur on the same side of the focal plane.
bool alike(float r, float there) { float q = there / r; return q > 0.6 && q < 1.7; }
`;

/** Front colours smoothed along a row to the spacing of the lens points: width = |radius| sqrt(pi / points). */
const rows = COMMON + LENS + SMOOTH + `
uniform usampler2D G; out uvec4 o;
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy); uvec4 own = texelFetch(G, p, 0);
  float r = radius_of(unpackUnorm2x16(own.x).x), width = width_of(r); vec4 sum = vec4(light(own.yzyz), 1);
  if (width >= 2.0) {
    int k = int(ceil(width * 0.5 - 0.5)), by = (k + 11) / 12; // 25 taps at most
    for (int x = -k; x <= k; x += by) {
      if (x == 0) continue;
      uvec4 s = at(G, p + ivec2(x, 0));
      if (alike(r, radius_of(unpackUnorm2x16(s.x).x)))
        sum += min(width * 0.5 + 0.5 - abs(float(x)), 1.0) * vec4(light(s.yzyz), 1);
    }
    sum.rgb /= sum.a;
  }
  o = uvec4(packHalf2x16(vec2(r, sum.a)), packHalf2x16(sum.rg), packHalf2x16(vec2(sum.b, 0)), 0);
}`;

/** The same along a column. */
const columns = COMMON + LENS + SMOOTH + `
uniform usampler2D G, P; out uvec4 o;
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy); uvec4 own = texelFetch(G, p, 0);
  vec2 n = unpackUnorm2x16(own.x); vec3 c = light(texelFetch(P, p, 0).yzyz);
  float r = radius_of(n.x), behind = radius_of(n.y), width = width_of(r);
  if (width >= 2.0) {
    vec4 sum = vec4(0); int k = int(ceil(width * 0.5 - 0.5)), by = (k + 11) / 12; // 25 taps at most
    for (int y = -k; y <= k; y += by) {
      uvec4 s = at(P, p + ivec2(0, y)); vec2 there = unpackHalf2x16(s.x);
      if (alike(r, there.x))
        sum += min(width * 0.5 + 0.5 - abs(float(y)), 1.0) * there.y * vec4(light(s.yzyz), 1);
    }
    c = sum.rgb / sum.a;
  }
  uint coverage = uint(unpackHalf2x16(own.z).y * 31.0 + 0.5);
  uint rear = floatBitsToUint(behind);
  if (shines > 0.0) {
    float k = clamp(ceil(log2(max(max(c.r, c.g), c.b))), 0.0, 7.0);
    rear = rear & ~7u | uint(k); c *= exp2(-k);
  }
  o = uvec4(floatBitsToUint(r) & ~31u | coverage, rear, pack(c), own.w);
}`;

/** Along the ray of a lens point, y = x - s p, from the nearest radius s that can show to the farthest: the first
 * surface whose radius is about s is what the point sees. FOUND says what becomes of it: colour c, radius r, weight w.
 *
 * Renderers on the CPU run both sides of an `if`, but leave a loop early: so the loop is short, and what is done with
 * a surface stands behind it. */
const RAY = (found) => `
uniform usampler2D M, R; uniform float tile, shines; uniform vec4 points[64]; uniform vec2 tune;
vec4 near, far; float met;
vec2 end;
void ray(vec2 home, vec4 p, vec2 span) {
  float s = span.x, left = p.z;
  vec2 by = tune * p.w;
  for (int turn = 0; turn < 6; turn++) {
    uvec4 m; vec2 r; float step_; bool front, behind;
    for (int k = 0; k < 64; k++) {
      step_ = max(by.x, by.y * abs(s));
      m = texelFetch(M, ivec2(clamp(home - s * p.xy, vec2(0), end)), 0); r = uintBitsToFloat(m.xy);
      vec2 off = abs(r - s);
      front = off.x <= 0.75 * step_; behind = r.x < s && off.y <= 0.75 * step_;
      if (front || behind || s >= span.y) break;
      s = min(s + step_, span.y);
    }
    uvec4 there = texelFetch(M, ivec2(clamp(home - r.x * p.xy, vec2(0), end)), 0);
    bool same = abs(uintBitsToFloat(there.x) - r.x) <= 0.75 * step_; // else the ray passes beside this surface
    if (front && same) m = there;
    float w = left * (front && !same ? 0.0 : front ? float(m.x & 31u) / 31.0 : float(behind));
    vec3 c = unpack(front ? m.z : m.w);
    if (front) c *= exp2(float(m.y & 7u) * shines);
    float radius = front ? r.x : r.y;
    ${found}
    left -= w;
    if (left < 0.01 * p.z || s >= span.y) break;
    s = min(max(s, r.x) + step_, span.y);
  }
}
`;

/** What is blurred, at half the size: near and far side of the focal plane, premultiplied by their shares. */
const blurred = COMMON + LENS + RAY(`
  float share = w * clamp((abs(radius) - SHARP) / (BLURRED - SHARP), 0.0, 1.0);
  met += w;
  near += share * float(radius < 0.0) * vec4(c, 1);
  far += share * float(radius >= 0.0) * vec4(c, 1);`) + `
uniform float count, skip; out uvec4 o;
void main() {
  ivec2 x = ivec2(gl_FragCoord.xy) * 2;
  vec2 span = unpackHalf2x16(texelFetch(R, x / int(tile), 0).x);
  o = uvec4(0);
  if (max(-span.x, span.y) < SHARP) return;
  end = vec2(textureSize(M, 0)) - 0.5; near = vec4(0); far = vec4(0); met = 0.0;
  // Every other lens point, or of four one, in a chequer pattern.
  int start = skip < 3.0 ? (x.x + x.y) / 2 % 2 : x.x / 2 % 2 + x.y % 4;
  for (int i = start; i < int(count); i += int(skip)) ray(vec2(x) + 1.0, points[i], span);
  near /= max(met, 1e-6); far /= max(met, 1e-6);
  o = uvec4(packHalf2x16(near.rg), packHalf2x16(near.ba), packHalf2x16(far.rg), packHalf2x16(far.ba));
}`;

/** What is blurred, smoothed by [1 2 1]: so few lens points to a pixel would make a hatching of bright discs. */
const even = COMMON + `
uniform usampler2D B; out uvec4 o;
void main() {
  vec4 near = vec4(0), far = vec4(0);
  for (int y = -1; y <= 1; y++) for (int x = -1; x <= 1; x++) {
    uvec4 b = at(B, ivec2(gl_FragCoord.xy) + ivec2(x, y)); float w = 0.25 / float((1 + x * x) * (1 + y * y));
    near += w * vec4(unpackHalf2x16(b.x), unpackHalf2x16(b.y));
    far += w * vec4(unpackHalf2x16(b.z), unpackHalf2x16(b.w));
  }
  o = uvec4(packHalf2x16(near.rg), packHalf2x16(near.ba), packHalf2x16(far.rg), packHalf2x16(far.ba));
}`;

/** What is nearly sharp, between what is blurred in front of it and behind it. */
const look = COMMON + LENS + RAY(`
  float share = clamp((BLURRED - abs(radius)) / (BLURRED - SHARP), 0.0, 1.0);
  near += share * w * vec4(c, 1);
  met += radius < 0.0 ? float(share > 0.0) * w : share * w;`) + `
uniform usampler2D S, B; uniform float height; uniform vec4 sets; out vec4 o;
void main() {
  ivec2 x = ivec2(gl_FragCoord.x, height - gl_FragCoord.y);
  uvec2 spans = texelFetch(R, x / int(tile), 0).xy;
  vec2 span = unpackHalf2x16(spans.x), sharp = unpackHalf2x16(spans.y);
  if (max(-span.x, span.y) < 0.5) { o = vec4(encode(light(texelFetch(S, x, 0))), 1); return; }
  end = vec2(textureSize(M, 0)) - 0.5; near = vec4(0); met = 0.0;
  // Fewer lens points for less blur; below half a pixel all see the same.
  float most = max(-sharp.x, sharp.y);
  int first = int(most < FEW ? sets.z : sets.x), count = most < 0.5 ? 1 : int(most < FEW ? sets.w : sets.y);
  if (sharp.x > sharp.y) count = 0;
  for (int i = 0; i < count; i++) ray(vec2(x) + 0.5, most < 0.5 ? vec4(0, 0, 1, 1) : points[first + i], sharp);
  vec4 before = vec4(0), after = vec4(0);
  if (max(-span.x, span.y) >= SHARP) {
    // Each pixel of half the size saw every other lens point, in a chequer pattern: both halves count alike.
    ivec2 own = x / 2, step_ = (x % 2) * 2 - 1;
    for (int i = 0; i < 4; i++) {
      ivec2 k = ivec2(i & 1, i >> 1); uvec4 b = at(B, own + k * step_);
      float w = float[](0.45, 0.25, 0.25, 0.05)[i];
      before += w * vec4(unpackHalf2x16(b.x), unpackHalf2x16(b.y));
      after += w * vec4(unpackHalf2x16(b.z), unpackHalf2x16(b.w));
    }
  }
  float shown = after.a > 1e-3 ? 1.0 - met : 0.0;
  vec4 rest = near.a > 1e-6 ? met * vec4(near.rgb / near.a, 1.0) : vec4(0);
  if (shown > 0.0) rest += shown * vec4(after.rgb / after.a, 1.0);
  before += (1.0 - before.a) * rest / max(rest.a, 1e-6);
  if (rest.a <= 1e-6) before.rgb = before.a > 1e-3 ? before.rgb / before.a : light(texelFetch(S, x, 0));
  o = vec4(encode(before.rgb), 1);
}`;

export const FOCUS = { range, shine, rows, columns, blurred, even, look };
