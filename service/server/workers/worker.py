"""A worker process: accepts and decodes for the process that runs the model.

The supervisor starts it as `python -m service.server.workers.worker`. It is the whole service, with
its own queue and limits, but its model runs in the supervisor's process (`remote`). It ends when
the supervisor tells it to, or is gone.
"""

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection

from fastapi import FastAPI
from prometheus_client.core import Metric

from service.api.app import create_app
from service.engine import memory, resources
from service.errors import EngineError
from service.observability import logs
from service.server.server import Server, cap_connections, exit_status
from service.server.workers import rpc
from service.server.workers.intake import Offer
from service.server.workers.remote import Offers
from service.server.workers.rpc import Client, Command, Request
from service.settings import Settings


class Page:
    """The metrics of all processes, merged by the supervisor."""

    def __init__(self, ask: Callable[[Request], list[Metric]]) -> None:
        self._ask = ask

    def collect(self) -> list[Metric]:
        """Families of samples."""
        return self._ask(Request.METRICS)


class WorkerServer(Server):
    """The HTTP server of a worker process; it obeys only the supervisor."""

    def __init__(
        self, app: FastAPI, settings: Settings, offers: Offers, commands: Connection
    ) -> None:
        super().__init__(app, settings)
        self._offers = offers
        self._commands = commands
        self.stopping = False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ignore signals: they may be sent to every process, and the supervisor handles them."""
        yield

    def drop_new_connections(self) -> None:
        """Drop new connections if the service stops; if only this worker stops, accept no more."""
        if self.stopping:
            super().drop_new_connections()
        else:
            for server in self.servers:
                server.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then listen to the supervisor."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._obey, args=(loop,), name="commands", daemon=True).start()

    def _obey(self, loop: asyncio.AbstractEventLoop) -> None:
        rpc.serve(self._commands, partial(self._follow, loop))
        os._exit(1)  # the supervisor is gone

    def _follow(self, loop: asyncio.AbstractEventLoop, command: Offer | Command) -> None:
        if isinstance(command, Offer):
            self._offers.put(command, rpc.received(self._commands, 1 + command.layout.lanes))
            asyncio.run_coroutine_threadsafe(self._take_up(), loop).result()
            return
        self.stopping = True
        self._offers.end()
        if command is Command.DRAIN:
            loop.call_soon_threadsafe(self.drain)
        else:
            self.should_exit = True

    async def _take_up(self) -> None:
        """Serve with the new engine; requests in flight are finished by the old one."""
        if self._lifecycle.started.is_set():
            await self._lifecycle.reload()
            return
        await self._lifecycle.started.wait()
        if self._lifecycle.failure is not None:
            raise EngineError(str(self._lifecycle.failure))


def main() -> int:
    """Serve until the supervisor ends it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    commands, samples, *others = map(int, sys.argv[1:])
    # A connection for each kind of request: a reload takes long.
    ask = {request: Client(Connection(others.pop(0))).call for request in Request}
    settings: Settings = ask[Request.SETTINGS](Request.SETTINGS)
    logs.configure(settings.log_format, settings.log_level)
    logging.getLogger("service.engine.lifecycle").setLevel(
        logging.WARNING
    )  # the supervisor tells it
    memory.lay_out_heaps(resources.usable_cores())
    faulthandler.enable()

    def give_up() -> None:
        server.should_exit = True

    offers = Offers()
    settings = cap_connections(settings)
    app = create_app(settings, on_failure=give_up, load=offers.load)
    app.state.service.reload = partial(asyncio.to_thread, ask[Request.RELOAD], Request.RELOAD)
    metrics = app.state.service.metrics
    metrics.page = Page(ask[Request.METRICS])
    answering = (Connection(samples), lambda _: list(metrics.registry.collect()))
    threading.Thread(target=rpc.serve, args=answering, name="samples", daemon=True).start()
    server = WorkerServer(app, settings, offers, Connection(commands))
    server.run([socket.socket(fileno=listener) for listener in others])
    failure = app.state.service.lifecycle.failure
    if server.stopping and not isinstance(failure, EngineError):
        return 0
    return exit_status(failure)


if __name__ == "__main__":
    sys.exit(main())
