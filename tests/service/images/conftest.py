import pytest

from service.images import decoding


@pytest.fixture(scope="package", autouse=True)
def _configured():
    """As an embedder does it before the first image."""
    decoding.configure(64_000_000)
