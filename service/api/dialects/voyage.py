"""`POST /v1/multimodalembeddings`, as Voyage's SDK sends it."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from service.api.dialects.dialect import (
    Answer,
    Body,
    Dialect,
    EmbeddingsResponse,
    EncodingFormat,
    Part,
    embedding_list,
)
from service.api.image_text import ImageText
from service.api.openapi import MODEL_NAME, TINY_IMAGE
from service.errors import InvalidRequest


class VoyageRequest(Body, kw_only=True):
    """Inputs of one image each."""

    inputs: Annotated[list[Part], Meta(min_length=1)]
    encoding_format: EncodingFormat = None

    def image_texts(self) -> Iterator[ImageText]:
        for index, item in enumerate(self.inputs):
            images = list(item.image_texts(f"inputs[{index}]"))
            if len(images) != 1:
                raise InvalidRequest("an input has one image here", param=f"inputs[{index}]")
            yield images[0]

    def answer(self, made: Answer) -> object:
        usage = {
            "text_tokens": 0,
            "image_pixels": made.pixels,
            "video_pixels": 0,
            "total_tokens": made.pixels,
        }
        return embedding_list(made, self.encoding_format, usage)


DIALECT = Dialect(
    name="voyage",
    paths=("/v1/multimodalembeddings",),
    body=VoyageRequest,
    answer=EmbeddingsResponse,
    summary="Embed images the way Voyage's clients ask",
    example={
        "model": MODEL_NAME,
        "inputs": [{"content": [{"type": "image_base64", "image_base64": TINY_IMAGE}]}],
    },
)
