"""The engines and the optics they share: torch, numpy, scipy and kornia, no ComfyUI."""
