// Keyframes as text: read with the grammar of pipelines/optics/rack.py, changed with the least change of the text.
//
// A mark is a keyframe with the place where it stands: {frame, point: [x, y] or null, metres or null, strength or null,
// line, start, end, spans}. Every change takes the text and gives the text; what it does not touch (comments, lines it
// cannot read, order, spaces, separators, line ends) stays as it is.

// What Python takes for a space, and for the end of a line.
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const ONE_SPACE = new RegExp(`[${SPACE}]`);
const LINE_END = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;
const NUMBER = "([-+]?(?:[0-9]+\\.?[0-9]*|\\.[0-9]+))";
const KEYFRAME = new RegExp(`^([0-9]+):(?:${NUMBER},${NUMBER}|(${NUMBER}m))(,?strength=${NUMBER})?$`, "di");
const NEAREST = 1e-6, FARTHEST = 1e9, MOST_STRENGTH = 1e6; // as in Python
export const MOST_FRAMES = 9999;

export const EASINGS = {
  linear: (t) => t,
  ease_in: (t) => t * t,
  ease_out: (t) => t * (2 - t),
  ease_in_out: (t) => t * t * (3 - 2 * t),
  hold: (t) => (t < 1 ? 0 : 1),
};

/**
 * Text -> {marks, keys, wrong}: marks in the text's order, keys the same by their frames, and what cannot be read as
 * [{line, text, why}]. Python refuses a text with anything wrong, and one without keys.
 */
export function parse(text) {
  const marks = [], wrong = [], taken = new Set();
  for (const line of linesOf(text)) {
    const comment = text.slice(line.start, line.end).indexOf("#");
    const stop = comment < 0 ? line.end : line.start + comment;
    let from = line.start;
    while (from <= stop) {
      const semicolon = text.indexOf(";", from);
      const to = semicolon < 0 || semicolon > stop ? stop : semicolon;
      const [start, end] = trimmed(text, from, to);
      if (start < end) {
        const mark = read(text, start, end);
        const why = mark.why ?? (taken.has(mark.frame) ? `frame ${mark.frame} again` : null);
        if (why === null) {
          taken.add(mark.frame);
          marks.push({ ...mark, line: line.number });
        } else wrong.push({ line: line.number, text: text.slice(start, end), why });
      }
      from = to + 1;
    }
  }
  return { marks, keys: [...marks].sort((a, b) => a.frame - b.frame), wrong };
}

function* linesOf(text) {
  let start = 0, number = 1;
  for (const end of text.matchAll(LINE_END)) {
    yield { start, end: end.index, next: end.index + end[0].length, number: number++ };
    start = end.index + end[0].length;
  }
  if (start < text.length || number === 1) yield { start, end: text.length, next: text.length, number };
}

function trimmed(text, start, end) {
  while (start < end && ONE_SPACE.test(text[start])) start++;
  while (start < end && ONE_SPACE.test(text[end - 1])) end--;
  return [start, end];
}

/** One keyframe between two places of the text; {why} where it is none. */
function read(text, start, end) {
  const places = []; // of what is no space: a person may write "0. 3"
  for (let i = start; i < end; i++) if (!ONE_SPACE.test(text[i])) places.push(i);
  const match = KEYFRAME.exec(places.map((i) => text[i]).join(""));
  if (!match) return { why: "" };
  const span = (k) => match.indices[k] && [places[match.indices[k][0]], places[match.indices[k][1] - 1] + 1];
  const digits = match[1].replace(/^0+/, "");
  if (digits.length > 9) return { why: "too late a frame" };
  const mark = {
    frame: Number(digits), point: null, metres: null, strength: null, start, end,
    spans: { frame: span(1), x: span(2), y: span(3), metres: span(4), strength: span(7), named: span(6) },
  };
  if (match[4] === undefined) {
    mark.point = [Number(match[2]), Number(match[3])];
    if (!mark.point.every((v) => v >= 0 && v <= 1)) return { why: "outside the picture" };
  } else {
    mark.metres = Number(match[5]);
    if (!(mark.metres >= NEAREST)) return { why: "a distance must be above 0" };
    if (mark.metres > FARTHEST) return { why: "too far" };
  }
  if (match[6] !== undefined) {
    mark.strength = Number(match[7]);
    const fits = mark.strength >= 0 && mark.strength <= MOST_STRENGTH;
    if (!fits) return { why: "strength must be 0 or more, up to 1e+06" };
  }
  return mark;
}

/** A number as a person writes it: the shortest that is at most `within` from the value, three decimals at most. */
export function written(value, within = 0) {
  for (const decimals of [0, 1, 2]) {
    const short = Number(value.toFixed(decimals));
    if (Math.abs(short - value) <= within) return String(short + 0);
  }
  return String(Number(value.toFixed(3)) + 0);
}

const markAt = (text, frame) => parse(text).marks.find((mark) => mark.frame === frame);
const replaced = (text, start, end, by) => text.slice(0, start) + by + text.slice(end);
const inside = (v) => Math.min(1, Math.max(0, v));

