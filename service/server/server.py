"""The HTTP server: uvicorn, with our connections and our way to stop."""

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
from types import FrameType

import uvicorn
from fastapi import FastAPI

from model_export import console
from service.engine.lifecycle import Lifecycle
from service.errors import ArtifactError, DeviceError, EngineError, StartError
from service.server.connections import Connection
from service.server.listeners import drop_new_connections, listen, url
from service.settings import Settings

OTHER_FILES = 256

ON_THE_WAY_S = 0.5
"""How long requests may be on their way over a connection that is open."""

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn, with our way to stop.

    The first signal drains: not ready, but serving for `drain_seconds`, since load balancers lag;
    then no new connections, what is in flight is finished, status 0. A second signal ends at once.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
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
        """Serve on sockets that listen; without any, on those of the settings' address.

        An address that cannot be used is the lifecycle's failure; then no model is loaded.
        """
        if sockets is None:
            try:
                sockets = await listen(self._hosts, self._port)
            except StartError as error:
                self._lifecycle.failure = error
                return
            logger.info("running on %s", url(sockets[0]))
        await super().serve(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT, and don't raise them again when all is done."""
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
        """Be not ready, serve on for `drain_seconds`, then stop."""
        self._drained_at = time.monotonic() + self._drain_seconds
        self._lifecycle.drain()

    async def on_tick(self, counter: int) -> bool:
        """Whether it is time to stop accepting connections."""
        drained = self._drained_at is not None and time.monotonic() >= self._drained_at
        return drained or await super().on_tick(counter)

    def drop_new_connections(self) -> None:
        """Have no more connections made; those that were made are accepted."""
        for server in self.servers:
            for listener in server.sockets:
                drop_new_connections(listener.fileno())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no new connections, read the requests on their way, finish what is in flight.

        uvicorn would close idle connections at once, and with them the requests in their buffers.
        """
        self.drop_new_connections()
        await asyncio.sleep(ON_THE_WAY_S)
        await super().shutdown(sockets)


def fit(settings: Settings) -> Settings:
    """Settings with as many connections as there may be open files for."""
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
    """Raise the limit of open files for so many connections, as far as that is allowed.

    Returns:
        How many of them there is room for, beside the files that the service opens itself.
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
    """The status of a process that served until this happened; it is told in a line, if foreseen.

    Raises:
        Exception: the failure, if it is a bug.
    """
    if failure is None:
        return 0
    if not isinstance(failure, ArtifactError | DeviceError | EngineError | StartError):
        raise failure
    console.complain(str(failure))
    if isinstance(failure, EngineError):
        os._exit(1)  # a thread that hangs in native code would keep the interpreter from ending
    return 1
