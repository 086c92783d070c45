import asyncio
import os
import socket

import pytest

from service.errors import StartError
from service.server.listeners import addresses, drop_new_connections, duplicate, listen

SOON = 60.0


def test_several_addresses_are_listened_at_ipv4_first():
    listeners = asyncio.run(listen(["::1", "127.0.0.1"], 0))
    ports = [listener.getsockname()[1] for listener in listeners]
    assert addresses(listeners) == "http://127.0.0.1:{} and http://[::1]:{}".format(*ports)
    for listener in listeners:
        socket.create_connection(listener.getsockname()[:2], timeout=SOON).close()
        listener.close()


def test_everywhere_is_told_as_addresses_that_can_be_opened():
    with socket.create_server(("0.0.0.0", 0)) as listener:  # noqa: S104 - where a container listens
        told = addresses([listener])
        port = listener.getsockname()[1]
    assert told == f"http://127.0.0.1:{port} (at every address of this machine)"


def test_a_family_that_is_not_there_is_left_out(monkeypatch):
    make = socket.socket

    def without_ipv6(family=socket.AF_INET, *rest, **options):
        if family == socket.AF_INET6:
            raise OSError("Address family not supported by protocol")
        return make(family, *rest, **options)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    (listener,) = asyncio.run(listen(["0.0.0.0", "::"], 0))  # noqa: S104 - where a container listens
    listener.close()
    with pytest.raises(StartError, match="SWIN_HOST"):
        asyncio.run(listen(["::"], 0))


def test_who_is_in_the_queue_is_accepted_and_nobody_else():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        waiting = [socket.create_connection(address) for _ in range(3)]
        waiting[0].sendall(b"sent")
        drop_new_connections(listener.fileno())
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.2)
        listener.settimeout(SOON)
        accepted = [listener.accept()[0] for _ in waiting]
        assert accepted[0].recv(10) == b"sent"
        for connection in waiting + accepted:
            connection.close()


def test_a_connection_in_the_making_is_made():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # The listener waits for what the client sends, and until then for the handshake's end.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
        listener.settimeout(SOON)
        with socket.create_connection(listener.getsockname()) as client:
            drop_new_connections(listener.fileno())
            client.sendall(b"sent")
            with listener.accept()[0] as accepted:
                accepted.settimeout(SOON)
                assert accepted.recv(10) == b"sent"
                client.sendall(b"more")
                assert accepted.recv(10) == b"more"


def test_what_is_no_socket_is_left_alone(tmp_path):
    with (tmp_path / "file").open("w") as file:
        drop_new_connections(file.fileno())


def test_a_duplicate_never_makes_its_listener_blocking():
    """Other processes accept from it at the same time: one would hang in `accept`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_blocking(listener.fileno(), False)  # as the event loop of another process has it
        with duplicate(listener) as other:
            assert not os.get_blocking(listener.fileno())
            assert other.getsockname() == listener.getsockname()
