"""An entry of the manifest as the tests of weights/ write them, and the file it stands for."""

import hashlib

CONTENT = b"weights of an engine " * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()


def entry(path="one.safetensors", **other) -> dict:
    return {
        "engine": "genfocus",
        "repository": "some/repo",
        "path": path,
        "folder": "loras",
        "url": f"https://huggingface.co/some/repo/resolve/main/{path}",
        "revision": None,
        "bytes": len(CONTENT),
        "sha256": SHA,
        "licence": "Apache-2.0",
        "group": None,
        **other,
    }
