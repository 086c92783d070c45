"""`POST /v2/embed` and `/v1/embed`, as Cohere's SDK and LiteLLM's `cohere/` send it."""

import uuid
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from service.api.dialects.dialect import Answer, Body, Dialect, Part, images_of
from service.api.encoding import CohereType, cast_as_cohere
from service.api.image_text import ImageText
from service.api.openapi import MODEL_NAME, TINY_IMAGE
from service.errors import InvalidRequest


class CohereRequest(Body):
    """A request for embeddings of images."""

    images: list[str] | None = None
    inputs: list[Part] | None = None
    texts: list[str] | None = None
    input_type: Literal["image", "search_document", "search_query"] | None = None
    embedding_types: list[CohereType] | None = None
    output_dimension: int | None = None

    def __post_init__(self) -> None:
        self.dimensions = self.output_dimension

    def image_texts(self) -> Iterator[ImageText]:
        if self.texts:
            raise InvalidRequest("this model embeds images; leave texts out", param="texts")
        if not self.images and not self.inputs:
            raise InvalidRequest("send images: a list of data URIs", param="images")
        yield from images_of(self.images or [], "images")
        yield from images_of(self.inputs or [], "inputs")

    def answer(self, made: Answer) -> object:
        first = made.path.startswith("/v1")
        answer = {
            "id": str(uuid.uuid4()),
            "embeddings": {
                kind: list(cast_as_cohere(made.vectors, kind))
                for kind in self.embedding_types or ["float"]
            },
            "texts": [],
            "images": [
                {"width": image.width, "height": image.height, "format": "", "bit_depth": 24}
                for image in made.embeddings
            ],
            "meta": {
                "api_version": {"version": "1" if first else "2"},
                "billed_units": {"images": len(made.vectors)},
            },
        }
        return answer | {"response_type": "embeddings_by_type"} if first else answer


class CohereResponse(msgspec.Struct):
    """Vectors by their types, in the order of the images."""

    id: str
    embeddings: dict[CohereType, list[list[float]]]
    texts: list[str]
    images: list[dict[str, Any]]
    meta: dict[str, Any]
    response_type: str | None = None


DIALECT = Dialect(
    name="cohere",
    paths=("/v2/embed", "/v1/embed"),
    body=CohereRequest,
    answer=CohereResponse,
    summary="Embed images the way Cohere's clients ask",
    example={"model": MODEL_NAME, "input_type": "image", "images": [TINY_IMAGE]},
)
