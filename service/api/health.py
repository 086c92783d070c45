"""Probes and metrics: `/health/live`, `/health/ready`, `/metrics`."""

import asyncio

from fastapi import APIRouter, Request
from prometheus_client.exposition import choose_encoder
from starlette.responses import JSONResponse, Response

from service.errors import NotReady
from service.lifecycle import Lifecycle
from service.metrics import Metrics

router = APIRouter()


@router.get("/health/live", tags=["health"], summary="Whether the process answers")
async def live() -> Response:
    """200 as long as the process answers."""
    return JSONResponse({"live": True})


@router.get("/health/ready", tags=["health"], summary="Whether to send requests here")
async def ready(request: Request) -> Response:
    """200 once an embedding was computed and while the engine makes progress, else 503."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    if not await asyncio.to_thread(lifecycle.ready):
        phase = lifecycle.phase.value
        raise NotReady(f"the service is {phase} and cannot take requests", retry_after_s=1)
    return JSONResponse({"ready": True})


@router.get("/metrics", tags=["metrics"], summary="Metrics for Prometheus")
async def metrics(request: Request) -> Response:
    """Prometheus text, or OpenMetrics where the scraper accepts it."""
    watched: Metrics = request.app.state.metrics
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    body = await asyncio.to_thread(encode, watched.registry)
    return Response(body, headers={"Content-Type": content_type})
