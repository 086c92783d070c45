"""The phases of a running service: starting, serving, draining; failed if it cannot go on."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from enum import Enum
from typing import TypeVar

from service.engine import memory, placement
from service.engine.embedder import Embedder
from service.engine.placement import Placement
from service.errors import EngineError, NotReady, ReloadFailed
from service.observability.metrics import Metrics
from service.settings import Settings

WATCH_S = 0.5

LAST_S = 2.0
"""The least time that the engine gets to finish its work, even if requests used up the grace."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Phase(Enum):
    """The phases of a service's life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    FAILED = "failed"


async def _to_nobody(embedder: Embedder) -> None:
    pass


async def _in_thread(work: Callable[[], T]) -> T:
    """Run work in a thread that may hang; asyncio would wait for its own threads at the end."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="lifecycle", daemon=True).start()
    return await asyncio.wrap_future(done)


class Lifecycle:
    """Loads, replaces and closes the embedder, and says whether the service is ready.

    Args:
        settings: of the service.
        metrics: show its state.
        load: loads the model.
        introduce: prepares each new embedder for serving, before the old one is closed.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        load: Callable[[Settings], Placement] = placement.load,
        introduce: Callable[[Embedder], Awaitable[None]] = _to_nobody,
    ) -> None:
        self.phase = Phase.STARTING
        self.failure: Exception | None = None
        self.started = asyncio.Event()
        self._settings = settings
        self._metrics = metrics
        self._load = load
        self._introduce = introduce
        self._embedder: Embedder | None = None
        self._swapping = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self._stop_by: float | None = None
        self._asked_reload: asyncio.Task[None] | None = None
        metrics.watch_ready(self.ready)

    async def start(self) -> None:
        """Load the embedder in a thread, so that requests get `NotReady` meanwhile."""
        await self._start()
        self.started.set()

    async def _start(self) -> None:
        try:
            self._embedder = await self._make()
            await self._introduce(self._embedder)
        except Exception as error:
            self.failure = error
            self.phase = Phase.FAILED
            return
        self._watch(self._embedder)
        memory.freeze()
        if self.phase is Phase.STARTING:
            self.phase = Phase.SERVING
            logger.info("ready in %.1f s", self._metrics.observe_start())

    def _watch(self, embedder: Embedder) -> None:
        """Have the metrics show an embedder that begins to serve."""
        self._metrics.engine.watch(
            embedder.model, embedder.load_s, embedder.state, on_gpu=embedder.on_gpu
        )

    async def _make(self) -> Embedder:
        return await _in_thread(lambda: Embedder(self._settings, self._metrics, self._load))

    async def watch(self) -> None:
        """Give up once a thread of the engine has ended, or it has stalled for `SWIN_STALL_EXIT_S`.

        Neither can be repaired in this process.
        """
        progress = time.monotonic()
        while self.failure is None:
            await asyncio.sleep(WATCH_S)
            if self._embedder is None or not self._embedder.stalled():
                progress = time.monotonic()
            elif not self._embedder.alive():
                self._give_up(EngineError("a thread of the engine ended"))
            elif time.monotonic() - progress >= self._settings.stall_exit_s:
                self._give_up(
                    EngineError(
                        f"the engine made no progress for {self._settings.stall_exit_s:g} s"
                    )
                )

    def _give_up(self, failure: EngineError) -> None:
        self.failure = failure
        self.phase = Phase.FAILED
        logger.critical("%s; giving up", failure)

    async def reload(self) -> None:
        """Load the model file again, and serve it from the next request on.

        Earlier requests are answered by the old model. It is dropped when the last of them is
        done; until then both are in memory. An old model that hangs stays in memory.

        Raises:
            ReloadFailed: the file cannot be served; the old model is served on.
            NotReady: no model is served yet, or the service is stopping.
        """
        async with self._swapping:
            old = self.embedder
            try:
                new = await self._make()
            except Exception as error:
                self._metrics.observe_reload(succeeded=False)
                logger.error(
                    "not reloaded, still serving %s: %s", placement.title(old.model), error
                )
                raise ReloadFailed(f"the old model is still served: {error}") from error
            if self.phase is not Phase.SERVING:
                await self._close(new)
                raise NotReady(f"the service is {self.phase.value}", retry_after_s=1)
            self._embedder = new
            await self._introduce(new)
            self._watch(new)
            self._metrics.observe_reload(succeeded=True)
            logger.info(
                "reloaded: serving %s instead of %s",
                *(placement.title(new.model), placement.title(old.model)),
            )
            await self._close(old)
            del old
            await asyncio.to_thread(memory.give_back)
            memory.freeze()

    def ask_reload(self) -> None:
        """Reload in the background; the log and the metrics show the result."""
        if self._asked_reload is None or self._asked_reload.done():
            self._asked_reload = asyncio.create_task(self._reload_quietly())

    async def _reload_quietly(self) -> None:
        try:
            await self.reload()
        except ReloadFailed:
            pass  # `reload` has logged it
        except NotReady as error:
            logger.warning("not reloaded: %s", error)

    def drain(self) -> None:
        """Stop being ready; requests in flight still have their embedder."""
        if self.phase is not Phase.DRAINING:
            self.phase = Phase.DRAINING
            settings = self._settings
            self._stop_by = time.monotonic() + settings.drain_seconds + settings.shutdown_grace_s
            logger.info("draining: finishing the requests in flight")

    def grace_left_s(self) -> float:
        """Seconds left of `SWIN_SHUTDOWN_GRACE_S`; all of them before `drain` is called."""
        if self._stop_by is None:
            return self._settings.shutdown_grace_s
        return max(0.0, self._stop_by - time.monotonic())

    async def stop(self) -> None:
        """Finish what was submitted. Work that is not done within the grace is a `failure`.

        A thread that hangs cannot be ended, so it is left behind.
        """
        self.phase = Phase.DRAINING
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(LAST_S, self.grace_left_s())):
                await self.started.wait()
                async with self._swapping:
                    if self._embedder is not None:
                        await self._close(self._embedder)
                if all(closing.done() for closing in self._closing):
                    return
        if self.failure is None:
            self.failure = EngineError("the engine did not end in time and was left behind")

    async def _close(self, embedder: Embedder) -> None:
        """Have an embedder finish what was submitted, unless it hangs."""
        closing = asyncio.create_task(_in_thread(embedder.close))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        while not closing.done():
            if embedder.hung():
                logger.error("the engine hangs; it is left behind")
                return
            await asyncio.wait([closing], timeout=WATCH_S)
        closing.result()

    @property
    def embedder(self) -> Embedder:
        """The loaded embedder.

        Raises:
            NotReady: it is not loaded yet.
        """
        if self._embedder is None:
            raise NotReady(f"the service is {self.phase.value}", retry_after_s=1)
        return self._embedder

    def ready(self) -> bool:
        """Whether new requests should be sent here: serving, and the engine makes progress."""
        return (
            self.phase is Phase.SERVING and self._embedder is not None and self._embedder.healthy()
        )
