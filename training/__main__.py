"""python -m rackfocus.training, or python <the pack's folder>/training, whatever the folder is called."""

import importlib.util
import os
import sys

if not __package__:
    # Run by the folder's path: Python then knows no package and looks for modules in here.
    pack = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path = [folder for folder in sys.path if os.path.abspath(folder) != os.path.join(pack, "training")]
    spec = importlib.util.spec_from_file_location(
        "rackfocus", os.path.join(pack, "__init__.py"), submodule_search_locations=[pack]
    )
    assert spec and spec.loader
    sys.modules["rackfocus"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["rackfocus"])
    __package__ = "rackfocus.training"

if __name__ == "__main__":  # a process that --workers spawns imports this file again
    from .cli import main

    sys.exit(main())
