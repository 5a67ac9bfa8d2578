from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root():
    """The repository's root folder."""
    return Path(__file__).resolve().parent.parent
