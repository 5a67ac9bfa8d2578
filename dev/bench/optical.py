"""Quality in dB on path-traced truth and speed beside disc scatter, in one run: python -m dev.bench optical."""

import argparse
import statistics
import time

import torch

from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optical import SAMPLES, deblur, fuse_stack, render_bokeh
from rackfocus.pipelines.optics import DefocusMap
from rackfocus.tests.pictures import psnr

from .baselines import disc_scatter, gaussian_blend
from .truth import scenes

MEGAPIXEL = (832, 1248)


def renderers():
    def ours(quality, linear):
        def run(scene, shot):
            source = scene.linear if linear else scene.png
            out = render_bokeh(source, DefocusMap(shot.radius), aperture=shot.aperture, quality=quality, linear=linear)
            return encode_srgb(out) if linear else out

        return run

    yield "no blur, 8-bit", lambda scene, shot: scene.png
    yield "Gaussian blend, 8-bit", lambda scene, shot: gaussian_blend(scene.png, shot.radius)
    yield "disc scatter, 8-bit", lambda scene, shot: encode_srgb(disc_scatter(decode_srgb(scene.png), shot.radius))
    for quality in SAMPLES:
        yield f"rackfocus {quality}, 8-bit", ours(quality, False)
    yield "disc scatter, float", lambda scene, shot: encode_srgb(disc_scatter(scene.linear, shot.radius))
    for quality in SAMPLES:
        yield f"rackfocus {quality}, float", ours(quality, True)


def quality_of_blur(all_scenes):
    print("Lens blur, dB (round depth edges)            stack            lens")
    for name, run in renderers():
        rows = {"stack": [], "lens": []}
        for scene in all_scenes:
            for shot in scene.shots():
                out = run(scene, shot)
                rows[shot.kind].append((psnr(out, shot.truth), psnr(out, shot.truth, shot.edges)))
        means = [[statistics.mean(column) for column in zip(*rows[k], strict=True)] for k in ("stack", "lens")]
        print(f"  {name:38s} " + "  ".join(f"{a:6.2f} ({b:5.2f})" for a, b in means), flush=True)


def quality_of_stacking(all_scenes):
    print("Focus stacking, dB")
    for scene in all_scenes:
        truth, frames = encode_srgb(scene.linear), scene.stack()
        print(f"  {scene.folder.name} {'best single frame':27s} {max(psnr(f[None], truth) for f in frames):6.2f}")
        for method in ("average", "depth", "pyramid"):
            print(f"  {scene.folder.name} {method:27s} {psnr(fuse_stack(frames, method=method).image, truth):6.2f}")


def quality_of_deblur(all_scenes):
    print("Deconvolution, gain over the photograph in dB (away from depth edges)")
    for known in (True, False):
        gain, away = [], []
        for scene in all_scenes:
            truth = encode_srgb(scene.linear)
            for shot in scene.shots():
                if shot.aperture is None:
                    photo = (shot.truth * 255).round() / 255
                    out = deblur(photo, DefocusMap(shot.radius) if known else None)
                    gain.append(psnr(out, truth) - psnr(photo, truth))
                    away.append(psnr(out, truth, ~shot.edges) - psnr(photo, truth, ~shot.edges))
        name = "defocus known" if known else "defocus estimated"
        print(f"  {name:38s} {statistics.mean(gain):+6.2f} ({statistics.mean(away):+5.2f})", flush=True)


def speed(_):
    h, w = MEGAPIXEL
    image = torch.rand(1, h // 8, w // 8, 3, generator=torch.Generator().manual_seed(0))
    image = torch.nn.functional.interpolate(image.permute(0, 3, 1, 2), (h, w), mode="bicubic").clamp(0, 1)
    image = image.permute(0, 2, 3, 1).contiguous()
    blocks = torch.rand(1, 1, 8, 12, generator=torch.Generator().manual_seed(1))
    depth = torch.nn.functional.interpolate(blocks, (h, w), mode="nearest")[:, 0] * 2 - 1
    print(f"Speed at {w} x {h}, ratio to disc scatter at radius 20")
    base = _seconds(lambda: disc_scatter(decode_srgb(image), depth * 20))
    print(f"  {'disc scatter, radius 20':38s}  1.00   ({base:.2f} s)")
    for quality in SAMPLES:
        for radius in (5, 20, 100):
            took = _seconds(lambda q=quality, r=radius: render_bokeh(image, DefocusMap(depth * r), quality=q))
            print(f"  {f'rackfocus {quality}, radius {radius}':38s} {took / base:5.2f}   ({took:.2f} s)", flush=True)


def _seconds(run, repeats=3):
    run()
    took = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def main():
    parts = {"blur": quality_of_blur, "stacking": quality_of_stacking, "deblur": quality_of_deblur, "speed": speed}
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "parts", nargs="*", choices=[*parts, []], metavar="part", help=f"{', '.join(parts)}; all if none is named"
    )
    found = scenes()
    for part in options.parse_args().parts or parts:
        parts[part](found)
