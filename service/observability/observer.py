"""The events of an image on its way through the engine."""

from concurrent.futures import Future

from service.types import Embedding, Picture


class Observer:
    """An observer that ignores everything; subclasses override what they need."""

    def count_refused_images(self, count: int) -> None:
        """Images were not admitted."""

    def observe_bytes(self, size: int) -> None:
        """An encoded image of this many bytes is about to be decoded."""

    def observe_picture(self, picture: Picture) -> None:
        """An image was decoded."""

    def observe_run(self, size: int, *, succeeded: bool) -> None:
        """A run of `size` images ended."""

    def observe_image(self, future: Future[Embedding]) -> None:
        """An image was answered."""
