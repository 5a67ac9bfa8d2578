// The page's own objects: the only module that touches them. Views see a node as a HostNode.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const KEY = "rackfocus"; // of what the pack's nodes leave behind in a run, and of what this session remembers of it
const ASLEEP = new Set([2, 4]); // modes of a node that does not run: muted, bypassed
const NO_ID = "00000000-0000-0000-0000-000000000000"; // of a workflow that was never saved or opened
const MARGIN = 10; // that the canvas leaves about a view, in the page's pixels
const known = new WeakMap();
const graphHeard = new Set(); // what is told of a change anywhere in the graph

export class HostNode {
  /** The HostNode of a node of the page; one and the same as long as the node lives. */
  static of(node) {
    if (!known.has(node)) known.set(node, new HostNode(node));
    return known.get(node);
  }

  constructor(node) {
    this.node = node;
    this.heard = { change: [], result: [], removed: [], configured: [] };
    this.pending = false;
    this.editing = 0;
    for (const name of ["onConnectionsChange", "onConfigure"]) chain(node, name, () => this.changed());
    chain(node, "onConfigure", () => this.lookForResult());
    chain(node, "onConfigure", () => this.tell("configured"));
    chain(node, "onExecuted", (message) => this.take(message, true));
    chain(node, "onRemoved", () => {
      while (this.editing) this.endEdit();
      this.tell("removed");
    });
    this.watchWidgets();
  }

  get type() {
    return this.node.comfyClass ?? this.node.type;
  }

  /** Whether it is a node of this pack. */
  get isOurs() {
    return isOurs(this.node);
  }

  has(name) {
    return Boolean(this.widget(name));
  }

  widget(name) {
    return this.node.widgets?.find((widget) => widget.name === name);
  }

  isLinked(name) {
    return (this.node.inputs ?? []).some((i) => (i.widget?.name ?? i.name) === name && i.link != null);
  }

  /** A widget's value; undefined where there is none, or where it comes over a link and is not known before a run. */
  get(name) {
    if (!this.isLinked(name)) return this.widget(name)?.value;
    const source = this.before(name);
    return source && /^Primitive/.test(source.type) ? source.widget("value")?.value : undefined;
  }

  /** {name: value} of these widgets. */
  values(names) {
    return Object.fromEntries(names.map((name) => [name, this.get(name)]));
  }

  /** Write widgets as the artist would. Names whose value comes over a link are left alone; whether all were written. */
  set(values) {
    let all = true;
    for (const [name, value] of Object.entries(values)) {
      const widget = this.widget(name);
      if (!widget || this.isLinked(name)) {
        all = false;
        continue;
      }
      const old = widget.value;
      if (old === value) continue;
      widget.value = value;
      widget.callback?.(value, app.canvas, this.node);
      this.node.onWidgetChanged?.(name, value, old, widget);
      if (this.node.graph) this.node.graph._version++;
    }
    this.node.setDirtyCanvas?.(true, true);
    this.changed();
    return all;
  }

  /** fn() as one step of the page's undo. */
  edit(fn) {
    this.beginEdit();
    try {
      fn();
    } finally {
      this.endEdit();
    }
  }

  /** Between beginEdit and endEdit, a drag for example, everything is one step of the page's undo. */
  beginEdit() {
    this.editing++;
    app.canvas.emitBeforeChange();
  }

  endEdit() {
    if (!this.editing) return;
    this.editing--;
    app.canvas.emitAfterChange();
  }

  /** fn() soon after a widget or a link of the node changed, however it did. */
  onChange(fn) {
    this.heard.change.push(fn);
  }

  /** fn(result) with what the node's last run left behind; at once if that is known. null: it is gone. */
  onResult(fn) {
    this.heard.result.push(fn);
    if (this.result) fn(this.result);
  }

  /** fn() after values and size were written from a file, the clipboard or undo. */
  onConfigured(fn) {
    this.heard.configured.push(fn);
  }

  /** fn() after the page has noted a change anywhere in the graph, of a link or a mode far away too. */
  onGraphChange(fn) {
    graphHeard.add(fn);
    this.onRemoved(() => graphHeard.delete(fn));
  }

  onRemoved(fn) {
    this.heard.removed.push(fn);
  }

  tell(what, ...news) {
    for (const fn of [...this.heard[what]]) fn(...news);
  }

  changed() {
    if (this.pending) return;
    this.pending = true;
    queueMicrotask(() => {
      this.pending = false;
      this.watchWidgets();
      this.tell("change");
    });
  }

