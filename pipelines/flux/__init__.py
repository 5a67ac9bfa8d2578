"""FLUX.1 with conditions, as the engines on it share it: tokens, branches, attention rule, sampling, LoRA files."""
