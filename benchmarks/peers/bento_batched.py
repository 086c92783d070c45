"""BentoML as its documentation has it: adaptive batching between two services."""

import bentoml
import numpy as np
from PIL.Image import Image

from benchmarks.peers.pipeline import BATCH, Pipeline, prepare


@bentoml.service
class Model:
    """Runs the model on what came meanwhile."""

    def __init__(self) -> None:
        self.pipeline = Pipeline()

    @bentoml.api(batchable=True, max_batch_size=BATCH)
    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels to vectors."""
        return self.pipeline.run(pixels)


@bentoml.service
class Embed:
    """Decodes, and asks the model."""

    model = bentoml.depends(Model)

    @bentoml.api
    async def embed(self, files: Image) -> dict[str, list[list[float]]]:
        """Embed an uploaded file."""
        vectors = await self.model.to_async.run(prepare(files)[None])
        return {"embeddings": vectors.tolist()}
