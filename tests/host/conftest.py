import subprocess
import sys
from pathlib import Path

import pytest

from rackfocus.dev.bench.truth import scenes
from rackfocus.dev.host.server import Host
from rackfocus.dev.tiny import depth as tiny_depth


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    """One ComfyUI for all tests that only talk to it. Its log stays in pytest's temporary folder."""
    running = Host(tmp_path_factory.mktemp("host")).start()
    yield running
    running.stop()


LORAS = """
import sys
from rackfocus.dev.host.library import use_comfy
use_comfy()
from safetensors.torch import save_file
from pathlib import Path
from rackfocus.dev.tiny import fill
from rackfocus.dev.tiny.diffcamera import tiny_checkpoint
from rackfocus.dev.tiny.genfocus import tiny_lora, tiny_transformer
from rackfocus.pipelines.diffcamera import write_checkpoint
fill.save_files(Path(sys.argv[1]), Path(sys.argv[1]).parent / "refocus")
for seed, name in enumerate(["deblurNet", "bokehNet"]):
    save_file(tiny_lora(seed=seed), f"{sys.argv[1]}/{name}.safetensors")
for geometry in ("defocus", "depth"):
    made = tiny_checkpoint(tiny_transformer(), geometry=geometry)
    write_checkpoint(f"{sys.argv[1]}/diffcamera_{geometry}.safetensors", made)
"""


@pytest.fixture(scope="session")
def genfocus_host(tmp_path_factory):
    """A host with the test-only pack of tiny models, tiny LoRAs and checkpoints on FLUX.1 and a tiny depth model."""
    base = tmp_path_factory.mktemp("genfocus-host")
    (base / "models" / "loras").mkdir(parents=True)
    (base / "custom_nodes").mkdir()
    (base / "custom_nodes" / "tiny").symlink_to(Path(__file__).parent / "tiny_pack", target_is_directory=True)
    subprocess.run([sys.executable, "-c", LORAS, str(base / "models" / "loras")], check=True)
    tiny_depth.save("anything", base / "models" / "refocus" / "relative")
    host = Host(base, args=["--preview-method", "latent2rgb"]).start()
    yield host
    host.stop()


@pytest.fixture
def client(host):
    with host.client() as client:
        yield client


@pytest.fixture(scope="session")
def object_info(host):
    with host.client() as client:
        return client.object_info()


@pytest.fixture(scope="session")
def truth_frames():
    """The path-traced focal stack of the first truth scene as nine 8-bit pictures, near to far."""
    return scenes()[0].stack_pictures()
