"""`GET /metrics`, for Prometheus."""

from typing import Any

from fastapi import APIRouter, Request
from prometheus_client.exposition import choose_encoder
from starlette.responses import PlainTextResponse, Response

from service.api.negotiation import accepted
from service.api.state import service_state

router = APIRouter()


TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/openmetrics-text": {"schema": {"type": "string"}}}}
}


@router.get(
    "/metrics",
    tags=["metrics"],
    summary="Metrics for Prometheus",
    responses=TEXT,
    response_class=PlainTextResponse,
)
async def metrics(request: Request) -> Response:
    """Prometheus text, or OpenMetrics where the scraper accepts it."""
    encode, content_type = choose_encoder(accepted(request))
    service = service_state(request)
    body = await service.metrics_page.text(service.metrics.page, content_type, encode)
    return Response(body, headers={"Content-Type": content_type})
