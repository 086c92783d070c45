"""`POST /vectors` and `/vectorize`, in place of Weaviate's img2vec-neural and multi2vec-clip."""

from collections.abc import Iterator

from msgspec import Struct

from service.api.dialects.dialect import Answer, Body, Dialect, Name, images_of
from service.api.image_text import ImageText
from service.api.openapi import TINY_IMAGE
from service.errors import InvalidRequest

IMAGE = TINY_IMAGE.partition(",")[2]


class VectorsRequest(Body, kw_only=True):
    """An image of Weaviate's img2vec-neural."""

    image: str
    id: Name | None = None

    def image_texts(self) -> Iterator[ImageText]:
        yield ImageText("image", self.image)

    def answer(self, made: Answer) -> object:
        return {"id": self.id, "vector": made.vectors[0], "dim": made.card.embedding_dim}


class VectorizeRequest(Body):
    """Images of Weaviate's multi2vec-clip."""

    images: list[str] | None = None
    texts: list[str] | None = None

    def image_texts(self) -> Iterator[ImageText]:
        if self.texts:
            raise InvalidRequest("this model embeds images; leave texts out", param="texts")
        if not self.images:
            raise InvalidRequest("send images: a list of base64", param="images")
        yield from images_of(self.images, "images")

    def answer(self, made: Answer) -> object:
        return {"textVectors": [], "imageVectors": list(made.vectors)}


class VectorsResponse(Struct):
    """A vector of unit length."""

    id: str | None
    vector: list[float]
    dim: int


class VectorizeResponse(Struct):
    """Vectors in the order of the images."""

    textVectors: list[list[float]]  # noqa: N815 - Weaviate's name
    imageVectors: list[list[float]]  # noqa: N815 - Weaviate's name


DIALECT = Dialect(
    name="weaviate",
    paths=("/vectors",),
    body=VectorsRequest,
    answer=VectorsResponse,
    summary="Embed an image as Weaviate's img2vec-neural does",
    example={"id": "1", "image": IMAGE},
    flat_errors=True,
)

CLIP = Dialect(
    name="weaviate",
    paths=("/vectorize",),
    body=VectorizeRequest,
    answer=VectorizeResponse,
    summary="Embed images as Weaviate's multi2vec-clip does",
    example={"texts": [], "images": [IMAGE]},
    flat_errors=True,
)
