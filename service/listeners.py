"""Listening sockets: how to stop without losing who has just connected."""

import asyncio
import contextlib
import ctypes
import os
import socket
import struct

from service.errors import StartError

SO_ATTACH_FILTER = 26
"""asm-generic/socket.h; Python's `socket` has no name for it."""

DROP = struct.pack("HBBI", 0x06, 0, 0, 0)
"""The one instruction `return 0`, keep no byte of the packet: BPF_RET | BPF_K of linux/filter.h."""

BACKLOG = 2048
"""Connections that wait to be accepted; uvicorn's default."""


async def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at all addresses of a host.

    Raises:
        StartError: one of them cannot be used.
    """
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(asyncio.Protocol, host, port, start_serving=False)
    except OSError as error:
        raise StartError(f"SWIN_HOST, SWIN_PORT: {error.strerror}") from error
    listeners = [socket.socket(fileno=os.dup(one.fileno())) for one in server.sockets]
    server.close()
    for listener in listeners:
        listener.listen(BACKLOG)
    return listeners


def url(listener: socket.socket) -> str:
    """Where a socket listens, such as `http://127.0.0.1:8000`."""
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def drop_new_connections(descriptor: int) -> None:
    """Have the kernel drop new connections, while those it has made can still be accepted.

    Closing a listening socket resets the connections that wait in its queue, whose clients may have
    sent a request. Elsewhere than on Linux nothing happens.
    """
    program = ctypes.create_string_buffer(DROP)
    filtered = struct.pack("HL", 1, ctypes.addressof(program))  # struct sock_fprog
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filtered)
