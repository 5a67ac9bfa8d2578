// Only what acts is shown. Where an input acts is said in Python, in its own options (see `acts` in nodes/host.py); here
// is what reads that, and no node is named. A linked input is shown, and so is one of which nothing certain is known.
import { Rows, rulesOf, widgetsOf } from "./rows.js";

const FED = {}; // what comes over a link into a socket: not nothing, and no more is known

/** Whether a condition holds for a value: undefined is not known, null is a socket without a link. */
export function holds(condition, value) {
  if (value === undefined) return true;
  if (condition.match !== undefined) return typeof value !== "string" || new RegExp(condition.match, "m").test(value);
  const list = condition.not ?? condition;
  if (value === FED && list.some((each) => each !== null)) return true;
  return list.includes(value) !== (condition.not !== undefined);
}

/** Whether an input with these rows acts; valueOf(name) gives the values that they ask for. */
export function acts(rows, valueOf) {
  return !rows || rows.some((row) => Object.entries(row).every(([name, condition]) => holds(condition, valueOf(name))));
}

/** Show of a node's widgets those that act, from now on. */
export function showWhatActs(host) {
  const rules = rulesOf(host.node);
  const has = (what) => Object.values(rules).some((rule) => rule[what]);
  if (!has("acts") && !has("rare")) return;
  const rows = new Rows(host.node, has("rare") ? look : null);
  const heard = new WeakSet([host]);
  let given = false; // whether the node's size came from a file since the last look

  const valueOf = (name) => {
    const [input, widget] = name.split(".");
    const source = host.has(input) ? undefined : host.source(input);
    if (!widget) return host.has(input) ? host.get(input) : source && FED;
    if (!source) return source;
    if (!heard.has(source)) {
      heard.add(source);
      source.onChange(look);
    }
    return source.isOurs && source.has(widget) ? source.get(widget) : undefined;
  };

  function look() {
    const states = new Map();
    for (const [name, rule] of Object.entries(rules)) {
      if (!host.has(name)) continue;
      const linked = host.isLinked(name);
      const state = { hidden: !linked && !acts(rule.acts, valueOf), rare: rule.rare && !linked };
      for (const widget of widgetsOf(host.node, name)) states.set(widget, state);
    }
    rows.set(states, !given);
    given = false;
  }

  host.onConfigured(() => {
    given = true;
    rows.sizeIsGiven();
  });
  host.onChange(look);
  host.onGraphChange(look);
  look();
  requestAnimationFrame(look); // Vue has made its node by then
}
