"""JavaScript that dev/host/page.py runs in the host's page. `app` and `LiteGraph` are the front end's own."""

READY = "window.app?.graph && app.extensionManager && LiteGraph.registered_node_types.RefocusSample !== undefined"
# Whether every node that shows a picture has it, on the canvas or as an element.
SHOWN = """() => app.graph.nodes.filter(n => n.mode === 0 && /^(Save|Preview|MaskPreview|RefocusSample)/.test(n.type))
.every(n => n.imgs?.some(i => i.naturalWidth) ||
            document.querySelector(`[data-node-id="${n.id}"] img`)?.naturalWidth ||
            (n.widgets || []).some(w => w.element?.querySelector?.('img')?.naturalWidth ||
                                        w.element?.naturalWidth))"""
REPLACE = """kind => {
  const graph = app.graph, old = graph.nodes.find(n => n.type === kind), fresh = LiteGraph.createNode(kind);
  graph.add(fresh);
  fresh.pos = [...old.pos];
  old.inputs.forEach((input, i) => {
    const link = input.link == null ? null : graph.getLink ? graph.getLink(input.link) : graph.links.get(input.link);
    if (link) graph.getNodeById(link.origin_id).connect(link.origin_slot, fresh,
      fresh.inputs.findIndex(other => other.name === input.name));
  });
  old.outputs.forEach((output, i) => (output.links || []).slice().forEach(id => {
    const link = graph.getLink ? graph.getLink(id) : graph.links.get(id);
    fresh.connect(i, graph.getNodeById(link.target_id), link.target_slot);
  }));
  graph.remove(old);
}"""
# [id, width that the page gave it, size that the renderer needs] of every node, in the page's pixels.
SIZES = """() => app.graph.nodes.map(n => {
  const box = document.querySelector(`[data-node-id="${n.id}"]`)?.getBoundingClientRect(), k = app.canvas.ds.scale;
  return [n.id, n.size[0], box ? [box.width / k, box.height / k - 30] : [...n.computeSize()]];
})"""
# Whether the page has drawn the nodes at the zoom that the canvas has by now: a width is as in the file.
SETTLED = """() => app.graph.nodes.some(n => {
  const box = document.querySelector(`[data-node-id="${n.id}"]`)?.getBoundingClientRect();
  return !box || Math.abs(box.width / app.canvas.ds.scale - n.size[0]) < 2;
})"""

# Whether each Load Image has its picture, which takes room in the node (canvas renderer).
PICTURED = """() => app.graph.nodes.every(n => {
  const file = n.type === 'LoadImage' && n.widgets?.find(w => w.name === 'image')?.value;
  return !file || n.imgs?.length > 0;
})"""

# Whether the page is done with the last undo.
AT_REST = "() => !app.extensionManager.workflow.activeWorkflow?.changeTracker?._restoringState"
# A workflow in the form that people save, or a prompt in the API's form, whose nodes are set apart.
LOAD = """async ([graph, isPrompt]) => {
  if (!isPrompt) return void await app.loadGraphData(graph, true, true);
  await app.loadApiJson(graph, 'test.json');
  app.graph.nodes.forEach((node, i) => { node.pos = [700 * i, 0]; });
}"""
# {widget: value} of a node.
VALUES = """id => {
  const node = app.canvas.graph.getNodeById(id);
  return Object.fromEntries((node.widgets ?? []).filter(w => w.serialize !== false).map(w => [w.name, w.value]));
}"""
# Whether widgets of a node have these values; numbers within 0.005.
HAS = """([id, values]) => {
  const widgets = app.canvas.graph.getNodeById(id)?.widgets ?? [];
  return Object.entries(values).every(([name, value]) => {
    const found = widgets.find(w => w.name === name)?.value;
    return typeof value === 'number' ? Math.abs(found - value) <= 0.005 : found === value;
  });
}"""
# As a person's edit: the callback runs and the page redraws.
ASSIGN = """([id, values]) => {
  const node = app.canvas.graph.getNodeById(id);
  for (const [name, value] of Object.entries(values)) {
    const widget = node.widgets.find(w => w.name === name);
    widget.value = value;
    widget.callback?.(value, app.canvas, node);
  }
  app.canvas.graph.setDirtyCanvas(true, true);
}"""
# Zoom, with the middle of a node in the middle of the window.
SHOW = """([id, zoom]) => {
  const node = app.canvas.graph.getNodeById(id), ds = app.canvas.ds, box = app.canvas.canvas.getBoundingClientRect();
  ds.scale = zoom;
  ds.offset[0] = box.width / 2 / zoom - node.pos[0] - node.size[0] / 2;
  ds.offset[1] = box.height / 2 / zoom - node.pos[1] - node.size[1] / 2;
  app.canvas.setDirty(true, true);
}"""
# Move the page's view by so many of its pixels.
PAN = """([x, y]) => {
  const ds = app.canvas.ds;
  ds.offset[0] += x / ds.scale;
  ds.offset[1] += y / ds.scale;
  app.canvas.setDirty(true, true);
}"""
# The element of a node's view that has data-rackfocus=name; null if there is none in the page.
PART = """([id, name]) => {
  for (const widget of app.canvas.graph.getNodeById(id)?.widgets ?? []) {
    const root = widget.element;
    if (!root?.isConnected) continue;
    const found = root.dataset?.rackfocus === name ? root : root.querySelector?.(`[data-rackfocus="${name}"]`);
    if (found) return found;
  }
  return null;
}"""
# What the line of a node's view says, where `id` is the node's.
LINE = f"({PART})([id, 'line'])?.textContent"
# Resolves with an element's rectangle once it stands still for three frames and is as large as the zoom makes it.
STILL = """element => new Promise(resolve => {
  let last = '', same = 0;
  const look = () => {
    const box = element.getBoundingClientRect(), now = [box.x, box.y, box.width, box.height];
    const drawn = box.width > 0 && Math.abs(box.width - element.offsetWidth * app.canvas.ds.scale) < 2;
    same = drawn && String(now) === last ? same + 1 : 0;
    last = String(now);
    if (same >= 3) resolve(now); else requestAnimationFrame(look);
  };
  look();
})"""
# Resolves after so many frames.
FRAMES = "n => new Promise(done => { const next = () => n-- ? requestAnimationFrame(next) : done(); next(); })"
# [left, top, right, bottom] of a node, its title included.
NODE_BOX = """id => {
  const box = document.querySelector(`[data-node-id="${id}"]`)?.getBoundingClientRect();
  if (box) return [box.left, box.top, box.right, box.bottom];
  const node = app.canvas.graph.getNodeById(id), ds = app.canvas.ds, on = app.canvas.canvas.getBoundingClientRect();
  const at = (x, y) => [on.left + (x + ds.offset[0]) * ds.scale, on.top + (y + ds.offset[1]) * ds.scale];
  return [...at(node.pos[0], node.pos[1] - 30), ...at(node.pos[0] + node.size[0], node.pos[1] + node.size[1])];
}"""
