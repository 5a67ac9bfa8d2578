"""The Genfocus workflows: FLUX.1-dev from the host's own loaders, everything else from this pack and the core."""

from .build import Flow

LOADERS = "FLUX.1-dev and the LoRAs"


def _genfocus(flow, bokeh=True):
    """The loaders, top left, x to 700 and y to 420: (REFOCUS_MODEL, MODEL, CLIP, VAE)."""
    flux = flow.node("UNETLoader", (0, 0), unet_name="flux1-dev.safetensors")
    clip = flow.node(
        "DualCLIPLoader", (0, 160), clip_name1="clip_l.safetensors", clip_name2="t5xxl_fp16.safetensors", type="flux"
    )
    vae = flow.node("VAELoader", (0, 360), vae_name="ae.safetensors")
    model = flow.node(
        "LoadRefocusModel",
        (380, 0),
        engine="genfocus",
        deblur_lora="deblurNet.safetensors",
        bokeh_lora="bokehNet.safetensors" if bokeh else "none",
        flux=flux["MODEL"],
        clip=clip["CLIP"],
        vae=vae["VAE"],
    )
    flow.group(LOADERS, [flux, clip, vae, model])
    return model["model"], flux["MODEL"], clip["CLIP"], vae["VAE"]


def _lens(flow, at, image, **widgets):
    """RefocusDepth above RefocusLens, with the kind of depth linked: (both nodes)."""
    x, y = at
    depth = flow.node("RefocusDepth", at, image=image, model="depth_anything_v2_vits_fp16.safetensors")
    lens = flow.node(
        "RefocusLens",
        (x, y + 260),
        depth=depth["depth"],
        depth_kind=depth["depth_kind"],
        image=image,
        focus_by="point",
        **widgets,
    )
    return depth, lens


def _save(flow, at, title, image, name):
    return flow.node("SaveImage", at, title, images=image, filename_prefix=f"rackfocus/{name}")


def deblur(info) -> Flow:
    flow = Flow(info)
    model, *_ = _genfocus(flow, bokeh=False)
    photo = flow.node("LoadImage", (0, 560), "Photo", image="motorcycle.png")
    sharp = flow.node("DeblurAiF", (780, 0), image=photo["IMAGE"], model=model)
    save = _save(flow, (1260, 0), "Sharp everywhere", sharp["IMAGE"], "all_in_focus")
    flow.group("What you have", [photo])
    flow.group("Everything in focus", [sharp])
    flow.group("Result", [save])
    flow.note(
        "**Sharp everywhere.** Genfocus on the FLUX.1-dev you already have: fp8, GGUF and your own LoRAs go in "
        "the same way. `python -m rackfocus.weights fetch genfocus` gets the files. The picture keeps its size; "
        "edit the prompt to say what the result should be.",
        (360, 560),
        (380, 180),
    )
    return flow


def refocus(info) -> Flow:
    flow = Flow(info)
    model, *_ = _genfocus(flow)
    photo = flow.node("LoadImage", (0, 560), "Photo", image="motorcycle.png")
    sharp = flow.node("DeblurAiF", (780, 0), image=photo["IMAGE"], model=model)
    depth, lens = _lens(flow, (1240, 0), sharp["IMAGE"], focus_x=0.42, focus_y=0.6, strength=30.0)
    learned = flow.node(
        "BokehSynthesize", (1640, 0), "Bokeh by Genfocus", image=sharp["IMAGE"], defocus=lens["defocus"], model=model
    )
    optical = flow.node(
        "BokehSynthesize", (1640, 600), "Bokeh by the optical engine", image=sharp["IMAGE"], defocus=lens["defocus"]
    )
    one = _save(flow, (2120, 0), "Genfocus", learned["IMAGE"], "refocused_genfocus")
    other = _save(flow, (2120, 600), "Optical", optical["IMAGE"], "refocused_optical")
    both = flow.node(
        "ImageStitch",
        (2520, 0),
        "Side by side",
        image1=optical["IMAGE"],
        image2=learned["IMAGE"],
        direction="left",
        spacing_width=8,
    )
    pair = _save(flow, (2520, 260), "Genfocus left, optical right", both["IMAGE"], "refocused_compared")
    flow.group("What you have", [photo])
    flow.group("Everything in focus", [sharp])
    flow.group("Lens", [depth, lens])
    flow.group("Bokeh, twice", [learned, optical])
    flow.group("Results", [one, other])
    flow.group("Compared", [both, pair])
    flow.note(
        "**Refocus, and compare the engines.** Both take the same sharp picture and the same lens. To run the "
        "optical engine alone, mute *Bokeh by Genfocus* and its *Save Image* (Ctrl+M); bypass *Deblur* as well "
        "if the photo is sharp everywhere. Focus: `focus_x`, `focus_y`; blur: `strength`, in pixels.",
        (360, 560),
        (380, 220),
    )
    return flow


