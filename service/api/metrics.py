"""`GET /metrics`, for Prometheus."""

import asyncio

from fastapi import APIRouter, Request
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from service.metrics import Metrics

router = APIRouter()


@router.get("/metrics", tags=["metrics"], summary="Metrics for Prometheus")
async def metrics(request: Request) -> Response:
    """Prometheus text, or OpenMetrics where the scraper accepts it."""
    watched: Metrics = request.app.state.metrics
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    body = await asyncio.to_thread(encode, watched.registry)
    return Response(body, headers={"Content-Type": content_type})
