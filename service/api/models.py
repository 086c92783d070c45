"""`GET /v1/models`: the served model, from its model card."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel

from model_export.model_card import ModelCard
from service.api.openapi import MODEL_NAME, error_responses
from service.api.state import service_state
from service.errors import ModelNotFound, NotReady
from service.settings import Settings
from service.types import ModelInfo

router = APIRouter(tags=["models"])

Name = Annotated[
    str, Path(description="the served model", json_schema_extra={"example": MODEL_NAME})
]

GENERIC = {"default", "default/not-specified"}
"""Names that clients send if none is configured."""


class Model(BaseModel):
    """A model object as OpenAI has it, with more fields."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    pretrained: bool
    dimensions: int
    digest: str
    card: ModelCard
    name: str
    ready: bool


class ModelList(BaseModel):
    """The served model, alone."""

    object: Literal["list"]
    data: list[Model]


@router.get(
    "/v1/models",
    summary="What is served",
    responses={200: {"model": ModelList}, **error_responses([NotReady])},
)
async def models(request: Request) -> dict[str, Any]:
    """The served model as an OpenAI model object, with the artifact's model card in `card`."""
    return {"object": "list", "data": [_described(service_state(request).lifecycle.embedder.model)]}


@router.get(
    "/v1/models/{name}",
    summary="What is served, if it has this name",
    responses={200: {"model": Model}, **error_responses([ModelNotFound, NotReady])},
)
async def model(request: Request, name: Name) -> dict[str, Any]:
    """The same model object alone."""
    service = service_state(request)
    served = service.lifecycle.embedder.model
    check_name(name, served.card, service.settings)
    return _described(served)


@router.get(
    "/meta",
    summary="What is served, for Weaviate",
    responses={200: {"model": Model}, **error_responses([NotReady])},
)
async def meta(request: Request) -> dict[str, Any]:
    """The same model object alone."""
    return _described(service_state(request).lifecycle.embedder.model)


def is_served(name: str, card: ModelCard, settings: Settings) -> bool:
    """Whether a name is the served model's, one of its aliases, or a generic one."""
    return name == card.name or name in settings.model_aliases or name in GENERIC


def check_name(
    name: str | None, card: ModelCard, settings: Settings, param: str | None = None
) -> None:
    """Check that a request names the model that is served, or none.

    Raises:
        ModelNotFound: it names another.
    """
    if name and not is_served(name, card, settings):
        raise ModelNotFound(
            f"there is no model {name!r}; the one served is {card.name!r} "
            "(SWIN_MODEL_ALIASES gives it other names)",
            param=param,
        )


def _described(model: ModelInfo) -> dict[str, Any]:
    return {
        "id": model.card.name,
        "object": "model",
        "created": 0,
        "owned_by": "swin-embed",
        "pretrained": model.card.pretrained,
        "dimensions": model.card.embedding_dim,
        "digest": model.digest,
        "card": model.card.model_dump(),
        "name": model.card.name,  # with `ready`, what KServe's protocol V1 asks for
        "ready": True,
    }
