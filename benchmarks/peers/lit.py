"""LitServe as its documentation has it: decode, batch, predict, encode; `lit.py PORT`."""

import sys

import litserve
import numpy as np
from fastapi import Request

from benchmarks.peers.pipeline import BATCH, WORKERS, Pipeline, decode


class Embed(litserve.LitAPI):
    """The four verbs of a LitServe application."""

    def setup(self, device: str) -> None:
        """Load the model, in each worker."""
        self.pipeline = Pipeline()

    def decode_request(self, request: Request) -> np.ndarray:
        """A form with an image file to pixels; LitServe takes JSON or forms, no bare body."""
        return decode(request["files"].file.read())

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Images to one array."""
        return np.stack(inputs)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels to vectors."""
        return self.pipeline.run(pixels if BATCH > 1 else pixels[None])

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        """One array to vectors."""
        return list(output)

    def encode_response(self, output: np.ndarray) -> dict[str, list[list[float]]]:
        """A vector to JSON."""
        return {"embeddings": [output.reshape(-1).tolist()]}


if __name__ == "__main__":
    api = Embed(max_batch_size=BATCH, batch_timeout=0.005, api_path="/embed")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS)
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="error")
