// The rows of a node's widgets, in every front end: hidden, or folded away as rare ones are, and the node's height.
// Beside host.js the only module that touches the page's objects. No value, no order, nothing that is saved changes.
const NO_ROW = () => [0, -4]; // the canvas adds 4 to every row
const OUTSIDE = -1e5; // where the slot of a row that is not there cannot be hit
const SLACK = 6; // a node this much taller than its rows need was made so by hand

export class Rows {
  /** onToggle(): the artist opened or closed the rare ones, of which the node has some. */
  constructor(node, onToggle) {
    this.node = node;
    this.back = new Map(); // widget -> what brings its row back
    this.fitted = null; // the height that the page made of the one set here last
    if (!onToggle) return;
    // A row that opens and closes the rare ones, where Vue has one of its own.
    this.more = node.addWidget("button", "rackfocus_more", null, () => {
      node.showAdvanced = !node.showAdvanced;
      onToggle();
    }, { serialize: false, canvasOnly: true, hideInPanel: true });
    this.more.serialize = false;
  }

  /** states: Map of widgets to {hidden, rare}; `follow`: the node's height follows. Whether anything changed. */
  set(states, follow) {
    const before = Math.max(this.least(), this.needed ?? 0); // it tells less once the rare ones are said to be closed
    let changed = this.setMore([...states.values()].filter(({ hidden, rare }) => rare && !hidden).length);
    for (const [widget, { hidden, rare }] of states) {
      changed = this.mark(widget, hidden, rare && !hidden) || changed;
      changed = this.setAway(widget, hidden || (rare && !this.node.showAdvanced)) || changed;
    }
    if (!changed) {
      this.hideElements();
      return false;
    }
    this.tellVue();
    this.hideElements();
    this.needed = this.least();
    if (follow) this.fit(before, this.needed);
    this.node.setDirtyCanvas?.(true, true);
    return true;
  }

  /** The label of the row that opens the rare ones; no row where there are none. */
  setMore(count) {
    const { node, more } = this;
    if (!more) return false;
    const label = node.showAdvanced ? "fewer" : `${count} more`;
    const changed = more.label !== label;
    if (changed) more.label = label;
    return [this.mark(more, !count, false), this.setAway(more, !count), changed].includes(true);
  }

  setAway(widget, away) {
    if (away === this.back.has(widget)) return false;
    if (away) this.back.set(widget, takeAway(widget));
    else {
      this.back.get(widget)();
      this.back.delete(widget);
    }
    return true;
  }

  mark(widget, hidden, rare) {
    let changed = false;
    const seen = widget.visibility; // of front ends from 1.5x on, one for both renderers
    if ((seen ? seen.suppression.byExtension : Boolean(widget.hidden)) !== hidden) {
      widget.hidden = hidden;
      changed = true;
    }
    if (seen) {
      const tier = rare ? "advanced" : "shown";
      for (const place of ["canvas", "vueNode", "panel"]) {
        if (seen.surfaces[place] === tier || seen.surfaces[place] === "never") continue;
        seen.surfaces[place] = tier;
        changed = true;
      }
    } else if (Boolean(widget.advanced) !== rare) {
      widget.advanced = rare;
      changed = true;
    }
    const { options } = widget;
    if (options && this.vueReadsOptions(widget) && (options.hidden !== hidden || options.advanced !== rare)) {
      Object.assign(options, { hidden, advanced: rare });
      changed = true;
    }
    return changed;
  }

  /** Whether Vue makes its rows by the options (1.4x), and makes them anew when the list of widgets changes. */
  vueReadsOptions(widget) {
    const watched = Object.getOwnPropertyDescriptor(this.node, "widgets")?.get;
    return !widget.visibility && "_state" in widget && Boolean(watched);
  }

  tellVue() {
    const { widgets } = this.node;
    if (widgets.length && this.vueReadsOptions(widgets[0])) widgets.push(widgets.pop());
  }

  /** Vue of 1.3x copies what it is told once: there the rows themselves are hidden, if they can be told apart. */
  hideElements() {
    const { node } = this;
    if (!isVue() || node.widgets[0]?.visibility || "_state" in (node.widgets[0] ?? {})) return;
    const elements = document.querySelectorAll(`[data-node-id="${node.id}"] .lg-node-widgets > .lg-node-widget`);
    const listed = node.widgets.filter(({ type, options }) => type && !options?.hidden && !options?.canvasOnly);
    const known = elements.length === listed.length;
    elements.forEach((element, i) => {
      element.style.display = known && listed[i].hidden ? "none" : "";
    });
  }

  /** The height that the canvas's rows need. */
  least() {
    return this.node.computeSize?.()[1] ?? 0;
  }

  /** The size came from a file, the clipboard or undo: somebody's choice. */
  sizeIsGiven() {
    this.fitted = null;
  }

  /** The node as tall as its rows need, or as the artist made it if that is taller. */
  fit(before, after) {
    const { node } = this, height = node.size[1], vue = isVue();
    // Vue's rows are taller than the canvas's, and it writes the height that it needed itself.
    const byHand = vue && this.fitted !== null ? Math.abs(height - this.fitted) > SLACK : height > before + SLACK;
    const wanted = byHand ? Math.max(height, after) : after;
    if (wanted !== height) node.setSize([node.size[0], wanted]);
    if (vue && !byHand)
      requestAnimationFrame(() => requestAnimationFrame(() => {
        this.fitted = node.size[1];
      }));
  }
}

function isVue() {
  return Boolean(globalThis.LiteGraph?.vueNodesMode);
}

/** {name: {acts, rare}} of a node's inputs, as the pack's Python declares them. */
export function rulesOf(node) {
  const { required, optional } = node.constructor.nodeData?.input ?? {};
  const rule = ([name, [, options]]) => [name, { acts: options?.rackfocus?.acts, rare: Boolean(options?.advanced) }];
  return Object.fromEntries(Object.entries({ ...required, ...optional }).map(rule));
}

/** The widgets of an input: its own, and what the page puts behind it, as "control after generate" behind a seed. */
export function widgetsOf(node, name) {
  const widget = node.widgets?.find((each) => each.name === name);
  return widget ? [widget, ...(widget.linkedWidgets ?? [])] : [];
}

/** Take away the room of a row, and the slot where its link would go; what brings both back. */
function takeAway(widget) {
  const own = ["computeSize", "y"].map((name) => [name, Object.getOwnPropertyDescriptor(widget, name)]);
  widget.computeSize = NO_ROW;
  if (own[1][1] && "value" in own[1][1])
    Object.defineProperty(widget, "y", { get: () => OUTSIDE, set: () => {}, configurable: true, enumerable: true });
  return () => {
    for (const [name, before] of own)
      if (before) Object.defineProperty(widget, name, before);
      else delete widget[name];
  };
}
