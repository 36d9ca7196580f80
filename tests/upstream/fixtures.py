"""Fixtures of the fake upstream, for all tests."""

from collections.abc import Iterator

import pytest

from tests.upstream.fake import FakeUpstream


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """Return a healthy fake upstream with an empty bill."""
    with FakeUpstream() as running:
        yield running
