"""BentoML as its documentation has it: workers that do everything."""

import bentoml
from PIL.Image import Image

from benchmarks.peers.pipeline import WORKERS, Pipeline, prepare


@bentoml.service(workers=WORKERS, logging={"access": {"enabled": False}})
class Embed:
    """Decodes and runs the model."""

    def __init__(self) -> None:
        self.pipeline = Pipeline()

    @bentoml.api
    def embed(self, files: Image) -> dict[str, list[list[float]]]:
        """Embed an uploaded file."""
        return {"embeddings": self.pipeline.run(prepare(files)[None]).tolist()}
