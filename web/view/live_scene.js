// Shaders of the scene: what stands where, whatever the lens is focused on. See live.mjs for the order of the passes.
//
// Convention: row 0 is the picture's top. n in 0..1 is the disparity between the scene's farthest (0) and nearest (1)
// place. `apart` is the difference in n at which the images of two surfaces part by a pixel.
// Packed: S = (rg, b, n, lost light of a highlight / gain)   E = (middle or -1)
//         push = (rg weighted, b and weight, n weighted, -)
//         pull = (rg, b and reach, n, -)           G = (n of front and behind, front rg, front b and coverage, behind)

const COMMON = `
uvec4 at(usampler2D t, ivec2 p) { return texelFetch(t, clamp(p, ivec2(0), textureSize(t, 0) - 1), 0); }
vec3 decode(vec3 v) { return mix(v / 12.92, pow((v + 0.055) / 1.055, vec3(2.4)), step(0.04045, v)); }
vec3 encode(vec3 v) { v = clamp(v, 0.0, 1.0);
  return mix(v * 12.92, 1.055 * pow(max(v, 1e-8), vec3(1.0 / 2.4)) - 0.055, step(0.0031308, v)); }
vec3 light(uvec4 s) { return vec3(unpackHalf2x16(s.x), unpackHalf2x16(s.y).x); }
uint pack(vec3 c) { uvec3 q = uvec3(sqrt(clamp(c, 0.0, 1.0)) * vec3(2047.0, 2047.0, 1023.0) + 0.5);
  return q.r | q.g << 11 | q.b << 22; }
vec3 unpack(uint c) { vec3 q = vec3(c & 2047u, c >> 11 & 2047u, c >> 22) / vec3(2047.0, 2047.0, 1023.0); return q * q; }
`;

/** The picture at the size of the view, by the mean of linear light. */
const fit = COMMON + `
uniform sampler2D picture; uniform vec2 size; out vec4 o;
void main() {
  vec2 full = vec2(textureSize(picture, 0)), per = full / size;
  vec2 first = floor(gl_FragCoord.xy) * per, last = first + per;
  ivec2 i0 = ivec2(floor(first + 1e-4)), i1 = ivec2(ceil(last - 1e-4));
  if (i1 == i0 + 1) { o = vec4(texelFetch(picture, i0, 0).rgb, 1); return; }
  vec4 sum = vec4(0);
  for (int y = i0.y; y < i1.y; y++) for (int x = i0.x; x < i1.x; x++) {
    vec2 share = min(vec2(x, y) + 1.0, last) - max(vec2(x, y), first);
    sum += vec4(decode(texelFetch(picture, ivec2(x, y), 0).rgb), 1) * share.x * share.y;
  }
  o = vec4(encode(sum.rgb / sum.a), 1);
}`;

/** Light and disparity of each pixel. The plane is only chosen from across depth edges, never averaged. */
const base = COMMON + `
uniform sampler2D picture, plane, shine; uniform vec2 size; uniform float inverted, low, high, apart, shines;
out uvec4 o;
vec3 lost() { // mean over the pixel
  vec2 per = vec2(textureSize(shine, 0)) / size, first = floor(gl_FragCoord.xy) * per, last = first + per;
  vec4 sum = vec4(0);
  for (int y = int(first.y + 1e-4); float(y) < last.y - 1e-4; y++)
    for (int x = int(first.x + 1e-4); float(x) < last.x - 1e-4; x++) {
      vec2 share = min(vec2(x, y) + 1.0, last) - max(vec2(x, y), first);
      vec3 v = texelFetch(shine, ivec2(x, y), 0).rgb;
      sum += vec4(v * v, 1) * share.x * share.y;
    }
  return sum.rgb / sum.a;
}
float n(ivec2 p) {
  float d = texelFetch(plane, clamp(p, ivec2(0), textureSize(plane, 0) - 1), 0).r;
  if (inverted > 0.0) d = inverted / (inverted + (1.0 - clamp(d, 0.0, 1.0)) * (1.0 - inverted));
  return high > low ? (d - low) / (high - low) : 0.0;
}
void main() {
  vec2 per = vec2(textureSize(plane, 0)) / size, at = gl_FragCoord.xy * per;
  float v = n(ivec2(floor(at + 1e-4)));
  if (per.x < 1.0 || per.y < 1.0) {
    vec2 c = at - 0.5, f = fract(c); ivec2 p = ivec2(floor(c));
    vec4 q = vec4(n(p), n(p + ivec2(1, 0)), n(p + ivec2(0, 1)), n(p + 1));
    float span = max(max(q.x, q.y), max(q.z, q.w)) - min(min(q.x, q.y), min(q.z, q.w));
    if (span < apart) v = mix(mix(q.x, q.y, f.x), mix(q.z, q.w, f.x), f.y);
  }
  vec3 c = decode(texelFetch(picture, ivec2(gl_FragCoord.xy), 0).rgb);
  o = uvec4(packHalf2x16(c.rg), packHalf2x16(vec2(c.b, 0)), floatBitsToUint(v), shines > 0.0 ? pack(lost()) : 0u);
}`;

