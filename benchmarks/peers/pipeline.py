"""Image file to vector, plainly: Pillow, then onnxruntime. What every peer serves."""

import io
import json
import os

import numpy as np
from PIL import Image

MODEL = os.environ["PEER_MODEL"]
RECIPE = json.loads(os.environ["PEER_RECIPE"])  # the model card's preprocessing
THREADS = int(os.environ.get("PEER_THREADS", "0"))  # 0: what runs the model chooses
BATCH = int(os.environ.get("PEER_BATCH", "1"))
WORKERS = int(os.environ.get("PEER_WORKERS", "1"))


class Pipeline:
    """An onnxruntime session on the model, which takes bytes, or floats as torch exports it."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = onnxruntime.InferenceSession(
            MODEL, options, providers=["CPUExecutionProvider"]
        )
        self.takes_floats = self.session.get_inputs()[0].type == "tensor(float)"

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Uint8 `[n, crop, crop, 3]` to unit vectors, float32 `[n, dim]`."""
        images = normalise(pixels) if self.takes_floats else pixels
        vectors = self.session.run(None, {"pixels": images})[0]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embed(self, data: bytes) -> list[float]:
        """An image file to a unit vector."""
        return self.run(decode(data)[None])[0].tolist()


def decode(data: bytes) -> np.ndarray:
    """An image file to uint8 `[crop, crop, 3]`."""
    return prepare(Image.open(io.BytesIO(data)))


def prepare(image: Image.Image) -> np.ndarray:
    """An image to uint8 `[crop, crop, 3]`, as torchvision's Resize and CenterCrop would make it."""
    resize, crop = RECIPE["resize"], RECIPE["crop"]
    short = min(image.size)
    width, height = (resize * side // short for side in image.size)
    left, top = (round((side - crop) / 2) for side in (width, height))
    resized = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + crop, top + crop)))


def normalise(pixels: np.ndarray) -> np.ndarray:
    """Uint8 `[n, h, w, 3]` to float32 `[n, 3, h, w]`."""
    mean, std = (np.array(RECIPE[name], np.float32) for name in ("mean", "std"))
    return ((pixels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2)
