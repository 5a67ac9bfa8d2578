from .. import call

call(
    __package__,
    "Pictures: of photographs, and of the code.",
    {
        "demo": ("demo", "a photograph refocused by a real ComfyUI, into out/demo"),
        "docs": ("docs", "README's pictures, from out/demo"),
        "help": ("help", "the pictures in web/docs, from runs on the sample"),
        "page": ("page", "README's picture of the nodes in the page, docs/images/Page.jpg"),
        "samples": ("samples", "samples/: the scene that Refocus Sample serves, path-traced"),
        "screens": ("screens", "screenshots of the workflows in a browser, on a fresh host, into out/screens"),
        "icon": ("icon", "docs/icon.png, from the aperture shapes"),
        "architecture": ("architecture", "the drawing in docs/architecture.md, from the code's imports"),
        "hops": ("hops", "the files of the pack that one small picture passes through"),
    },
)
