"""`SWIN_WORKERS` above 1: this process runs the model, and worker processes do everything else.

The supervisor starts the workers, connects them to the engine, replaces those that end, and tells
them when to stop. They share its listening sockets, so a worker that ends takes only its own
connections with it.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace

from prometheus_client import Counter, Gauge
from prometheus_client.core import Metric

from service.engine import placement, resources
from service.engine.embedder import Embedder
from service.engine.lifecycle import Lifecycle
from service.engine.placement import Placement
from service.errors import EngineError, StartError
from service.observability import traces
from service.observability.metrics import Metrics
from service.server.listeners import addresses, listen
from service.server.workers.handle import Handle, spawn
from service.server.workers.intake import Intake
from service.server.workers.merging import kept, merge
from service.server.workers.rpc import Command, Request
from service.settings import Settings

LATE_S = 5.0
"""How much longer than `shutdown_grace_s` workers get to end."""

logger = logging.getLogger(__name__)


def run(settings: Settings) -> Exception | None:
    """Serve until told to stop; the failure that ended it, if there was one."""
    # Not asyncio.run, which would wait for threads that hang with the engine.
    return asyncio.new_event_loop().run_until_complete(Supervisor(settings).run())


def shares(settings: Settings) -> list[Settings]:
    """The settings of each worker: an even share of each limit, and no queue delay.

    Batches fill up in the engine, which gets the images of all workers.
    """
    budget = settings.memory_budget_bytes or 0
    return [
        settings.model_copy(
            update={
                "max_queue_size": _share(settings.max_queue_size, settings.workers, number),
                "max_connections": _share(settings.max_connections, settings.workers, number),
                "memory_budget_bytes": _share(budget, settings.workers, number),
                "max_queue_delay_ms": 0,
            }
        )
        for number in range(settings.workers)
    ]


def _share(total: int, parts: int, number: int) -> int:
    return total // parts + (number < total % parts)


def _load_engine(settings: Settings) -> Placement:
    """The model without decoder threads: images arrive decoded."""
    return replace(placement.load(settings), decode_threads=0)


class Supervisor:
    """The engine and its workers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shares = shares(settings)
        self._metrics = Metrics()
        registry = self._metrics.registry
        self._restarts = Counter(
            "swin_worker_restarts",
            "Worker processes that ended and were replaced",
            registry=registry,
        )
        serving = Gauge("swin_workers", "Worker processes that serve", registry=registry)
        serving.set_function(lambda: sum(worker.served for worker in self._workers))
        self._lifecycle = Lifecycle(
            settings.model_copy(update={"max_queue_size": sys.maxsize}),  # the lanes bound it
            self._metrics,
            _load_engine,
            self._introduce,
        )
        self._workers: list[Handle] = []
        self._gone: Sequence[Metric] = ()
        self._counting = threading.Lock()  # so that no process is counted twice or left out
        self._intake: Intake | None = None
        self._listeners: Sequence[socket.socket] = ()
        self._stopping = asyncio.Event()
        self._spawned = asyncio.Event()  # set when all workers have started, or none will

    async def run(self) -> Exception | None:
        """Serve until told to stop; the failure that ended it, if there was one."""
        if traces.metrics_wanted():
            return StartError(
                "OTEL_METRICS_EXPORTER=otlp needs SWIN_WORKERS=1, as each process would send its "
                "own counts: scrape /metrics, which has them together"
            )
        try:
            self._listeners = await listen(self._settings.hosts, self._settings.port)
        except StartError as error:
            return error
        logger.info("%d workers running on %s", self._settings.workers, addresses(self._listeners))
        self._loop = asyncio.get_running_loop()
        self._handle_signals()
        starting = asyncio.create_task(self._lifecycle.start())
        watching = asyncio.create_task(self._lifecycle.watch())
        for task in (starting, watching):
            task.add_done_callback(lambda _: self._give_up() if self._lifecycle.failure else None)
        await asyncio.gather(*map(self._keep, self._shares))
        watching.cancel()
        if self._lifecycle.failure is None:
            await self._lifecycle.stop()
            if self._intake is not None:
                await asyncio.to_thread(self._intake.close)
        return self._lifecycle.failure

    def _handle_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal, number)
        self._loop.add_signal_handler(signal.SIGHUP, self._lifecycle.ask_reload)

    def _on_signal(self, number: int) -> None:
        """Drain; if draining already, end now."""
        if self._stopping.is_set():
            self._kill_all()
            logging.shutdown()
            os._exit(128 + number)  # a thread that hangs must not keep the process
        self._lifecycle.drain()
        self._stop(Command.DRAIN, self._settings.drain_seconds)

    def _give_up(self) -> None:
        """Let the workers answer what they can; kill those that never served."""
        for worker in tuple(self._workers):
            if not worker.served:
                worker.kill()
        self._stop(Command.STOP)

    def _kill_all(self) -> None:
        for worker in tuple(self._workers):
            worker.kill()

    def _stop(self, command: Command, drain_s: float = 0) -> None:
        self._stopping.set()
        late_s = drain_s + self._settings.shutdown_grace_s + LATE_S
        self._loop.call_later(late_s, self._kill_all)
        self._spawned.set()
        for listener in self._listeners:
            listener.close()  # the workers have their own copies
        for worker in tuple(self._workers):
            worker.tell(command)

    async def _keep(self, settings: Settings) -> None:
        """Keep a worker with these settings running until the service stops."""
        while not self._stopping.is_set():
            worker = await spawn(self._listeners, lambda asked: self._reply(asked, settings))
            self._workers.append(worker)
            if len(self._workers) == len(self._shares):
                self._spawned.set()
            if self._stopping.is_set():  # the command was sent before this worker started
                worker.kill()
            await self._give(worker)
            status = await worker.process.wait()
            await asyncio.to_thread(self._forget, worker)
            if self._stopping.is_set() and (status == 0 or not worker.served):
                continue
            if worker.served and not self._stopping.is_set():
                self._restarts.inc()
                logger.error("a worker process ended with status %d, another follows", status)
            elif self._lifecycle.failure is None:
                self._lifecycle.failure = (
                    EngineError(f"a worker process ended with status {status} while it drained")
                    if worker.served
                    else StartError(f"a worker process ended with status {status} before it served")
                )
                self._give_up()

    async def _introduce(self, embedder: Embedder) -> None:
        """Have all workers serve with an engine, then end the intake of the old one.

        The first engine waits until all workers have started, so that ready is true for all.
        """
        await self._spawned.wait()
        old, self._intake = self._intake, Intake(embedder)
        await asyncio.gather(*map(self._give, self._workers))
        if old is not None:
            await asyncio.to_thread(old.close)

    async def _give(self, worker: Handle) -> None:
        """Have a worker serve with the current engine, if there is one; kill it if it cannot."""
        async with worker.giving:
            intake = self._intake
            if intake is None or worker.intake is intake:
                return
            count = self._settings.workers
            plan = resources.worker_plan(
                count,
                intake.embedder.batcher.streams,
                on_gpu=intake.embedder.on_gpu,
                cores=resources.usable_cores(),
            )
            descriptors: list[int] = []
            try:
                offer, descriptors = await asyncio.to_thread(intake.offer, plan, count)
                await asyncio.to_thread(worker.commands.call, offer, None, descriptors)
                worker.intake = intake
            except EngineError:
                pass  # the worker could not start, logs why, and ends
            except Exception as error:
                if not self._stopping.is_set():
                    logger.error("a worker process cannot serve: %s", error)
                    worker.kill()
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _reply(self, asked: Request, settings: Settings) -> object:
        """Answer a worker, in a thread of its own."""
        match asked:
            case Request.SETTINGS:
                return settings
            case Request.METRICS:
                return self._page()
            case Request.RELOAD:
                reloading = self._lifecycle.reload()
                return asyncio.run_coroutine_threadsafe(reloading, self._loop).result()

    def _page(self) -> list[Metric]:
        """The metrics of all processes as one."""
        with self._counting:
            for worker in self._workers:
                if worker.served:  # one that starts has no metrics yet
                    worker.count()
            workers = [worker.last for worker in self._workers]
            return merge(list(self._metrics.registry.collect()), workers, self._gone)

    def _forget(self, worker: Handle) -> None:
        with self._counting:
            self._workers.remove(worker)
            self._gone = kept(self._gone, worker.last)
        worker.close()
