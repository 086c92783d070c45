"""`POST /v1/embeddings`, as OpenAI's SDKs send it, with images where they have text.

Also Jina's objects in `input`, and chat `messages` as vLLM's clients send them.
"""

import time
import uuid
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from service.api.dialects.dialect import (
    Answer,
    Body,
    Dialect,
    EmbeddingsResponse,
    EncodingFormat,
    Part,
    embedding_list,
    images_of,
)
from service.api.image_text import ImageText
from service.api.openapi import MODEL_NAME, TINY_IMAGE
from service.errors import InvalidRequest

Input = Annotated[
    str | list[str | Part] | None,
    Meta(description="an image or a list: data URI, base64, URL where allowed, or an object"),
]


class EmbeddingsRequest(Body):
    """A request for embeddings; unknown fields are not read."""

    input: Input = None
    messages: Annotated[list[Part] | None, Meta(description="images as chat messages")] = None
    encoding_format: EncodingFormat = None
    modality: Literal["image", "text"] | None = None
    normalized: Annotated[bool | None, Meta(description="Jina's name of normalize")] = None

    def __post_init__(self) -> None:
        if self.normalize is None:
            self.normalize = self.normalized

    def image_texts(self) -> Iterator[ImageText]:
        if self.modality == "text":
            raise InvalidRequest("this model embeds images", param="modality")
        items = [self.input] if isinstance(self.input, str) else self.input
        if not items and not self.messages:
            raise InvalidRequest(
                "send an image (a data URI or base64) or a list of them", param="input"
            )
        yield from images_of(items or [], "input")
        yield from images_of(self.messages or [], "messages")

    def answer(self, made: Answer) -> object:
        usage = {"prompt_tokens": made.tokens, "total_tokens": made.tokens}
        answer = embedding_list(made, self.encoding_format, usage)
        if self.messages:
            answer |= {"id": f"embd-{uuid.uuid4().hex}", "created": int(time.time())}
        return answer


DIALECT = Dialect(
    name="openai",
    paths=("/v1/embeddings",),
    body=EmbeddingsRequest,
    answer=EmbeddingsResponse,
    summary="Embed images the way OpenAI clients ask",
    example={"model": MODEL_NAME, "input": [TINY_IMAGE]},
)
