"""The phases of a running service: starting, serving, draining; failed if it cannot start."""

import asyncio
import logging
from enum import Enum

from service.embedder import Embedder
from service.errors import NotReady
from service.metrics import Metrics
from service.settings import Settings

logger = logging.getLogger(__name__)


class Phase(Enum):
    """Where in its life a service is."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    FAILED = "failed"


class Lifecycle:
    """Holds the embedder once it is loaded, and says whether requests may have it."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.phase = Phase.STARTING
        self.failure: Exception | None = None
        self._settings = settings
        self._metrics = metrics
        self._embedder: Embedder | None = None
        metrics.watch_ready(self.ready)

    async def start(self) -> None:
        """Load the embedder, without keeping anyone from being told that it is not ready yet."""
        try:
            self._embedder = await asyncio.to_thread(Embedder, self._settings, self._metrics)
        except Exception as error:
            self.failure = error
            self.phase = Phase.FAILED
            return
        self._metrics.watch_engine(self._embedder)
        if self.phase is Phase.STARTING:
            self.phase = Phase.SERVING
            self._metrics.observe_start()
            logger.info("ready")

    def drain(self) -> None:
        """Stop being ready; requests in flight still have their embedder."""
        if self.phase is not Phase.DRAINING:
            self.phase = Phase.DRAINING
            logger.info("draining: finishing the requests in flight")

    async def stop(self) -> None:
        """Finish what was submitted."""
        self.phase = Phase.DRAINING
        if self._embedder is not None:
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
