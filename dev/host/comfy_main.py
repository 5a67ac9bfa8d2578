"""Run ComfyUI's main.py, and die with the process that started it.

Usage: comfy_main.py COMFY_FOLDER [options of main.py]
"""

import os
import runpy
import signal
import sys
import threading


def die_with_parent():
    # Standard input is a pipe whose other end the parent holds; it closes however the parent ends, SIGKILL included.
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    folder = sys.argv.pop(1)
    threading.Thread(target=die_with_parent, daemon=True).start()
    main = os.path.join(folder, "main.py")
    sys.argv[0] = main
    sys.path[0] = folder
    runpy.run_path(main, run_name="__main__")
