"""`GET /v1/models`: what is served, from the model card."""

from typing import Any

from fastapi import APIRouter, Request

from service.api.answers import embedder

router = APIRouter(tags=["models"])


@router.get("/v1/models", summary="What is served")
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
