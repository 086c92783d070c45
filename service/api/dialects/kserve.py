"""`POST /v1/models/{name}:predict`: KServe's protocol V1, which TensorFlow Serving began."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from service.api.dialects.dialect import Answer, Body, Dialect
from service.api.image_text import ImageText
from service.api.openapi import TINY_IMAGE
from service.errors import InvalidRequest


class Encoded(msgspec.Struct):
    """A file as base64."""

    b64: str


class Instance(msgspec.Struct):
    """An image, by itself or as the model's input `image_bytes`."""

    b64: str | None = None
    image_bytes: Encoded | None = None


class PredictRequest(Body, kw_only=True):
    """Images to embed."""

    instances: Annotated[list[Instance], Meta(min_length=1)]

    def image_texts(self) -> Iterator[ImageText]:
        for index, instance in enumerate(self.instances):
            param = f"instances[{index}]"
            if instance.image_bytes is not None:
                yield ImageText(f"{param}.image_bytes.b64", instance.image_bytes.b64)
            elif instance.b64 is not None:
                yield ImageText(f"{param}.b64", instance.b64)
            else:
                raise InvalidRequest('an instance is {"b64": "..."}', param=param)

    def answer(self, made: Answer) -> object:
        return {"predictions": list(made.vectors)}


class PredictResponse(msgspec.Struct):
    """Vectors in the order of the instances."""

    predictions: list[list[float]]


DIALECT = Dialect(
    name="kserve",
    paths=("/v1/models/{name}:predict",),
    body=PredictRequest,
    answer=PredictResponse,
    summary="Embed images by KServe's protocol V1",
    example={"instances": [{"b64": TINY_IMAGE.partition(",")[2]}]},
    flat_errors=True,
)
