"""learn2refocus on the tiny golden SVD, on the CPU: python -m dev.bench learn2refocus.

Processor seconds a step beside the plain host sampler and the reference, in one run; peak memory of decoding by chunk.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import torch

from ..tiny import native_svd as native  # first: it puts the host's modules in reach
from ..tiny.svd import GOLDEN, tiny_vae

ROUNDS, STEPS, LATENT, DECODED = 3, 4, (16, 24), 160


def runs():
    """{name: a function that samples STEPS steps of one stack}."""
    import comfy.sample
    import comfy.samplers
    from diffusers import UNetSpatioTemporalConditionModel
    from safetensors.torch import load_file

    from rackfocus.pipelines.learn2refocus import generate
    from rackfocus.pipelines.learn2refocus.sampling import sigmas

    model = native.load(GOLDEN)
    unet = UNetSpatioTemporalConditionModel(**json.loads((GOLDEN / "unet_config.json").read_text())).eval()
    unet.load_state_dict(load_file(GOLDEN / "unet.safetensors"))
    noise, latent, embed = torch.randn(1, 9, 4, *LATENT), torch.randn(1, 4, *LATENT), torch.randn(1, 1, 16)

    def plain():
        """As SVD_img2vid_Conditioning and KSampler do it: the same photo behind every frame."""
        options = {"fps": 6, "motion_bucket_id": 127, "augmentation_level": 0.0}
        positive = [[embed, {**options, "concat_latent_image": latent}]]
        negative = [[embed * 0, {**options, "concat_latent_image": latent * 0}]]
        comfy.sample.sample_custom(
            model,
            noise[0],
            1.5,
            comfy.samplers.sampler_object("euler"),
            sigmas(STEPS),
            positive,
            negative,
            torch.zeros_like(noise[0]),
            disable_pbar=True,
            seed=0,
        )

    return {
        "plain host sampler, plain SVD": plain,
        "native": lambda: native.generate(model, noise, latent, embed, 4, steps=STEPS, guidance=1.5),
        "reference": lambda: generate(unet, noise, latent, embed, 4, steps=STEPS, guidance=1.5),
    }


def speed():
    took = {}
    with torch.inference_mode():
        found = runs()
        for i in range(ROUNDS + 1):  # the first warms up; taking turns, noise of the machine falls on all alike
            for name, run in found.items():
                start = time.process_time()
                run()
                if i:
                    took.setdefault(name, []).append((time.process_time() - start) / STEPS)
    base = next(iter(took.values()))
    print(f"nine frames of {LATENT[0]} x {LATENT[1]} latents, guidance 1.5, processor seconds a step")
    for name, seconds in took.items():
        ratios = [a / b for a, b in zip(seconds, base, strict=True)]
        print(
            f"  {name:32s}{statistics.median(seconds):8.3f}   {statistics.median(ratios):5.2f}   "
            f"by round {min(ratios):.2f} to {max(ratios):.2f}"
        )


def decoding(chunk: int):
    """MiB that decoding adds to this process's peak."""
    from rackfocus.nodes.learn2refocus.run import decode

    vae, latents = tiny_vae(), torch.randn(9, 4, DECODED, DECODED)
    # So shallow a VAE attends to far more positions than SVD's, in slices that would hide all else.
    vae.first_stage_model.decoder.mid.attn_1 = torch.nn.Identity()
    with torch.inference_mode():
        decode(vae, latents[:, :, :16, :16], 1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        decode(vae, latents, chunk)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decoding", type=int, metavar="N", help="only the memory of decoding N frames at a time")
    given = parser.parse_args()
    if given.decoding:
        return decoding(given.decoding)
    speed()
    print(f"decoding nine frames of {2 * DECODED} x {2 * DECODED} pixels, memory on top, MiB")
    for chunk in (1, 3, 9):  # each in a process of its own: a peak never falls
        told = subprocess.run(
            [sys.executable, "-m", __package__, "learn2refocus", "--decoding", str(chunk)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        print(f"  {chunk} at a time {float(told.split()[-1]):8.0f}")
