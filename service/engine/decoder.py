"""Image files of jobs to the pixels that the model takes."""

import time

from model_export.model_card import Preprocessing
from service.engine.decode_memory import DecodeMemory
from service.engine.job import Job
from service.images.preprocess import preprocess
from service.observability.observer import Observer
from service.settings import Settings


class Decoder:
    """Decodes images as a model wants them; several threads may use it at once.

    Attributes:
        memory: shared by those threads.
    """

    def __init__(
        self, recipe: Preprocessing, settings: Settings, memory: DecodeMemory, observer: Observer
    ) -> None:
        self.memory = memory
        self._recipe = recipe
        self._max_pixels = settings.max_image_pixels
        self._exact = settings.preprocess == "exact"
        self._observer = observer

    def decode(self, job: Job) -> None:
        """Give a job its pixels, if it has none yet; room for them was reserved in `memory`.

        Raises:
            InvalidImage, ImageTooLarge: the image cannot be decoded.
        """
        if job.data is None:
            return
        started = time.monotonic()
        data, job.data = job.data, None
        self._observer.observe_bytes(len(data))
        try:
            picture = preprocess(data, self._recipe, self._max_pixels, exact=self._exact)
        finally:
            self.memory.release(job)
        job.pixels = picture.pixels
        job.decode_s = time.monotonic() - started
        job.width, job.height = picture.width, picture.height
        self._observer.observe_picture(picture)
