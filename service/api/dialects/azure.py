"""`POST /images/embeddings`, as Azure AI's inference SDK and LiteLLM's `azure_ai/` send it."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from service.api.dialects.dialect import (
    Answer,
    Body,
    Dialect,
    EmbeddingsResponse,
    EncodingFormat,
    embedding_list,
)
from service.api.image_text import ImageText
from service.api.openapi import MODEL_NAME, TINY_IMAGE
from service.errors import InvalidRequest


class AzureImage(msgspec.Struct):
    """An image; beside it no text."""

    image: str
    text: str | None = None


class AzureRequest(Body, kw_only=True):
    """A request for embeddings of images."""

    input: Annotated[list[AzureImage], Meta(min_length=1)]
    encoding_format: EncodingFormat = None

    def image_texts(self) -> Iterator[ImageText]:
        for index, item in enumerate(self.input):
            if item.text:
                raise InvalidRequest("this model embeds images alone", param=f"input[{index}].text")
            yield ImageText(f"input[{index}].image", item.image)

    def answer(self, made: Answer) -> object:
        usage = {"prompt_tokens": made.tokens, "total_tokens": made.tokens}
        return embedding_list(made, self.encoding_format, usage)


DIALECT = Dialect(
    name="azure",
    paths=("/images/embeddings",),
    body=AzureRequest,
    answer=EmbeddingsResponse,
    summary="Embed images the way Azure AI's clients ask",
    example={"model": MODEL_NAME, "input": [{"image": TINY_IMAGE}]},
)
