"""The truth scenes: RACKFOCUS_TRUTH, else tests/data/truth."""

import pytest

from rackfocus.dev.bench.truth import scenes, truth_root


@pytest.fixture(scope="session")
def truth():
    """Folder of scene_* folders. Without any it is an error: RACKFOCUS_TRUTH names a folder that holds none."""
    scenes()
    return truth_root()
