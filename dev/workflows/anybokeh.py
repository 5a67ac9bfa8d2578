"""The AnyBokeh workflow: FLUX.1-Fill-dev from the host's own loaders, everything else from this pack and the core.

Its thumbnail is a drawing of the graph: the weights are not at hand.
"""

from rackfocus.weights.manifest import weight_files

from .build import Flow
from .optical import WAKE, own_shot, save_picture

FILES = weight_files("anybokeh")
LORAS = [f.name for f in FILES if f.folder == "loras"]
PROMPTS = next(f.becomes for f in FILES if f.becomes)
FLUX, VAE = (next(f.name for f in FILES if f.folder == folder) for folder in ("diffusion_models", "vae"))
NEEDS = (
    "**Needs** FLUX.1-Fill-dev (bf16, fp8 or GGUF, from any loader), its VAE, AnyBokeh's two LoRAs and stored prompts; "
    "no text encoder. The README says under AnyBokeh how to get them; Load Refocus Model names what is missing."
)


def refocus(info) -> Flow:
    flow = Flow(info)
    flux = flow.node("UNETLoader", "FLUX.1-Fill-dev", unet_name=FLUX)
    vae = flow.node("VAELoader", vae_name=VAE)
    model = flow.node(
        "LoadRefocusModel",
        engine="anybokeh",
        stage1_lora=LORAS[0],
        stage2_lora=LORAS[1],
        prompt_embeds=PROMPTS,
        flux=flux["MODEL"],
        vae=vae["VAE"],
    )
    photo, sample = own_shot(flow)
    out = flow.node("RefocusPhoto", image=sample["photo"], model=model["model"], focus_x=0.615, focus_y=0.67)
    save = save_picture(flow, "Refocused by AnyBokeh", out, 480, 420)
    note = flow.note(
        "**Any photo, sharp or not.** **focus_x** and **focus_y** say where it is to be sharp, **blur** how strong the "
        "blur is; 0 makes everything sharp. The photo is looked at once; after that only the new one is painted. To "
        "open the photo's own lens wider, set **aperture_ratio** among the rare inputs.\n\n"
        f"**Your own photo:** {WAKE}\n\n{NEEDS}"
    )
    flow.lay_out(
        ("FLUX.1-Fill-dev and your photo", [photo, flux, vae]),
        ("Start", [sample, model, note]),
        ("Refocus", [out]),
        ("Picture", [save]),
    )
    return flow


ANYBOKEH = {"AnyBokeh 1 Refocus any photo": refocus}