/** Depth edges: the disparity half-way between the two surfaces, or -1. */
const edges = COMMON + `
uniform usampler2D S; uniform float apart; out uvec4 o;
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy); float low = 2.0, high = -1.0;
  for (int y = -1; y <= 1; y++) for (int x = -1; x <= 1; x++) {
    float n = uintBitsToFloat(at(S, p + ivec2(x, y)).z);
    low = min(low, n); high = max(high, n);
  }
  o = uvec4(floatBitsToUint(high - low > apart ? (low + high) * 0.5 : -1.0), 0, 0, 0);
}`;

/** The edges of 2 x 2 pixels as one. */
const halve = COMMON + `
uniform usampler2D E; out uvec4 o;
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy) * 2; vec2 sum = vec2(0);
  for (int i = 0; i < 4; i++) {
    float m = uintBitsToFloat(at(E, p + ivec2(i & 1, i >> 1)).x);
    if (m >= 0.0) sum += vec2(m, 1);
  }
  o = uvec4(floatBitsToUint(sum.y > 0.0 ? sum.x / sum.y : -1.0), 0, 0, 0);
}`;

/** First cells of the background: clean pixels just behind a depth edge, of 2 x 2. */
const seeds = COMMON + `
uniform usampler2D S, E, H; out uvec4 o;
void main() {
  ivec2 c = ivec2(gl_FragCoord.xy); vec2 sum = vec2(0);
  for (int y = -3; y <= 3; y++) for (int x = -3; x <= 3; x++) {
    float m = uintBitsToFloat(at(H, c + ivec2(x, y)).x), d = float(x * x + y * y);
    if (m >= 0.0) sum += vec2(m, 1) / (1.0 + d * d);
  }
  vec4 colour = vec4(0); float n = 0.0;
  if (sum.y > 0.0) for (int i = 0; i < 4; i++) {
    ivec2 p = c * 2 + ivec2(i & 1, i >> 1);
    if (any(greaterThanEqual(p, textureSize(S, 0)))) continue;
    uvec4 s = at(S, p); float v = uintBitsToFloat(s.z);
    if (uintBitsToFloat(at(E, p).x) >= 0.0 || v >= sum.x / sum.y) continue;
    colour += vec4(light(s), 1) * 0.25; n += v * 0.25;
  }
  o = uvec4(packHalf2x16(colour.rg), packHalf2x16(colour.ba), floatBitsToUint(n), 0);
}`;

/** Cells of twice the side. */
const push = COMMON + `
uniform usampler2D finer; out uvec4 o;
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy) * 2; vec4 colour = vec4(0); float n = 0.0;
  for (int i = 0; i < 4; i++) {
    ivec2 q = p + ivec2(i & 1, i >> 1);
    if (any(greaterThanEqual(q, textureSize(finer, 0)))) continue;
    uvec4 s = texelFetch(finer, q, 0);
    colour += 0.25 * vec4(unpackHalf2x16(s.x), unpackHalf2x16(s.y)); n += 0.25 * uintBitsToFloat(s.z);
  }
  o = uvec4(packHalf2x16(colour.rg), packHalf2x16(colour.ba), floatBitsToUint(n), 0);
}`;

const BILINEAR = `
void finer(usampler2D t, vec2 at_, out vec3 colour, out float reach, out float n) {
  vec2 c = at_ * 0.5 - 0.5, f = fract(c); ivec2 p = ivec2(floor(c));
  colour = vec3(0); n = 0.0;
  for (int i = 0; i < 4; i++) {
    ivec2 k = ivec2(i & 1, i >> 1); uvec4 s = at(t, p + k);
    float w = (k.x == 1 ? f.x : 1.0 - f.x) * (k.y == 1 ? f.y : 1.0 - f.y);
    colour += w * light(s); n += w * uintBitsToFloat(s.z);
  }
  reach = unpackHalf2x16(at(t, ivec2(floor(at_ * 0.5))).y).y;
}
`;

