"""python -m rackfocus.weights, or python <the pack's folder>/weights, whatever the folder is called."""

import importlib.util
import os
import sys

if not __package__:
    # Run by the folder's path: Python then knows no package and looks for modules in here. Not resolved: a pack that is
    # linked into custom_nodes belongs to that ComfyUI.
    pack = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path = [folder for folder in sys.path if os.path.abspath(folder) != os.path.join(pack, "weights")]
    spec = importlib.util.spec_from_file_location(
        "rackfocus", os.path.join(pack, "__init__.py"), submodule_search_locations=[pack]
    )
    assert spec and spec.loader
    sys.modules["rackfocus"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["rackfocus"])
    __package__ = "rackfocus.weights"

if __name__ == "__main__":
    from .cli import main

    sys.exit(main())
