import pytest
import torch

from rackfocus.dev.host.library import use_comfy
from rackfocus.tests.parity.golden import OURS

use_comfy()  # before the test modules import the host's


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def genfocus():
    """The golden data that the repository holds; RACKFOCUS_GOLDEN changes only what is compared with golden numbers."""
    return OURS
