"""Who is compared, in which layout: ours, and each peer in those that suit it best."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.servers import Layout
from model_export.model_card import Preprocessing
from service.engine.resources import usable_cores


@dataclass(frozen=True)
class Subject:
    """What a peer serves: a file, what its images are made of, and the Python to do it with."""

    model: Path
    recipe: Preprocessing
    python: Path


def ours(model: Path, *, workers: int = 1) -> Layout:
    """The service of this repository, with its defaults but for the worker processes."""
    return Layout(
        "swin-embed" if workers == 1 else f"swin-embed, SWIN_WORKERS={workers}",
        (sys.executable, "-m", "service", "--port", "{port}", "--log-level", "warning"),
        {"SWIN_MODEL": str(model), "SWIN_WORKERS": str(workers)},
        "/embed",
        "/health/ready",
    )


def naive(subject: Subject, *, workers: int = 1, form: bool = False) -> Layout:
    """FastAPI as its tutorial has it; workers share the cores."""
    server = ("-m", "uvicorn", "benchmarks.peers.naive:app", "--port", "{port}")
    return Layout(
        f"FastAPI, {_workers(workers)}",
        (str(subject.python), *server, "--workers", str(workers), "--no-access-log"),
        _environment(subject, threads=max(1, usable_cores() // workers)),
        "/form" if form else "/embed",
        "/ready",
        form,
    )


def litserve(subject: Subject, *, workers: int = 1, batch: int = 1, threads: int = 1) -> Layout:
    """LitServe as its documentation has it: a server process, and as many that run the model."""
    return Layout(
        f"LitServe, {f'batches of {batch}' if batch > 1 else _workers(workers)}",
        (str(subject.python), "-m", "benchmarks.peers.lit", "{port}"),
        _environment(subject, threads=threads, workers=workers, batch=batch),
        "/embed",
        "/health",
        form=True,
    )


def bentoml(subject: Subject, *, workers: int = 1, batch: int = 1, threads: int = 1) -> Layout:
    """BentoML as its documentation has it: workers that do everything, or one that batches."""
    service = f"benchmarks.peers.{'bento_batched' if batch > 1 else 'bento'}:Embed"
    server = ("-m", "bentoml", "serve", service, "--host", "127.0.0.1", "--port", "{port}")
    home = str(subject.python.parents[1] / "bentoml")
    return Layout(
        f"BentoML, {f'batches of {batch}' if batch > 1 else _workers(workers)}",
        (str(subject.python), *server),
        _environment(subject, threads=threads, workers=workers, batch=batch)
        | {"BENTOML_HOME": home, "BENTOML_DO_NOT_TRACK": "true"},
        "/embed",
        "/readyz",
        form=True,
    )


def peers(subject: Subject) -> list[Layout]:
    """On the same file: of each peer, a layout for few clients and one for many."""
    cores = usable_cores()
    return [
        naive(subject),
        naive(subject, workers=cores),
        litserve(subject, workers=cores),
        litserve(subject, batch=8, threads=cores),
        bentoml(subject, workers=cores),
        bentoml(subject, batch=8, threads=cores),
    ]


def usual(folder: Path, recipe: Preprocessing, python: Path) -> list[Layout]:
    """What people run today, on what `benchmarks.torch_swin` wrote: PyTorch, and its export."""
    server = ("-m", "uvicorn", "benchmarks.peers.tutorial:app", "--port", "{port}")
    eager = Subject(folder, recipe, Path(sys.executable))
    exported = Subject(folder / "model.onnx", recipe, python)
    lit = litserve(exported, workers=usable_cores())
    return [
        Layout(
            "FastAPI, PyTorch",
            (str(eager.python), *server, "--no-access-log"),
            _environment(eager),
            "/embed",
            "/ready",
            form=True,
        ),
        replace(lit, name=f"{lit.name}, torch.onnx.export"),
    ]


def _workers(count: int) -> str:
    return f"{count} worker{'s' if count > 1 else ''}"


def _environment(subject: Subject, **numbers: int) -> dict[str, str]:
    return {
        "PEER_MODEL": str(subject.model.resolve()),
        "PEER_RECIPE": subject.recipe.model_dump_json(),
        **{f"PEER_{name.upper()}": str(number) for name, number in numbers.items()},
    }
