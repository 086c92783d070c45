"""Who is compared, in which layout: ours, and each peer in those that suit it best."""

import sys
from pathlib import Path

from benchmarks.servers import Layout
from service.resources import usable_cores


def ours(model: Path, *, workers: int = 1) -> Layout:
    """The service of this repository, with its defaults but for the front processes."""
    return Layout(
        "swin-embed" if workers == 1 else f"swin-embed, SWIN_WORKERS={workers}",
        (sys.executable, "-m", "service", "--port", "{port}", "--log-level", "warning"),
        {"SWIN_MODEL": str(model), "SWIN_WORKERS": str(workers)},
        "/embed",
        "/health/ready",
    )


def naive(model: Path, python: Path, *, workers: int = 1, form: bool = False) -> Layout:
    """FastAPI as its tutorial has it; workers share the cores."""
    server = ("-m", "uvicorn", "benchmarks.peers.naive:app", "--port", "{port}")
    return Layout(
        f"FastAPI, {workers} worker{'s' if workers > 1 else ''}",
        (str(python), *server, "--workers", str(workers), "--no-access-log"),
        _environment(model, threads=max(1, usable_cores() // workers)),
        "/form" if form else "/embed",
        "/ready",
    )


def litserve(
    model: Path, python: Path, *, workers: int = 1, batch: int = 1, threads: int = 1
) -> Layout:
    """LitServe as its documentation has it: a server process, and as many that run the model."""
    name = f"batches of {batch}" if batch > 1 else f"{workers} worker{'s' if workers > 1 else ''}"
    return Layout(
        f"LitServe, {name}",
        (str(python), "-m", "benchmarks.peers.lit", "{port}"),
        _environment(model, threads=threads)
        | {"PEER_WORKERS": str(workers), "PEER_BATCH": str(batch)},
        "/embed",
        "/health",
        form=True,
    )


def peers(model: Path, python: Path) -> list[Layout]:
    """FastAPI and LitServe: one layout for few clients and one for many."""
    cores = usable_cores()
    return [
        naive(model, python),
        naive(model, python, workers=cores),
        litserve(model, python, workers=cores),
        litserve(model, python, batch=8, threads=cores),
    ]


def _environment(model: Path, *, threads: int) -> dict[str, str]:
    return {"PEER_MODEL": str(model.resolve()), "PEER_THREADS": str(threads)}
