"""What all tests share: the root folder, and the marker that each folder of tests sets."""

import re
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
# The files beside this one look at sources alone: they are unit tests too.
FOLDERS = {
    "unit": "unit",
    "nodes": "nodes",
    "host": "host",
    "parity": "parity",
    "truth": "truth",
    "browser": "browser",
    "fuzz": "fuzz",
    ".": "unit",
}


@pytest.fixture(scope="session")
def root():
    """The repository's root folder."""
    return TESTS.parent


@pytest.fixture(autouse=True)
def seeded():
    """What a test draws without a generator of its own is the same in every run and in any order."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def transformer():
    """The tiny FLUX of the golden data that the repository holds; RACKFOCUS_GOLDEN does not change it."""
    from rackfocus.tests.parity.golden import OURS

    return OURS.transformer


@pytest.fixture(scope="session")
def lora():
    """The LoRA that belongs to it, {layer: LowRank}."""
    from rackfocus.tests.parity.golden import OURS

    return OURS.lora


def folder_marker(path) -> str | None:
    """The marker that the folder of a test file sets."""
    path = Path(path).resolve()
    if TESTS not in path.parents:
        return None
    return FOLDERS.get(path.relative_to(TESTS).parts[0] if path.parent != TESTS else ".")


def wanted(expression: str) -> set[str]:
    """The folders' markers that `-m expression` can select: all of them unless it names some and negates no group."""
    names = set(FOLDERS.values())
    if re.search(r"\bnot\s*\(", expression):
        return names
    named = set(re.findall(r"\w+", re.sub(r"\bnot\s+\w+", "", expression))) & names
    return named or names


def pytest_ignore_collect(collection_path, config):
    """Leave out folders that -m deselects anyway: `pytest -m unit` must not import ComfyUI, or need it."""
    if collection_path.is_dir() and collection_path.parent == TESTS and collection_path.name in FOLDERS:
        return FOLDERS[collection_path.name] not in wanted(config.option.markexpr) or None
    return None


def pytest_collection_modifyitems(items):
    for item in items:
        marker = folder_marker(item.path)
        if marker:
            item.add_marker(marker)
