// A node's seed stays until the artist changes it: pages start it as "randomize", which renders an unchanged graph again
// at every Run. The values of a node that is loaded, pasted or undone are written after it was made, and stay what they
// are. (control_after_generate="fixed" in the schema would start so on newer pages, and names the widget "fixed".)
import { app } from "../../scripts/app.js";

app.registerExtension({
  name: "Rackfocus.seeds",
  nodeCreated(node) {
    if (node.constructor.nodeData?.category !== "Rackfocus") return;
    for (const widget of node.widgets ?? []) {
      if (widget.name === "control_after_generate") widget.value = "fixed";
    }
  },
});
