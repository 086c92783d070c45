"""FastAPI as its tutorial has it: a session at import, the work in its thread pool."""

from fastapi import FastAPI, Request, UploadFile
from fastapi.concurrency import run_in_threadpool

from benchmarks.peers.pipeline import Pipeline

app = FastAPI()
pipeline = Pipeline()


@app.get("/ready")
def ready() -> dict[str, bool]:
    """200 once the session is loaded, which it is at import."""
    return {"ready": True}


@app.post("/embed")
async def embed(request: Request) -> dict[str, list[list[float]]]:
    """Embed the body."""
    return {"embeddings": [await run_in_threadpool(pipeline.embed, await request.body())]}


@app.post("/form")
def form(files: UploadFile) -> dict[str, list[list[float]]]:
    """Embed an uploaded file."""
    return {"embeddings": [pipeline.embed(files.file.read())]}
