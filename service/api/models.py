"""`GET /v1/models`: what is served, from the model card."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from model_export.model_card import ModelCard
from service.api.answers import embedder
from service.api.openapi import error_responses
from service.errors import NotReady

router = APIRouter(tags=["models"])


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
    model = embedder(request).model
    return {
        "object": "list",
        "data": [
            {
                "id": model.card.name,
                "object": "model",
                "created": 0,
                "owned_by": "swin-embed",
                "pretrained": model.card.pretrained,
                "dimensions": model.card.embedding_dim,
                "digest": model.digest,
                "card": model.card.model_dump(),
            }
        ],
    }
