"""BentoML as its documentation has it: adaptive batching."""

import bentoml
import numpy as np
from PIL.Image import Image

from benchmarks.peers.pipeline import BATCH, Pipeline, prepare


@bentoml.service(logging={"access": {"enabled": False}})
class Embed:
    """Decodes what came meanwhile, and runs the model on all of it."""

    def __init__(self) -> None:
        self.pipeline = Pipeline()

    @bentoml.api(batchable=True, max_batch_size=BATCH)
    def embed(self, files: list[Image]) -> list[dict[str, list[list[float]]]]:
        """Embed uploaded files."""
        vectors = self.pipeline.run(np.stack([prepare(image) for image in files]))
        return [{"embeddings": [vector]} for vector in vectors.tolist()]