  watchWidgets() {
    for (const widget of this.node.widgets ?? []) {
      if (watched.has(widget)) continue;
      watched.add(widget);
      chain(widget, "callback", () => this.changed());
    }
  }

  /** The node that feeds an input, and is not asleep; null if there is none. Reroutes are passed. */
  before(input) {
    const at = (this.node.inputs ?? []).findIndex((i) => i.name === input || i.widget?.name === input);
    if (at < 0 || this.node.inputs[at].link == null) return null;
    let source = this.node.getInputNode?.(at) ?? null;
    for (let steps = 0; source && source.type === "Reroute" && steps < 100; steps++) source = source.getInputNode?.(0) ?? null;
    return source && !ASLEEP.has(source.mode) ? HostNode.of(source) : null;
  }

  /** The name of the output that feeds an input, past reroutes; null if there is none. */
  outputBefore(input) {
    let node = this.node, at = (node.inputs ?? []).findIndex((i) => i.name === input || i.widget?.name === input);
    for (let steps = 0; steps < 100; steps++) {
      const link = node.getInputLink?.(at), source = node.getInputNode?.(at);
      if (!link || !source) return null;
      if (source.type !== "Reroute") return source.outputs?.[link.origin_slot]?.name ?? null;
      [node, at] = [source, 0];
    }
    return null;
  }

  /** The node that feeds an input; null where nothing will when the graph runs, undefined where that cannot be told. */
  source(input) {
    if (!this.isLinked(input)) return null;
    const source = this.before(input);
    if (source) return source;
    const at = this.node.inputs.findIndex((i) => i.name === input || i.widget?.name === input);
    const node = this.node.getInputNode?.(at);
    return node && (node.mode === 2 || (node.type === "Reroute" && node.inputs?.[0]?.link == null)) ? null : undefined;
  }

  /** The nodes that an output feeds. */
  after(output) {
    const at = (this.node.outputs ?? []).findIndex((o) => o.name === output);
    return at < 0 ? [] : (this.node.getOutputNodes?.(at) ?? []).map((node) => HostNode.of(node));
  }

  /** What is seen at an input before anything ran: {url} of a Load Image's file, {result} of the sample; else null. */
  async pictureBefore(input) {
    const source = this.before(input);
    if (!source) return null;
    if (source.type === "LoadImage") {
      const name = source.get("image");
      return typeof name === "string" && name ? { url: address(inputFile(name)) } : null;
    }
    if (source.type !== "RefocusSample") return null;
    const own = source.before("image");
    if (own) return source.pictureBefore("image");
    const answer = await api.fetchApi(`/rackfocus/sample?output=${this.outputBefore(input)}`);
    return answer.ok ? { result: await answer.json() } : null;
  }

  /** Address of a file entry {filename, subfolder, type}. */
  url(file) {
    return address(file);
  }

  /** What the host's server answers at an address of the pack's own. */
  ask(path, options) {
    return api.fetchApi(path, options);
  }

  /** Queue this node, and what it needs, alone. */
  async run() {
    await app.queuePrompt(0, 1, [executionId(this.node)]);
  }

  /** Give the node its view, `height` tall at least. It is no widget of a saved workflow or of a prompt. */
  addView(element, height) {
    element.style.minHeight = `${height - 2 * MARGIN}px`;
    element.classList.add("widget-expands"); // Vue gives it the room that the node has
    element.dataset.rackfocusRoot = "";
    const widget = this.node.addDOMWidget("rackfocus_view", "rackfocus", element, {
      serialize: false, hideOnZoom: false, getMinHeight: () => height, getValue: () => "", setValue: () => {},
    });
    widget.serialize = false;
    watched.add(widget);
    for (const name of ["onAdded", "onConfigure"]) chain(this.node, name, () => this.takePlace(element));
    const least = this.node.computeSize?.();
    if (least && this.node.setSize)
      this.node.setSize([Math.max(this.node.size[0], least[0]), Math.max(this.node.size[1], least[1])]);
    return widget;
  }

  /** Vue pages keep an element for the next node of a number, after undo or in a subgraph: ours takes its place. */
  takePlace(element) {
    requestAnimationFrame(() => {
      if (element.isConnected || app.canvas.graph !== this.node.graph) return;
      document.querySelector(`[data-node-id="${this.node.id}"] [data-rackfocus-root]`)?.replaceWith(element);
    });
  }

