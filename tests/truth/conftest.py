"""Where the truth scenes lie: RACKFOCUS_TRUTH, else tests/data/truth, else ../shared/truth beside the repository."""

import os
from pathlib import Path

import pytest


def truth_root() -> Path | None:
    root = Path(__file__).resolve().parents[2]
    named = os.environ.get("RACKFOCUS_TRUTH")
    places = [Path(named)] if named else [root / "tests" / "data" / "truth", root.parent / "shared" / "truth"]
    return next((p for p in places if any(p.glob("scene_*/meta.json"))), None)


@pytest.fixture(scope="session")
def truth():
    """Folder of scene_* folders; skips where none is at hand."""
    place = truth_root()
    if place is None:
        pytest.skip("no truth scenes: set RACKFOCUS_TRUTH")
    return place