/** The text with focus on a point of the picture at a frame: its keyframe moves there, or a new one is made. */
export function setPoint(text, frame, x, y, within = 0) {
  const mark = markAt(text, frame);
  const [a, b] = [x, y].map((v) => written(inside(v), within));
  if (!mark) return add(text, frame, [a, b]);
  if (mark.point === null) return replaced(text, ...mark.spans.metres, `${a}, ${b}`);
  return replaced(replaced(text, ...mark.spans.y, b), ...mark.spans.x, a);
}

/** A new keyframe, behind the one before it and written as that one is. */
function add(text, frame, [x, y]) {
  const { marks, keys } = parse(text);
  const before = keys.filter((mark) => mark.frame < frame).at(-1);
  const by = before ?? keys[0]; // the neighbour
  const style = marks.find((mark) => mark === by && mark.point) ?? marks.find((mark) => mark.point);
  const gap = (from, to, usual) => {
    const between = style ? text.slice(style.spans[from][1], style.spans[to][0]) : usual;
    return /^[ \t]*[:,][ \t]*$/.test(between) ? between : usual;
  };
  const made = `${frame}${gap("frame", "x", ": ")}${x}${gap("x", "y", ", ")}${y}`;
  const lines = [...linesOf(text)];
  const end = lines.find((line) => line.next > line.end);
  const newline = end ? text.slice(end.end, end.next) : "\n";
  if (!by) {
    const last = lines.at(-1);
    return text + (last.next > last.end || !trimmedLine(text, last) ? "" : newline) + made;
  }
  if (marks.filter((mark) => mark.line === by.line).length > 1) {
    const semicolon = /;[ \t]*/.exec(text.slice(lines[by.line - 1].start, lines[by.line - 1].end))[0];
    if (before) return replaced(text, by.end, by.end, semicolon + made);
    return replaced(text, by.start, by.start, made + semicolon);
  }
  const line = lines[by.line - 1];
  const indent = /^[ \t]*/.exec(text.slice(line.start, line.end))[0];
  if (!before) return replaced(text, line.start, line.start, indent + made + newline);
  if (line.next === line.end) return text + newline + indent + made; // the last line
  return replaced(text, line.next, line.next, indent + made + newline);
}

const trimmedLine = (text, line) => line.start < trimmed(text, line.start, line.end)[1];

/** The text with a keyframe at another frame; as it was where none is to be moved, or one stands there already. */
export function retime(text, from, to) {
  const mark = markAt(text, from);
  if (!mark || markAt(text, to) || !(to >= 0)) return text;
  const old = text.slice(...mark.spans.frame);
  return replaced(text, ...mark.spans.frame, old[0] === "0" ? String(to).padStart(old.length, "0") : String(to));
}

/** The text with a keyframe's strength; null: it names none. */
export function setStrength(text, frame, strength, within = 0) {
  const mark = markAt(text, frame);
  if (!mark) return text;
  const { spans } = mark;
  if (strength === null) {
    return mark.strength === null ? text : replaced(text, (spans.y ?? spans.metres)[1], spans.named[1], "");
  }
  const number = written(Math.min(MOST_STRENGTH, Math.max(0, strength)), within);
  if (spans.strength) return replaced(text, ...spans.strength, number);
  return replaced(text, mark.end, mark.end, ` strength=${number}`);
}

/** The text without a keyframe; a comment behind it stays, a line that held nothing else goes. */
export function remove(text, frame) {
  const mark = markAt(text, frame);
  if (!mark) return text;
  const line = [...linesOf(text)][mark.line - 1];
  const before = text.slice(line.start, mark.start), after = text.slice(mark.end, line.end);
  const next = /^[ \t]*;[ \t]*/.exec(after), last = /[ \t]*;[ \t]*$/.exec(before);
  if (next) return replaced(text, mark.start, mark.end + next[0].length, "");
  if (last) return replaced(text, mark.start - last[0].length, mark.end, "");
  if (after.trim()) return replaced(text, mark.start, mark.end + /^[ \t]*/.exec(after)[0].length, "");
  if (line.next > line.end) return replaced(text, line.start, line.next, "");
  return text.slice(0, line.start).replace(/(\r\n|[^])$/, "");
}

/** Values at `frames` frames from [[frame, value]] in rising order; held before the first and after the last. */
export function curve(keys, frames, easing) {
  const out = [];
  let k = -1;
  for (let frame = 0; frame < frames; frame++) {
    while (k + 1 < keys.length && keys[k + 1][0] <= frame) k++;
    const [start, a] = keys[Math.max(k, 0)], [end, b] = keys[Math.min(k + 1, keys.length - 1)];
    const between = start <= frame && frame < end;
    out.push(between ? a + (b - a) * EASINGS[easing]((frame - start) / (end - start)) : a);
  }
  return out;
}

/** [[frame, strength]] of keys in rising order: the widget's holds at the first one unless it names another. */
export function namedStrengths(keys, strength) {
  const named = keys.filter((key) => key.strength !== null).map((key) => [key.frame, key.strength]);
  return keys[0]?.strength === null ? [[keys[0].frame, strength], ...named] : named;
}
