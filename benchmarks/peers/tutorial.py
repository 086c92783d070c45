"""FastAPI around PyTorch, as tutorials have it: transformers' network, and PyTorch's threads."""

import torch
from fastapi import FastAPI, UploadFile
from transformers import SwinModel

from benchmarks.peers.pipeline import MODEL, decode, normalise

app = FastAPI()
network = SwinModel.from_pretrained(MODEL).eval()


@app.get("/ready")
def ready() -> dict[str, bool]:
    """200 once the network is loaded, which it is at import."""
    return {"ready": True}


@app.post("/embed")
def embed(files: UploadFile) -> dict[str, list[list[float]]]:
    """Embed an uploaded file."""
    with torch.inference_mode():
        images = torch.from_numpy(normalise(decode(files.file.read())[None]))
        vectors = torch.nn.functional.normalize(network(images).pooler_output)
    return {"embeddings": vectors.tolist()}
