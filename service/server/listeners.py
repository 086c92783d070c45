"""Listening sockets: how to stop without losing who has just connected."""

import asyncio
import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Sequence

from service.errors import StartError

SO_ATTACH_FILTER = 26
"""asm-generic/socket.h; Python's `socket` has no name for it."""

DROP_SYN = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # BPF_LD | BPF_B | BPF_ABS: the flags of the TCP header
        (0x54, 0, 0, 0x12),  # BPF_ALU | BPF_AND: of them SYN and ACK
        (0x15, 0, 1, 0x02),  # BPF_JMP | BPF_JEQ: SYN alone, which asks for a connection, goes on
        (0x06, 0, 0, 0),  # BPF_RET: keep nothing of the packet
        (0x06, 0, 0, 0xFFFFFFFF),  # keep all
    )
)
"""A program of linux/filter.h. What belongs to a connection in the making is kept: its client may
think that it is made."""

BACKLOG = 2048
"""Connections that wait to be accepted; uvicorn's default."""


LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is shown in place of them
"""Where a socket that listens everywhere can be found from the same machine."""


async def listen(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Sockets that listen at all addresses of some hosts.

    A family of addresses that this machine does not have is left out, as long as another is there:
    `0.0.0.0` and `::` serve on a machine without IPv6 too.

    Raises:
        StartError: an address cannot be used, or there is none.
    """
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(asyncio.Protocol, hosts, port, start_serving=False)
    except OSError as error:
        raise StartError(f"SWIN_HOST, SWIN_PORT: {error.strerror or error}") from error
    listeners = [socket.socket(fileno=os.dup(one.fileno())) for one in server.sockets]
    listeners.sort(key=lambda listener: listener.family)  # IPv4, of which the log tells, first
    server.close()
    if not listeners:
        raise StartError(f"SWIN_HOST: this machine has no addresses like {', '.join(hosts)}")
    for listener in listeners:
        listener.listen(BACKLOG)
    return listeners


def addresses(listeners: Sequence[socket.socket]) -> str:
    """Where sockets listen, as addresses that can be opened, such as `http://127.0.0.1:8000`.

    At a wildcard, such as 0.0.0.0, it is this machine's own address.
    """
    bound = [listener.getsockname()[:2] for listener in listeners]
    urls = [_url(LOOPBACK.get(host, host), port) for host, port in bound]
    everywhere = any(host in LOOPBACK for host, _ in bound)
    return " and ".join(urls) + (" (at every address of this machine)" if everywhere else "")


def _url(host: str, port: int) -> str:
    """The URL of an address."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def duplicate(listener: socket.socket) -> socket.socket:
    """Another socket object for the same listening socket.

    `socket.dup` would make it blocking for a moment, for every process that shares it. One that is
    just about to accept a connection that another has taken would then hang until the next comes.
    """
    return socket.socket(fileno=os.dup(listener.fileno()))


def drop_new_connections(descriptor: int) -> None:
    """Have the kernel drop new connections, while those it has made can still be accepted.

    Closing a listening socket resets the connections that wait in its queue, whose clients may have
    sent a request. Elsewhere than on Linux nothing happens.
    """
    program = ctypes.create_string_buffer(DROP_SYN, len(DROP_SYN))
    length = len(DROP_SYN) // 8
    filtered = struct.pack("HL", length, ctypes.addressof(program))  # struct sock_fprog
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filtered)
