"""The phases of a running service: starting, serving, draining; failed if it cannot go on."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from enum import Enum

from service import lanes, memory
from service.embedder import Embedder
from service.errors import EngineError, NotReady, ReloadFailed
from service.lanes import Loaded
from service.metrics import Metrics
from service.settings import Settings

WATCH_S = 0.5

logger = logging.getLogger(__name__)


class Phase(Enum):
    """Where in its life a service is."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    FAILED = "failed"


async def _to_nobody(embedder: Embedder) -> None:
    pass


class Lifecycle:
    """Holds the embedder once it is loaded, and says whether requests may have it.

    Args:
        settings: of the service.
        metrics: where its state is told.
        load: loads the model.
        introduce: called with each embedder that will serve, before the one it replaces is closed.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        load: Callable[[Settings], Loaded] = lanes.load,
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
        self._asked_reload: asyncio.Task[None] | None = None
        metrics.watch_ready(self.ready)

    async def start(self) -> None:
        """Load the embedder, without keeping anyone from being told that it is not ready yet."""
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
        self._metrics.engine.watch(self._embedder)
        if self.phase is Phase.STARTING:
            self.phase = Phase.SERVING
            self._metrics.observe_start()
            logger.info("ready")

    async def _make(self) -> Embedder:
        return await asyncio.to_thread(Embedder, self._settings, self._metrics, self._load)

    async def watch(self) -> None:
        """Give up once a thread of the engine ended, or it has stalled for `SWIN_STALL_EXIT_S`.

        Nothing here can mend either.
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
        """Load the model file again, and serve what is in it from the next request on.

        Requests that were taken before are answered by the model that took them, which is dropped
        when the last of them is done. Both are in memory until then.

        Raises:
            ReloadFailed: the file cannot be served; the old model still is.
            NotReady: no model is served yet, or the service is stopping.
        """
        async with self._swapping:
            old = self.embedder
            try:
                new = await self._make()
            except Exception as error:
                self._metrics.observe_reload(succeeded=False)
                logger.error("still serving %s: %s", old.model.digest, error)
                raise ReloadFailed(f"the old model is still served: {error}") from error
            if self.phase is not Phase.SERVING:
                await asyncio.to_thread(new.close)
                raise NotReady(f"the service is {self.phase.value}", retry_after_s=1)
            self._embedder = new
            await self._introduce(new)
            self._metrics.engine.watch(new)
            self._metrics.observe_reload(succeeded=True)
            logger.info("serving %s instead of %s", new.model.digest, old.model.digest)
            await asyncio.to_thread(old.close)
            del old
            await asyncio.to_thread(memory.give_back)

    def ask_reload(self) -> None:
        """Reload in the background; how it went is in the log and the metrics."""
        if self._asked_reload is None or self._asked_reload.done():
            self._asked_reload = asyncio.create_task(self._reload_quietly())

    async def _reload_quietly(self) -> None:
        try:
            await self.reload()
        except (NotReady, ReloadFailed) as error:
            logger.warning("not reloaded: %s", error)

    def drain(self) -> None:
        """Stop being ready; requests in flight still have their embedder."""
        if self.phase is not Phase.DRAINING:
            self.phase = Phase.DRAINING
            logger.info("draining: finishing the requests in flight")

    async def stop(self) -> None:
        """Finish what was submitted, unless the engine has stalled and never would."""
        self.phase = Phase.DRAINING
        async with self._swapping:
            if self._embedder is not None and not self._embedder.stalled():
                await asyncio.to_thread(self._embedder.close)

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