def generate(info) -> Flow:
    flow = Flow(info)
    model, flux, clip, vae = _genfocus(flow)
    text = flow.node(
        "CLIPTextEncode",
        (780, 0),
        "Prompt",
        clip=clip,
        text="a street market at dusk, a woman in a red coat, lanterns, wet cobblestones",
    )
    guidance = flow.node("FluxGuidance", (780, 260), conditioning=text["CONDITIONING"], guidance=3.5)
    nothing = flow.node("ConditioningZeroOut", (780, 400), conditioning=text["CONDITIONING"])
    empty = flow.node("EmptySD3LatentImage", (780, 520), width=1024, height=1024)
    sampler = flow.node(
        "KSampler",
        (780, 720),
        model=flux,
        positive=guidance["CONDITIONING"],
        negative=nothing["CONDITIONING"],
        latent_image=empty["LATENT"],
        seed=1,
        steps=20,
        cfg=1.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
    )
    made = flow.node("VAEDecode", (780, 1100), samples=sampler["LATENT"], vae=vae)
    sharp = flow.node("DeblurAiF", (1260, 0), image=made["IMAGE"], model=model)
    large = flow.node(
        "ImageScaleBy", (1260, 520), "Upscale", image=sharp["IMAGE"], upscale_method="lanczos", scale_by=1.5
    )
    depth, lens = _lens(flow, (1720, 0), large["IMAGE"], focus_x=0.5, focus_y=0.55, strength=45.0)
    bokeh = flow.node("BokehSynthesize", (2120, 0), image=large["IMAGE"], defocus=lens["defocus"], model=model)
    first = _save(flow, (2600, 0), "As generated", made["IMAGE"], "generated")
    last = _save(flow, (2600, 400), "Refocused", bokeh["IMAGE"], "generated_refocused")
    flow.group("Generate", [text, guidance, nothing, empty, sampler, made])
    flow.group("Sharp and large", [sharp, large])
    flow.group("Lens", [depth, lens, bokeh])
    flow.group("Results", [first, last])
    flow.note(
        "**Generate, then choose the focus.** FLUX blurs its backgrounds; DeblurAiF takes that away, and the "
        "lens puts blur where you want it. In place of *Upscale*: Load Upscale Model and Upscale Image (using "
        "Model). The FLUX loaded once serves all three.",
        (0, 560),
        (380, 180),
    )
    return flow


def sampler(info) -> Flow:
    flow = Flow(info)
    model, _, _, vae = _genfocus(flow)
    photo = flow.node("LoadImage", (0, 560), "Photo", image="motorcycle.png")
    given = flow.node("GenfocusConditioning", (780, 0), model=model, image=photo["IMAGE"], task="deblur")
    guider = flow.node(
        "CFGGuider", (1260, 0), model=given["MODEL"], positive=given["positive"], negative=given["negative"], cfg=1.0
    )
    noise = flow.node("RandomNoise", (1260, 220), noise_seed=0)
    method = flow.node("KSamplerSelect", (1260, 360), sampler_name="euler")
    sigmas = flow.node("BasicScheduler", (1260, 480), model=given["MODEL"], scheduler="simple", steps=28, denoise=1.0)
    run = flow.node(
        "SamplerCustomAdvanced",
        (1680, 0),
        noise=noise["NOISE"],
        guider=guider["GUIDER"],
        sampler=method["SAMPLER"],
        sigmas=sigmas["SIGMAS"],
        latent_image=given["LATENT"],
    )
    decoded = flow.node("VAEDecode", (1680, 220), samples=run["output"], vae=vae)
    size = flow.node("GetImageSize", (1680, 340), image=photo["IMAGE"])
    cut = flow.node(
        "ImageCrop",
        (1680, 480),
        "The photo's size",
        image=decoded["IMAGE"],
        width=size["width"],
        height=size["height"],
        x=0,
        y=0,
    )
    save = _save(flow, (2080, 0), "Sharp everywhere", cut["IMAGE"], "all_in_focus_sampler")
    flow.group("What you have", [photo])
    flow.group("Conditions", [given])
    flow.group("Your own sampler", [guider, noise, method, sigmas])
    flow.group("Run", [run, decoded, size, cut])
    flow.group("Result", [save])
    flow.note(
        "**Genfocus with the core's samplers.** As set here it makes the same picture as DeblurAiF. Change the "
        "sampler, the sigmas or the MODEL's LoRAs, or put ControlNets into `positive` and `negative`. `cfg` is "
        "the image guidance: above 1 the photo counts for more. Sides grow to multiples of 16 pixels on the "
        "way, so the result is cut to the photo's size.",
        (360, 560),
        (380, 240),
    )
    return flow


GENFOCUS = {
    "genfocus_deblur": deblur,
    "genfocus_refocus": refocus,
    "genfocus_generate": generate,
    "genfocus_sampler": sampler,
}
