"""`GET /v1/models`: what is served, from the model card."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel

from model_export.model_card import ModelCard
from service.api.openapi import MODEL_NAME, error_responses
from service.api.state import service_state
from service.errors import ModelNotFound, NotReady
from service.types import ModelInfo

router = APIRouter(tags=["models"])

Name = Annotated[
    str, Path(description="the served model", json_schema_extra={"enum": [MODEL_NAME]})
]


class Model(BaseModel):
    """A model as OpenAI has it, and what there is to know of it."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    pretrained: bool
    dimensions: int
    digest: str
    card: ModelCard


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
    served = service_state(request).lifecycle.embedder.model
    check_name(name, served.card)
    return _described(served)


def check_name(name: str, card: ModelCard, param: str | None = None) -> None:
    """Check that a request names the model that is served.

    Raises:
        ModelNotFound: it names another.
    """
    if name != card.name:
        raise ModelNotFound(
            f"there is no model {name!r}; the one served is {card.name!r}", param=param
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
    }
