"""FLUX.1 as the engines on it share it: tokens, branches, attention rule, sampling, LoRA files."""
