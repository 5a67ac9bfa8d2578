import pytest

from rackfocus.dev.host import Host
from rackfocus.dev.truth import scenes


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    """One ComfyUI for all tests that only talk to it. Its log stays in pytest's temporary folder."""
    running = Host(tmp_path_factory.mktemp("host")).start()
    yield running
    running.stop()


@pytest.fixture
def client(host):
    with host.client() as client:
        yield client


@pytest.fixture(scope="session")
def object_info(host):
    with host.client() as client:
        return client.object_info()


@pytest.fixture(scope="session")
def truth_frames():
    """The path-traced focal stack of the first truth scene as nine 8-bit pictures, near to far."""
    return scenes()[0].stack_pictures()
