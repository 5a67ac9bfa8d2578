"""What the numbers of a depth model mean, as far as its configuration tells."""

MEANINGS = ("disparity", "metres")


def meaning_of(config: dict) -> tuple[str, bool]:
    """A model's config.json -> ("metres" or "disparity", whether the configuration itself says so).

    Depth Anything and Prompt Depth Anything name their type; ZoeDepth and GLPN are trained on metres alone. Depth Pro
    gives inverse depth that its field-of-view head turns into metres; without that head the scale stays unknown. DPT
    is relative as MiDaS trained it, but some folders hold metric ones and nothing in them says which.
    """
    kind = config.get("model_type")
    if kind in ("depth_anything", "prompt_depth_anything"):
        return ("metres" if config.get("depth_estimation_type") == "metric" else "disparity"), True
    if kind == "depth_pro":
        return ("metres" if config.get("use_fov_model") else "disparity"), True
    if kind in ("zoedepth", "glpn"):
        return "metres", True
    return "disparity", False
