"""Screenshots of every optical workflow as an artist meets it on a fresh ComfyUI, opened and run, into out/screens.

RACKFOCUS_COMFYUI names another ComfyUI than the pinned one. Chromium and Playwright are needed.
"""

from pathlib import Path

from ..host.page import Page
from ..host.paths import COMFY, ROOT, version
from ..host.server import Host
from ..workflows.optical import OPTICAL

OUT = Path(ROOT) / "out" / "screens"


def shoot(host, vue):
    """Every template in one renderer; False where the front end does not have it."""
    renderer = "vue" if vue else "canvas"
    with Page(host, vue) as page:
        if vue and not page.has_vue():
            return False
        name = f"{version(COMFY)}_{renderer}"
        for template in OPTICAL:
            page.open_template(template)
            page.screenshot(OUT / f"{name}_{template.split()[0]}_open.png")
            run = page.run()
            page.screenshot(OUT / f"{name}_{template.split()[0]}_run.png")
            print(f"  {name}: {template}, {run.seconds:.1f} s", flush=True)
        page.browse_templates()
        page.page.wait_for_function("[...document.images].every(i => i.complete)")
        page.screenshot(OUT / f"{name}_templates.png")
    return True


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for vue in (False, True):
        with Host() as host:
            shoot(host, vue)
    print(OUT)
