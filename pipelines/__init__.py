"""The engines and the optics they share: torch only, no ComfyUI."""
