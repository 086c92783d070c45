"""Triton's management calls at `/v2`: reading is answered, changing anything is refused.

What they answer with is the same over gRPC; see `triton_grpc`.

https://github.com/triton-inference-server/server, protocol/extension_*.md.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client.registry import Collector

from model_export.model_card import ModelCard
from service.api import tensors
from service.api.models import Name
from service.api.open_inference import NOT_FOUND, NOT_READY, PREFIX, VERSIONED, embedder
from service.api.state import service_state
from service.api.tensors import TensorMetadata
from service.errors import InvalidRequest

router = APIRouter(prefix=PREFIX, tags=["open_inference"])

TYPES = {"BYTES": "TYPE_STRING", "UINT8": "TYPE_UINT8", "FP32": "TYPE_FP32"}
"""Datatypes as a model's configuration calls them."""

STAGES = {"queue": "queue", "compute_input": "decode", "compute_infer": "inference"}
"""Triton's names of the stages of an image, and ours."""


@router.get("/models/{name}/config", summary="How the model is set up", responses=NOT_FOUND)
@router.get(
    "/models/{name}/versions/{version}/config",
    summary="How a version of the model is set up",
    responses=NOT_FOUND,
    openapi_extra=VERSIONED,
)
async def config(request: Request, name: Name) -> dict[str, Any]:
    """Triton's model configuration; shapes are whole, as with its `max_batch_size` of 0."""
    return configuration(embedder(request, name).card)


def configuration(card: ModelCard) -> dict[str, Any]:
    """What Triton tells of a model's set-up."""
    return {
        "name": card.name,
        "platform": tensors.PLATFORM,
        "backend": "onnxruntime",
        "max_batch_size": 0,
        "input": [_described(tensor) | {"optional": True} for tensor in tensors.inputs(card)],
        "output": [_described(tensor) for tensor in tensors.outputs(card)],
    }


def _described(tensor: TensorMetadata) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "data_type": TYPES[tensor.datatype],
        "dims": list(tensor.shape),
    }


@router.get("/models/stats", summary="What was embedded so far", responses=NOT_READY)
async def all_stats(request: Request) -> dict[str, Any]:
    """Counts and nanoseconds of images since the start, by all doors; a run may have several."""
    return await _stats(request, service_state(request).lifecycle.embedder.card.name)


@router.get("/models/{name}/stats", summary="What the model embedded so far", responses=NOT_FOUND)
@router.get(
    "/models/{name}/versions/{version}/stats",
    summary="What a version of the model embedded so far",
    responses=NOT_FOUND,
    openapi_extra=VERSIONED,
)
async def stats(request: Request, name: Name) -> dict[str, Any]:
    """The same for this model, which is the only one."""
    return await _stats(request, embedder(request, name).card.name)


async def _stats(request: Request, name: str) -> dict[str, Any]:
    page = service_state(request).metrics.page
    return await asyncio.to_thread(statistics, page, name)


def statistics(page: Collector, name: str) -> dict[str, Any]:
    """Triton's statistics of the model from the metrics.

    How long failures took is not known, and 0.
    """
    found: dict[tuple[str, str], float] = {}
    for family in page.collect():
        for sample in family.samples:
            label = sample.labels.get("outcome", sample.labels.get("stage", ""))
            key = (sample.name, label)
            found[key] = found.get(key, 0) + sample.value

    def images(outcome: str) -> int:
        return int(found.get(("swin_images_total", outcome), 0))

    def duration(stage: str) -> dict[str, int]:
        series = "swin_stage_duration_seconds"
        count, seconds = (found.get((f"{series}_{what}", stage), 0) for what in ("count", "sum"))
        return {"count": int(count), "ns": round(seconds * 1e9)}

    stages = {theirs: duration(ours) for theirs, ours in STAGES.items()}
    answered = {"count": images("ok"), "ns": sum(stage["ns"] for stage in stages.values())}
    failed = sum(map(images, ("invalid", "refused", "expired", "cancelled", "failed")))
    told = {
        "name": name,
        "version": tensors.VERSION,
        "inference_count": images("ok"),
        "execution_count": int(found.get(("swin_inference_runs_total", "ok"), 0)),
        "inference_stats": {
            "success": answered,
            "fail": {"count": failed, "ns": 0},
            **stages,
            "compute_output": duration("encode"),
        },
    }
    return {"model_stats": [told]}


@router.post("/repository/index", summary="Which models there are", responses=NOT_READY)
async def index(request: Request) -> list[dict[str, str]]:
    """The served model."""
    return repository(service_state(request).lifecycle.embedder.card)


def repository(card: ModelCard) -> list[dict[str, str]]:
    """What Triton tells of the models there are."""
    return [{"name": card.name, "version": tensors.VERSION, "state": "READY", "reason": ""}]


ONE_MODEL = (
    "the model is the one that the service was started with; the repository's index tells its name"
)
IN_REQUEST = "send tensors in the request, as JSON or binary data"
TRACES = "traces are set up with OTEL_EXPORTER_OTLP_ENDPOINT"
LOGS = "logs are set up with SWIN_LOG_LEVEL and SWIN_LOG_FORMAT"
UNSUPPORTED = {
    "/repository/models/{rest:path}": ONE_MODEL,
    "/systemsharedmemory/{rest:path}": IN_REQUEST,
    "/cudasharedmemory/{rest:path}": IN_REQUEST,
    "/trace/{rest:path}": TRACES,
    "/models/{name}/trace/{rest:path}": TRACES,
    "/logging": LOGS,
}
"""What Triton's clients can ask for and is not here, by path, with what there is."""


def _refusing(instead: str) -> Callable[[Request], Awaitable[None]]:
    async def refuse(request: Request) -> None:
        raise InvalidRequest(f"{request.url.path} is not supported: {instead}")

    return refuse


for path, instead in UNSUPPORTED.items():
    router.add_api_route(path, _refusing(instead), methods=["GET", "POST"], include_in_schema=False)
