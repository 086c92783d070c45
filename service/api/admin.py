"""`POST /admin/reload`: what SIGHUP does, for clients that cannot send signals; off by default."""

from typing import Any

from fastapi import APIRouter, Request

from service.api.openapi import error_responses
from service.api.state import service_state
from service.errors import NotReady, ReloadFailed

router = APIRouter(tags=["admin"])


@router.post(
    "/admin/reload",
    summary="Load the model file again and serve it from now on",
    responses=error_responses([NotReady, ReloadFailed]),
)
async def reload(request: Request) -> dict[str, Any]:
    """Answer once the new model serves; a file that cannot is refused with 409."""
    service = service_state(request)
    await service.reload()
    served = service.lifecycle.embedder.model
    return {"model": served.card.name, "digest": served.digest}
