"""Clients in front of the fake upstream."""

from collections.abc import Iterator

import pytest

from imagegate import Client
from tests.upstream import FakeUpstream


@pytest.fixture
def client(upstream: FakeUpstream) -> Iterator[Client]:
    """Return a client whose calls go to the fake upstream unless they say otherwise."""
    with Client(model="gpt-image-2", api_base=upstream.v1, api_key="sk-test-client") as client:
        yield client
