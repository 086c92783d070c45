"""The page that Prometheus reads, written once for all who ask at the same time."""

import asyncio
from collections.abc import Callable

from prometheus_client.registry import Collector

Encode = Callable[[Collector], bytes]


class MetricsPage:
    """Writes pages one after the other, in a thread: each takes milliseconds of the processor.

    A thousand clients that ask at once, without a key, cost two pages and not a thousand.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._next: dict[str, asyncio.Task[bytes]] = {}  # by content type; none of them has begun

    async def text(self, metrics: Collector, content_type: str, encode: Encode) -> bytes:
        """A page with all that was counted before this call.

        Args:
            metrics: what to write.
            content_type: in which form.
            encode: writes that form.
        """
        if content_type not in self._next:
            writing = self._write(metrics, content_type, encode)
            self._next[content_type] = asyncio.create_task(writing)
        return await asyncio.shield(self._next[content_type])

    async def _write(self, metrics: Collector, content_type: str, encode: Encode) -> bytes:
        async with self._turn:
            del self._next[content_type]
            return await asyncio.to_thread(encode, metrics)
