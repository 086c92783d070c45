"""The HTTP server: uvicorn, with limits on connections and a stop that loses no request."""

import asyncio
import contextlib
import logging
import math
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI

from model_export import console
from service.engine.lifecycle import Lifecycle
from service.errors import ArtifactError, DeviceError, EngineError, StartError
from service.server.connections import Connection
from service.server.listeners import addresses, drop_new_connections, duplicate, listen
from service.server.places import RESERVE, Places
from service.settings import Settings

OTHER_FILES = 256 + RESERVE
"""Files and sockets besides the connections of `SWIN_MAX_CONNECTIONS`."""

ACCEPTS = 16
"""Connections accepted in one turn of the event loop, which accepts one for each listening socket.

Of 64 clients that came at once beside 200 busy ones the last was answered when each of the busy had
had 7 answers; with 4 sockets 24, with one it was not answered after 100 s.
"""

ON_THE_WAY_S = 0.5
"""How long a request may take to arrive over an open connection before it is closed."""

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn, with limits on connections and a stop that loses no request.

    The first signal drains: the service is not ready but serves on for `drain_seconds`, as load
    balancers lag. Then it accepts no new connections and finishes what is in flight; the status is
    0. A second signal ends the process at once.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        places = Places(settings.max_connections)
        app.state.service.budget.make_room = partial(places.free_memory, time.monotonic)
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(Connection, app.state.service, places),  # type: ignore[arg-type]
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=math.ceil(settings.keep_alive_s),
                timeout_graceful_shutdown=math.ceil(settings.shutdown_grace_s),
            )
        )
        self._hosts, self._port = settings.hosts, settings.port
        self._drain_seconds = settings.drain_seconds
        self._lifecycle: Lifecycle = app.state.service.lifecycle
        self._drained_at: float | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on these listening sockets, or else at the address of the settings.

        If that address cannot be used, `lifecycle.failure` says so and no model is loaded.
        """
        if sockets is None:
            try:
                sockets = await listen(self._hosts, self._port)
            except StartError as error:
                self._lifecycle.failure = error
                return
            logger.info("running on %s", addresses(sockets))
        more = [duplicate(one) for one in sockets for _ in range(ACCEPTS - 1)]
        await super().serve([*sockets, *more])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT; unlike uvicorn, do not raise them again at the end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        reload = self._lifecycle.ask_reload
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain; if draining already, end now."""
        if self._drained_at is not None:
            logging.shutdown()
            os._exit(128 + sig)  # a thread that hangs must not keep the process
        self.drain()

    def drain(self) -> None:
        """Report not ready, serve on for `drain_seconds`, then stop."""
        self._drained_at = time.monotonic() + self._drain_seconds
        self._lifecycle.drain()

    async def on_tick(self, counter: int) -> bool:
        """Whether it is time to stop accepting connections."""
        drained = self._drained_at is not None and time.monotonic() >= self._drained_at
        return drained or await super().on_tick(counter)

    def drop_new_connections(self) -> None:
        """Drop new connections, but accept those that were already made."""
        for server in self.servers:
            for listener in server.sockets:
                drop_new_connections(listener.fileno())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no new connections, read the requests under way, finish what is in flight.

        uvicorn would close idle connections at once, and with them the requests in their buffers.
        """
        self.drop_new_connections()
        await asyncio.sleep(ON_THE_WAY_S)
        await super().shutdown(sockets)


def cap_connections(settings: Settings) -> Settings:
    """Lower `max_connections` to what the limit of open files leaves room for."""
    connections = allow_open_files(settings.max_connections)
    if connections == settings.max_connections:
        return settings
    logger.warning(
        "open files are limited: %d connections instead of SWIN_MAX_CONNECTIONS=%d",
        connections,
        settings.max_connections,
    )
    return settings.model_copy(update={"max_connections": connections})


def allow_open_files(connections: int) -> int:
    """Raise the limit of open files for this many connections, as far as that is allowed.

    Returns:
        How many connections there is room for, besides `OTHER_FILES`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return min(connections, wanted - min(OTHER_FILES, wanted // 2))


def exit_status(failure: Exception | None) -> int:
    """The process's exit status after this failure, which is printed if it is a known kind.

    Raises:
        Exception: the failure, if it is a bug.
    """
    if failure is None:
        logger.info("stopped")
        return 0
    if not isinstance(failure, ArtifactError | DeviceError | EngineError | StartError):
        raise failure
    console.complain(str(failure))
    if isinstance(failure, EngineError):
        os._exit(1)  # a thread that hangs in native code would keep the interpreter from ending
    return 1
