"""Blobs to cache."""

import pytest

from tests.trainer.stream.origin import Origin


@pytest.fixture
def origin() -> Origin:
    return Origin(*(bytes([number]) * 100 for number in range(5)))
