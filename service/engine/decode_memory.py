"""A limit on the memory for decoding images."""

import threading

from service.engine.job import Job

BYTES_PER_THREAD = 384 * 1024 * 1024
"""Memory for large images, for each thread that decodes: enough for a photo of 24 million pixels in
any format but WebP. While a larger image is decoded, some threads can decode only small ones."""


class DecodeMemory:
    """Memory that decoders share: a thread takes an image only if there is room to decode it.

    An image of any size may be decoded while no other large one is.

    Attributes:
        lock: held while images are taken.
        waiting: conditions of `lock`, notified when there is room again.
    """

    def __init__(self, limit: int) -> None:
        self.lock = threading.Lock()
        self.waiting: list[threading.Condition] = []
        self._limit = limit
        self._reserved = 0

    def fits(self, job: Job) -> bool:
        """Whether there is room to decode a job's image now; `lock` is held."""
        wanted = job.decode_bytes
        return not wanted or not self._reserved or self._reserved + wanted <= self._limit

    def reserve(self, job: Job) -> None:
        """Set room aside for a job's image; `lock` is held."""
        self._reserved += job.decode_bytes

    def release(self, job: Job) -> None:
        """Give back the room of a job's image, which is decoded or will not be."""
        if job.decode_bytes:
            with self.lock:
                self._reserved -= job.decode_bytes
                for condition in self.waiting:
                    condition.notify_all()
