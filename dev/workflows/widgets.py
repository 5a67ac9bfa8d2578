"""Which inputs of a node type are widgets, and in which order the web page stores their values."""

from dataclasses import dataclass

WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "MARKDOWN", "COLOR", "TEXTAREA"}
SEEDS = {"seed", "noise_seed"}
UPLOADS = {"image_upload", "animated_image_upload", "video_upload"}
BLANK = {"INT": 0, "FLOAT": 0.0, "BOOLEAN": False}


@dataclass(frozen=True)
class Input:
    """One input of a node type, as /object_info tells it."""

    name: str
    type: str
    options: dict
    required: bool

    @property
    def is_widget(self):
        kind = self.options.get("widgetType", self.type)
        return kind in WIDGET_TYPES and not self.options.get("forceInput")

    @property
    def default(self):
        if "default" in self.options:
            return self.options["default"]
        choices = self.options.get("options") or []
        return choices[0] if choices else BLANK.get(self.type, "")

    @property
    def companions(self):
        """Values of the helper widgets the page puts right behind this one: "control after generate" and its filter."""
        control = self.options.get("control_after_generate")
        if self.type == "INT" and (self.name in SEEDS if control is None else control):
            return ["fixed"]
        return ["fixed", ""] if self.type == "COMBO" and control else []


def inputs_of(info):
    """The inputs of one node type, in the order of its definition."""
    found = []
    for section in ("required", "optional"):
        specs = info["input"].get(section) or {}
        for name in info.get("input_order", {}).get(section) or specs:
            kind, *options = specs[name]
            options = dict(options[0]) if options and isinstance(options[0], dict) else {}
            if isinstance(kind, list):
                kind, options["options"] = "COMBO", kind
            found.append(Input(name, kind, options, section == "required"))
    return found


def stored_order(info):
    """What a node's `widgets_values` list holds: an Input for a widget's value, a literal for a helper widget's."""
    inputs, order = inputs_of(info), []
    for required in (True, False):
        for entry in inputs:
            if entry.required == required and entry.is_widget:
                order += [entry, *entry.companions]
        if required and any(UPLOADS & entry.options.keys() for entry in inputs if entry.required):
            order.append("image")  # the upload button
    return order
