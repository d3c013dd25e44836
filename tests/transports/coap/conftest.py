"""One CoAP server for the tests of a file."""

import pytest

from tests.transports.coap.service import CoapService, Peer


@pytest.fixture(scope="module")
def service():
    service = CoapService()
    try:
        service.prepare()
        service.start()
        yield service
    finally:
        service.close()


@pytest.fixture(scope="module")
def profile(service):
    """The fields by which a request selects the profile."""
    return service.create_profile("sensors")


@pytest.fixture
def peer(service):
    with Peer(service) as peer:
        yield peer
