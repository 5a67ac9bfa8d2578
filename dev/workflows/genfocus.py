"""The Genfocus workflows: FLUX.1-dev from the host's own loaders, everything else from this pack and the core."""

from .build import Flow
from .optical import DEPTH_MODEL, WAKE, own_shot

NEEDS = (
    "**Needs** FLUX.1-dev (bf16, fp8 or GGUF, from any loader), its text encoders and VAE, and Genfocus's LoRAs. The "
    "README says under Weights how to get them; Load Refocus Model names what is missing."
)


def _genfocus(flow, bokeh=True):
    """([three loaders], LoadRefocusModel)."""
    flux = flow.node("UNETLoader", unet_name="flux1-dev.safetensors")
    clip = flow.node(
        "DualCLIPLoader", clip_name1="clip_l.safetensors", clip_name2="t5xxl_fp16.safetensors", type="flux"
    )
    vae = flow.node("VAELoader", vae_name="ae.safetensors")
    model = flow.node(
        "LoadRefocusModel",
        engine="genfocus",
        deblur_lora="deblurNet.safetensors",
        bokeh_lora="bokehNet.safetensors" if bokeh else "none",
        flux=flux["MODEL"],
        clip=clip["CLIP"],
        vae=vae["VAE"],
    )
    return [flux, clip, vae], model


def _lens(flow, image, **widgets):
    """RefocusDepth and RefocusLens, with the kind of depth linked: (both nodes)."""
    depth = flow.node("RefocusDepth", image=image, model=DEPTH_MODEL.path)
    lens = flow.node(
        "RefocusLens", depth=depth["depth"], depth_kind=depth["depth_kind"], image=image, focus_by="point", **widgets
    )
    return depth, lens


def _save(flow, title, image, name, width=400, height=340):
    save = flow.node("SaveImage", title, images=image, filename_prefix=f"rackfocus/{name}")
    save.size = [width, height]
    return save


def deblur(info) -> Flow:
    flow = Flow(info)
    loaders, model = _genfocus(flow, bokeh=False)
    photo, sample = own_shot(flow)
    sharp = flow.node("DeblurAiF", image=sample["photo"], model=model["model"])
    save = _save(flow, "Sharp everywhere", sharp["IMAGE"], "all_in_focus", 480, 420)
    note = flow.note(
        "**Sharp everywhere.** Genfocus on the FLUX.1-dev you already have: your own LoRAs go in the same way. The "
        "picture keeps its size; edit the prompt to say what the result should be.\n\n"
        f"**Your own photo:** {WAKE}\n\n{NEEDS}"
    )
    flow.lay_out(
        ("FLUX.1-dev and your photo", [photo, *loaders]),
        ("Start", [sample, model, note]),
        ("Everything in focus", [sharp]),
        ("Picture", [save]),
    )
    return flow


def refocus(info) -> Flow:
    flow = Flow(info)
    loaders, model = _genfocus(flow)
    photo, sample = own_shot(flow)
    sharp = flow.node("DeblurAiF", image=sample["photo"], model=model["model"])
    depth, lens = _lens(flow, sharp["IMAGE"], focus_x=0.615, focus_y=0.67, strength=30.0)
    lens.size = [320, lens.size[1]]
    learned = flow.node(
        "BokehSynthesize", "Bokeh by Genfocus", image=sharp["IMAGE"], defocus=lens["defocus"], model=model["model"]
    )
    optical = flow.node("BokehSynthesize", "Bokeh by the optical engine", image=sharp["IMAGE"], defocus=lens["defocus"])
    one = _save(flow, "Genfocus", learned["IMAGE"], "refocused_genfocus", 320, 280)
    other = _save(flow, "Optical", optical["IMAGE"], "refocused_optical", 320, 280)
    both = flow.node(
        "ImageStitch",
        "Side by side",
        image1=optical["IMAGE"],
        image2=learned["IMAGE"],
        direction="left",
        spacing_width=8,
    )
    pair = _save(flow, "Genfocus left, optical right", both["IMAGE"], "refocused_compared", 320, 250)
    note = flow.note(
        "**Refocus, and compare the engines.** Both take the same sharp picture and the same lens. To run the optical "
        "engine alone, mute **Bokeh by Genfocus** and **Genfocus** (Ctrl+M); bypass **Deblur** as "
        "well if the photo is sharp everywhere. Focus: **focus_x**, **focus_y**; blur: **strength**, in pixels.\n\n"
        f"**Your own photo:** {WAKE}\n\n{NEEDS} Refocus Depth needs [{DEPTH_MODEL.path}]({DEPTH_MODEL.url}) in "
        f"models/{DEPTH_MODEL.folder}."
    )
    flow.lay_out(
        ("FLUX.1-dev and your photo", [*loaders, photo]),
        ("Start", [model, sample, note]),
        ("Everything in focus, its depth", [80, sharp, depth]),
        ("Lens", [540, lens]),
        ("Bokeh, twice", [learned, optical]),
        ("Results", [one, other, both, pair]),
    )
    return flow


