"""Development tooling: a real ComfyUI beside the pack. Never imported by the pack itself."""