/** Each cell takes the mean of the 3 x 3 about it where they hold any, else what the coarser cells say. */
const pull = COMMON + BILINEAR + `
uniform usampler2D cells, coarser; uniform float side, last; out uvec4 o;
void main() {
  vec4 colour = vec4(0); float n = 0.0, reach = 60000.0;
  for (int y = -1; y <= 1; y++) for (int x = -1; x <= 1; x++) {
    ivec2 q = ivec2(gl_FragCoord.xy) + ivec2(x, y);
    if (any(greaterThanEqual(q, textureSize(cells, 0))) || any(lessThan(q, ivec2(0)))) continue;
    uvec4 s = texelFetch(cells, q, 0);
    colour += vec4(unpackHalf2x16(s.x), unpackHalf2x16(s.y)); n += uintBitsToFloat(s.z);
  }
  if (colour.a > 0.0) { n /= colour.a; colour.rgb /= colour.a; reach = side; }
  else if (last < 0.5) { vec3 c; finer(coarser, gl_FragCoord.xy, c, reach, n); colour.rgb = c; }
  o = uvec4(packHalf2x16(colour.rg), packHalf2x16(vec2(colour.b, reach)), floatBitsToUint(n), 0);
}`;

/** Both surfaces of each pixel: on a depth edge by matting (c = alpha f + (1 - alpha) b, alpha by projection
 * on the line from b to f), elsewhere the picture's own and the background that goes on behind it. Constants as in
 * surfaces.py. */
const surfaces = COMMON + BILINEAR + `
uniform usampler2D S, E, fill; uniform float apart; out uvec4 o;
const float EDGE_WEIGHT = 1e-3, MIN_CONTRAST = 0.02 * 0.02, CLEAN = 0.03, THIN = 0.75, LEAST_ALPHA = 1.0 / 32.0;
void emit(vec3 f, float nf, float coverage, vec3 b, float nb) {
  o = uvec4(packUnorm2x16(vec2(nf, nb)), packHalf2x16(f.rg), packHalf2x16(vec2(f.b, coverage)), pack(b));
}
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy); uvec4 own = texelFetch(S, p, 0);
  vec3 c = light(own); float n = uintBitsToFloat(own.z), middle = uintBitsToFloat(texelFetch(E, p, 0).x);
  if (middle < 0.0) {
    vec3 b; float reach, nb; finer(fill, gl_FragCoord.xy, b, reach, nb);
    bool uncovered = (n - nb) / apart > max(reach * 0.5, 1.0);
    emit(c, n, 1.0, uncovered ? b : c, uncovered ? nb : n);
    return;
  }
  vec4 front = vec4(0), behind = vec4(0); float front_weight = 0.0, behind_weight = 0.0;
  for (int y = -3; y <= 3; y++) for (int x = -3; x <= 3; x++) {
    ivec2 q = p + ivec2(x, y); uvec4 s = at(S, q);
    float v = uintBitsToFloat(s.z), w = 1.0 / float(1 + x * x + y * y);
    if (uintBitsToFloat(at(E, q).x) >= 0.0) w *= EDGE_WEIGHT;
    if (v > middle) { front += w * vec4(light(s), v); front_weight += w; }
    else { behind += w * vec4(light(s), v); behind_weight += w; }
  }
  bool sees_front = n > middle;
  vec4 f = front_weight > 0.0 ? front / front_weight : vec4(c, n);
  vec4 b = behind_weight > 0.0 ? behind / behind_weight : vec4(c, n);
  vec3 line = f.rgb - b.rgb; float contrast = dot(line, line);
  float alpha = contrast > MIN_CONTRAST ? dot(c - b.rgb, line) / max(contrast, 1e-12) : float(sees_front);
  float largest = front_weight < CLEAN && alpha < 1.0 ? THIN : 0.5;
  alpha = sees_front ? clamp(alpha, 0.5, 1.0) : clamp(alpha, 0.0, largest);
  vec3 rest = c - alpha * f.rgb - (1.0 - alpha) * b.rgb;
  if (sees_front) emit(max(f.rgb + rest / max(alpha, 0.5), 0.0), n, alpha, b.rgb, b.w);
  else {
    vec3 own = max(b.rgb + rest / max(1.0 - alpha, 0.5), 0.0);
    if (alpha > LEAST_ALPHA) emit(f.rgb, f.w, alpha, own, n);
    else emit(own, n, 1.0, own, n);
  }
}`;

/** Nearest and farthest n of squares of TILE pixels. */
const tiles = COMMON + `
uniform usampler2D G; uniform float tile; out uvec4 o;
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy) * int(tile); vec2 span = vec2(1, 0);
  for (int y = 0; y < int(tile); y++) for (int x = 0; x < int(tile); x++) {
    vec2 n = unpackUnorm2x16(at(G, p + ivec2(x, y)).x);
    span = vec2(min(span.x, min(n.x, n.y)), max(span.y, max(n.x, n.y)));
  }
  o = uvec4(packUnorm2x16(span), 0, 0, 0);
}`;

export { COMMON };
export const SCENE = { fit, base, edges, halve, seeds, push, pull, surfaces, tiles };
