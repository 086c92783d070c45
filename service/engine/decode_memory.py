"""A bound on the memory that images take while they are decoded."""

import threading

from service.engine.job import Job

BYTES_PER_THREAD = 384 * 1024 * 1024
"""What large images may take for each thread that decodes: as much as a photo of 24 million pixels
does in any format but WebP. One that takes far more leaves threads to images that take less."""


class DecodeMemory:
    """Memory that decoders share: a thread takes an image only if there is room to decode it.

    Whoever waits for an image waits on a condition of `lock`, and names it in `waiting`. One image
    is always let through, however large, when nothing else is being decoded.

    Attributes:
        lock: held while images are taken.
        waiting: conditions of those who may wait for room.
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
        """Give back what was set aside for a job's image, which is decoded or will not be."""
        if job.decode_bytes:
            with self.lock:
                self._reserved -= job.decode_bytes
                for condition in self.waiting:
                    condition.notify_all()