def generate(info) -> Flow:
    flow = Flow(info)
    loaders, model = _genfocus(flow)
    flux, clip, vae = (loader[0] for loader in loaders)
    text = flow.node(
        "CLIPTextEncode",
        "Prompt",
        clip=clip,
        text="a street market at dusk, a woman in a red coat, lanterns, wet cobblestones",
    )
    guidance = flow.node("FluxGuidance", conditioning=text["CONDITIONING"], guidance=3.5)
    nothing = flow.node("ConditioningZeroOut", conditioning=text["CONDITIONING"])
    empty = flow.node("EmptySD3LatentImage", width=1024, height=1024)
    sampler = flow.node(
        "KSampler",
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
    made = flow.node("VAEDecode", samples=sampler["LATENT"], vae=vae)
    sharp = flow.node("DeblurAiF", image=made["IMAGE"], model=model["model"])
    large = flow.node("ImageScaleBy", "Upscale", image=sharp["IMAGE"], upscale_method="lanczos", scale_by=1.5)
    depth, lens = _lens(flow, large["IMAGE"], focus_x=0.5, focus_y=0.55, strength=45.0)
    lens.size = [320, lens.size[1]]
    bokeh = flow.node("BokehSynthesize", image=large["IMAGE"], defocus=lens["defocus"], model=model["model"])
    first = _save(flow, "As generated", made["IMAGE"], "generated", 320, 380)
    last = _save(flow, "Refocused", bokeh["IMAGE"], "generated_refocused", 380, 440)
    note = flow.note(
        "**Generate, then choose the focus.** FLUX blurs its backgrounds; Deblur takes that away, and the lens puts "
        "blur where you want it. In place of **Upscale**: Load Upscale Model and Upscale Image (using Model). The FLUX "
        f"loaded once serves all three.\n\n{NEEDS} Refocus Depth needs [{DEPTH_MODEL.path}]({DEPTH_MODEL.url}) in "
        f"models/{DEPTH_MODEL.folder}."
    )
    flow.lay_out(
        ("FLUX.1-dev", [*loaders, note]),
        ("Generate", [model, text, nothing, guidance, empty], [140, sampler, made, first]),
        ("Sharp and large", [80, large, sharp]),
        ("Lens", [140, depth, lens]),
        ("Picture", [bokeh, last]),
    )
    return flow


def sampler(info) -> Flow:
    flow = Flow(info)
    loaders, model = _genfocus(flow)
    photo, sample = own_shot(flow)
    given = flow.node("GenfocusConditioning", model=model["model"], image=sample["photo"], task="deblur")
    guider = flow.node(
        "CFGGuider", model=given["MODEL"], positive=given["positive"], negative=given["negative"], cfg=1.0
    )
    noise = flow.node("RandomNoise", noise_seed=0)
    method = flow.node("KSamplerSelect", sampler_name="euler")
    sigmas = flow.node("BasicScheduler", model=given["MODEL"], scheduler="simple", steps=28, denoise=1.0)
    run = flow.node(
        "SamplerCustomAdvanced",
        noise=noise["NOISE"],
        guider=guider["GUIDER"],
        sampler=method["SAMPLER"],
        sigmas=sigmas["SIGMAS"],
        latent_image=given["LATENT"],
    )
    decoded = flow.node("VAEDecode", samples=run["output"], vae=loaders[2]["VAE"])
    cut = flow.node(
        "ImageCompositeMasked",
        "Cut to the photo's size",
        destination=sample["photo"],
        source=decoded["IMAGE"],
        x=0,
        y=0,
        resize_source=False,
    )
    save = _save(flow, "Sharp everywhere", cut["IMAGE"], "all_in_focus_sampler", 400, 360)
    note = flow.note(
        "**Genfocus with the core's samplers.** As set here it makes the same picture as Deblur. Change the sampler, "
        "the sigmas or the MODEL's LoRAs, or put ControlNets into **positive** and **negative**. **cfg** is the image "
        "guidance: above 1 the photo counts for more. Sides grow to multiples of 16 pixels on the way, so the result "
        f"is cut to the photo's size.\n\n**Your own photo:** {WAKE}\n\n{NEEDS}"
    )
    flow.lay_out(
        ("FLUX.1-dev and your photo", [*loaders, photo]),
        ("Start", [model, sample, note]),
        ("Conditions", [given]),
        ("Your own sampler", [300, guider, sigmas, noise, method]),
        ("Run", [run, decoded, cut], [save]),
    )
    return flow


GENFOCUS = {
    "Genfocus 1 Sharp everywhere": deblur,
    "Genfocus 2 Refocus and compare": refocus,
    "Genfocus 3 Generate and refocus": generate,
    "Genfocus 4 With your own sampler": sampler,
}
