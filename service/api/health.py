"""Probes: `/health/live`, `/health/ready`."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.api.openapi import error_responses
from service.api.state import service_state
from service.errors import NotReady

router = APIRouter()


@router.get("/health/live", tags=["health"], summary="Whether the process answers")
async def live() -> Response:
    """200 as long as the process answers."""
    return JSONResponse({"live": True})


@router.get(
    "/health/ready",
    tags=["health"],
    summary="Whether to send requests here",
    responses=error_responses([NotReady]),
)
async def ready(request: Request) -> Response:
    """200 once an embedding was computed and while the engine makes progress, else 503."""
    lifecycle = service_state(request).lifecycle
    if not await asyncio.to_thread(lifecycle.ready):
        phase = lifecycle.phase.value
        raise NotReady(f"the service is {phase} and cannot take requests", retry_after_s=1)
    return JSONResponse({"ready": True})


@router.get("/.well-known/live", tags=["health"], summary="The same for Weaviate", status_code=204)
async def weaviate_live() -> None:
    """204 as long as the process answers."""


@router.get(
    "/.well-known/ready",
    tags=["health"],
    summary="The same for Weaviate",
    status_code=204,
    responses=error_responses([NotReady]),
)
async def weaviate_ready(request: Request) -> None:
    """204 where `/health/ready` has 200."""
    await ready(request)
