"""Vectors of the images that are searched for."""

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from service.settings import Settings
from service.types import Vector

if TYPE_CHECKING:
    from service.engine.embedder import Embedder


class Query:
    """Embeds what is searched for; the engine starts with the first.

    Args:
        settings: gives those of the model that made the collection.
    """

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._embedder: Embedder | None = None

    def embed(self, image: bytes) -> Vector:
        """An image's vector, float32 `[dim]`, of unit length.

        Raises:
            OutputError: the model that made the collection is not at hand.
            ServiceError: the image cannot be embedded.
        """
        # Imported here, as it takes a second that opening the page does not have.
        from service.engine.embedder import Embedder, unit_length
        from service.observability.observer import Observer

        with self._lock:
            if self._embedder is None:
                self._embedder = Embedder(self._settings(), Observer())
        (future,) = self._embedder.submit([image], math.inf)
        return unit_length(future.result().vector)

    def close(self) -> None:
        if self._embedder is not None:
            self._embedder.close()
