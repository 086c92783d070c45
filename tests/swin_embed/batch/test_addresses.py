import socket

import pytest

from swin_embed.batch import addresses
from swin_embed.batch.errors import ClusterError


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "localhost:{}"])
def test_an_address_where_somebody_listens_is_left_to_ray(address, port):
    addresses.check(address.format(port))


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "[::1]:{}"])
def test_one_where_nobody_does_is_told_at_once(address):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        given = address.format(gone.getsockname()[1])
    with pytest.raises(ClusterError, match="no Ray cluster at"):
        addresses.check(given)


def test_a_port_that_there_cannot_be():
    with pytest.raises(ClusterError, match="no Ray cluster at"):
        addresses.check("127.0.0.1:99999")


def test_the_environment_is_looked_at(port, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:99999")
    addresses.check(f"127.0.0.1:{port}")
    with pytest.raises(ClusterError, match="99999"):
        addresses.check(None)


@pytest.mark.parametrize("address", ["auto", "local"])
def test_other_addresses_are_left_to_ray(address):
    addresses.check(address)