  /** The page draws no picture of its own below the view, which shows the same. */
  hidePicture() {
    this.hidesPicture = true;
    this.node.hideOutputImages = true; // Vue from 1.4x on; older ones draw what they kept of the message
    this.node.onDrawBackground = () => {}; // of this node: what makes its picture on the canvas
  }

  take(output, isNew = false) {
    if (this.hidesPicture && output) delete output.images;
    this.resultIs(first(output), isNew);
  }

  resultIs(result, isNew = false) {
    if (!result) return;
    this.result = result;
    if (isNew) remember(this.node, result);
    this.tell("result", result);
  }

  /** After the page was loaded again, or the node was made anew by undo: what its last run left behind. */
  lookForResult() {
    const outputs = app.nodeOutputs ?? {};
    const output = outputs[locator(this.node)];
    if (first(output)) this.take(output);
    else this.resultIs(remembered(this.node));
  }

  /** The files are gone, as after the host was started anew. */
  forgetResult() {
    this.result = null;
    forget(this.node);
    this.tell("result", null);
  }
}

/** What the first of `runs` of a node over a list left behind, of the host's message or of what the page keeps of it. */
function first(output) {
  const left = output?.[KEY];
  return left?.[0] ? { ...left[0], runs: left.length } : null;
}

/** Add `after` to a function of one object of the page. */
function chain(object, name, after) {
  const before = object[name];
  object[name] = function (...args) {
    const value = before?.apply(this, args);
    after(...args);
    return value;
  };
}
const watched = new WeakSet();

function address({ filename, subfolder = "", type = "temp" }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

/** What a Load Image's widget holds: "name", "folder/name", or "name [output]". */
function inputFile(value) {
  const [, path, type] = /^(.*?)(?: \[(input|output|temp)\])?$/s.exec(value);
  const cut = path.lastIndexOf("/");
  return { filename: path.slice(cut + 1), subfolder: path.slice(0, Math.max(0, cut)), type: type ?? "input" };
}

function isRoot(graph) {
  return !graph || !graph.rootGraph || graph.rootGraph === graph;
}

/** The name under which the page keeps a node's outputs. */
function locator(node) {
  return isRoot(node.graph) ? String(node.id) : `${node.graph.id}:${node.id}`;
}

/** The name by which the host runs a node: the way to it through the boxes that are open. */
function executionId(node) {
  if (isRoot(node.graph)) return String(node.id);
  const way = (graph, id) => {
    for (const box of graph.nodes ?? []) {
      if (!box.subgraph) continue;
      if (box.subgraph === node.graph) return `${id}${box.id}`;
      const deeper = way(box.subgraph, `${id}${box.id}:`);
      if (deeper) return deeper;
    }
    return null;
  };
  return `${way(node.graph.rootGraph, "")}:${node.id}`;
}

function memory(node) {
  const id = (node.graph?.rootGraph ?? node.graph)?.id;
  return id && id !== NO_ID ? `${KEY}:${id}:${locator(node)}` : null;
}

function remember(node, result) {
  const name = memory(node);
  try {
    if (name) sessionStorage.setItem(name, JSON.stringify(result));
  } catch {
    // A full or forbidden memory costs no more than a run after the next reload.
  }
}

function remembered(node) {
  try {
    const name = memory(node);
    return name ? JSON.parse(sessionStorage.getItem(name)) : null;
  } catch {
    return null;
  }
}

function forget(node) {
  const name = memory(node);
  if (name) sessionStorage.removeItem(name);
}

function isOurs(node) {
  return node.constructor.nodeData?.category?.split("/")[0] === "Rackfocus";
}

/** Register the pack's one extension. views: {node type: view(hostNode)}; each(hostNode): for all of the pack's nodes. */
export function register(views, each) {
  api.addEventListener("graphChanged", () => {
    for (const fn of [...graphHeard]) fn();
  });
  app.registerExtension({
    name: "Rackfocus.views",
    nodeCreated(node) {
      if (!isOurs(node)) return;
      const host = HostNode.of(node);
      each(host); // before the view, which stands last
      views[host.type]?.(host);
    },
    onNodeOutputsUpdated(outputs) {
      for (const [at, output] of Object.entries(outputs ?? {})) {
        if (!first(output)) continue;
        const root = app.rootGraph ?? app.graph;
        for (const graph of [root, ...(root.subgraphs?.values() ?? [])])
          for (const node of graph.nodes) if (locator(node) === at && known.has(node)) HostNode.of(node).take(output);
      }
    },
  });
}
