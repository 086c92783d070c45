"""Image file to vector, plainly: Pillow, then onnxruntime. What every peer serves."""

import io
import json
import os

import numpy as np
import onnxruntime as ort
from PIL import Image

THREADS = int(os.environ.get("PEER_THREADS", "0"))  # 0: onnxruntime's own choice
BATCH = int(os.environ.get("PEER_BATCH", "1"))
WORKERS = int(os.environ.get("PEER_WORKERS", "1"))


class Pipeline:
    """A session and the preprocessing that its model card asks for."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = ort.InferenceSession(
            os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        metadata = self.session.get_modelmeta().custom_metadata_map
        recipe = json.loads(metadata["swin_model_card"])["preprocessing"]
        self.resize, self.crop = recipe["resize"], recipe["crop"]

    def decode(self, data: bytes) -> np.ndarray:
        """An image file to uint8 `[crop, crop, 3]`."""
        image = Image.open(io.BytesIO(data)).convert("RGB")
        width, height = image.size
        scale = self.resize / min(width, height)
        size = (round(width * scale), round(height * scale))
        left, top = (size[0] - self.crop) // 2, (size[1] - self.crop) // 2
        box = (left, top, left + self.crop, top + self.crop)
        return np.asarray(image.resize(size, Image.Resampling.BICUBIC).crop(box))

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Uint8 `[n, crop, crop, 3]` to unit vectors, float32 `[n, dim]`."""
        vectors = self.session.run(None, {"pixels": pixels})[0]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embed(self, data: bytes) -> list[float]:
        """An image file to a unit vector."""
        return self.run(self.decode(data)[None])[0].tolist()
