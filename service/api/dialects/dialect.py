"""A dialect: its paths, how a request gives images, and what an answer looks like."""

import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from model_export.model_card import ModelCard
from service.api.image_text import ImageText
from service.errors import InvalidRequest
from service.types import Embedding, Vector, Vectors

Name = Annotated[str, Meta(max_length=256)]
Dimensions = Annotated[
    int | None, Meta(description="the model's own, if given; embeddings are not cut")
]
Model = Annotated[Name | None, Meta(description="the served model or one of its aliases, if given")]


@dataclass(frozen=True)
class Answer:
    """The vectors and what else an answer may need.

    Attributes:
        path: of the door.
        card: of the model.
        vectors: `[n, dim]`, of unit length unless the request says otherwise.
        embeddings: what else is known of each image, such as its size.
    """

    path: str
    card: ModelCard
    vectors: Vectors
    embeddings: Sequence[Embedding]

    @property
    def tokens(self) -> int:
        """Patch tokens of all images, 3136 each for 224 x 224 at patch 4."""
        return self.card.patch_tokens * len(self.vectors)

    @property
    def pixels(self) -> int:
        """Pixels of all images, as they were sent."""
        return sum(image.width * image.height for image in self.embeddings)


class Body(msgspec.Struct, kw_only=True):
    """A request in some dialect. Fields that it does not declare are ignored.

    A dialect may have fields `model`, `dimensions` and `normalize`; all doors treat them the same.
    """

    model: Model = None
    dimensions: Dimensions = None
    normalize: bool | None = None

    def image_texts(self) -> Iterator[ImageText]:
        """The images, in the order of their vectors.

        Raises:
            InvalidRequest: there is something else where an image should be.
        """
        raise NotImplementedError

    def answer(self, made: Answer) -> object:
        """The answer, to be JSON; arrays of NumPy are lists in it."""
        raise NotImplementedError


@dataclass(frozen=True)
class Dialect:
    """A dialect, served with `POST`.

    Attributes:
        name: of its door in metrics and documents.
        paths: where it is.
        body: what a request is.
        answer: what `body.answer` gives, for the documents.
        summary: of what it does, for the documents.
        example: of a request, for the documents; of one image.
        flat_errors: whether errors are `{"error": message}`.
    """

    name: str
    paths: tuple[str, ...]
    body: type[Body]
    answer: Any
    summary: str
    example: dict[str, Any]
    flat_errors: bool = False


class Url(msgspec.Struct):
    """An image's data URI or, where allowed, its address."""

    url: str


class Part(msgspec.Struct):
    """A part of an input: an image, under one of the names that clients have for it."""

    type: Name | None = None
    image: str | None = None
    image_url: str | Url | None = None
    image_base64: str | None = None
    bytes: str | None = None
    text: str | None = None
    content: "str | list[Part] | None" = None

    NAMES: ClassVar = ("image", "image_url", "image_base64", "bytes")

    def image_texts(self, param: str) -> Iterator[ImageText]:
        """The images of a part at this place of the request.

        Raises:
            InvalidRequest: there is none, or a text.
        """
        if self.text or isinstance(self.content, str):
            raise InvalidRequest("this model embeds images; leave texts out", param=param)
        for name in self.NAMES:
            value = getattr(self, name)
            if value is not None:
                yield ImageText(f"{param}.{name}", value.url if isinstance(value, Url) else value)
                return
        if not self.content:
            raise InvalidRequest(f"send an image as {', '.join(self.NAMES)}", param=param)
        for index, part in enumerate(self.content):
            yield from part.image_texts(f"{param}.content[{index}]")


EncodingFormat = Annotated[
    Literal["float", "base64"] | None, Meta(description="base64 is of little-endian float32")
]


class EmbeddingObject(msgspec.Struct):
    """A vector, of unit length; a string where base64 was asked for."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsResponse(msgspec.Struct):
    """Vectors in the order of the images."""

    object: Literal["list"]
    data: list[EmbeddingObject]
    model: str
    usage: dict[str, int]
    id: str | None = None
    created: int | None = None


def embedding_list(
    made: Answer, encoding_format: str | None, usage: dict[str, int]
) -> dict[str, Any]:
    """OpenAI's list of vectors, which others have too."""
    base64 = encoding_format == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(row) if base64 else row}
        for index, row in enumerate(made.vectors)
    ]
    return {"object": "list", "data": data, "model": made.card.name, "usage": usage}


def _base64(row: Vector) -> str:
    """A vector as base64 of little-endian float32."""
    return binascii.b2a_base64(row.tobytes(), newline=False).decode()


def images_of(items: Sequence[str | Part], param: str) -> Iterator[ImageText]:
    """The images of a list whose items are texts or objects."""
    for index, item in enumerate(items):
        place = f"{param}[{index}]"
        if isinstance(item, str):
            yield ImageText(place, item)
        else:
            yield from item.image_texts(place)
