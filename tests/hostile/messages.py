"""Hostile gRPC messages: a few bytes on the wire that could make many objects, and broken ones."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from service.api.proto import open_inference_pb2 as pb

METHOD = "/inference.GRPCInferenceService/"


@dataclass(frozen=True)
class HostileMessage:
    """The bytes of a message for a method."""

    kind: str
    method: str
    data: bytes


def good(model: str, photo: bytes) -> pb.ModelInferRequest:
    """A request that is answered with a vector."""
    contents = pb.InferTensorContents(bytes_contents=[photo])
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="image", datatype="BYTES", shape=[1], contents=contents
    )
    return pb.ModelInferRequest(model_name=model, inputs=[tensor])


def messages(model: str, size: int) -> Iterator[HostileMessage]:
    """One of each kind, of about so many bytes."""
    tensor = pb.ModelInferRequest.InferInputTensor
    head = {"name": "pixels", "datatype": "UINT8"}
    for field in pb.ModelInferRequest.DESCRIPTOR.fields:
        empty = bytes([field.number << 3 | 2, 0])
        yield HostileMessage(f"empty {field.name}", "ModelInfer", empty * (size // 2))
    for field in pb.InferTensorContents.DESCRIPTOR.fields:
        if field.message_type is None and field.type != field.TYPE_BYTES:
            contents = pb.InferTensorContents(**{field.name: [1] * (size // 10)})
            request = pb.ModelInferRequest(
                model_name=model, inputs=[tensor(**head, shape=[1], contents=contents)]
            )
            yield HostileMessage(field.name, "ModelInfer", request.SerializeToString())
    many = pb.InferTensorContents(bytes_contents=[b""] * (size // 2))
    for kind, inputs in (
        ("empty images", tensor(name="image", datatype="BYTES", shape=[1], contents=many)),
        ("a long shape", tensor(**head, shape=[1] * size)),
        ("a shape of zeros", tensor(**head, shape=[0, 2**62, 2**62, 3])),
        ("a negative shape", tensor(**head, shape=[-1, 32, 32, 3])),
        ("a long name", tensor(name="n" * size, datatype="UINT8", shape=[1])),
    ):
        request = pb.ModelInferRequest(model_name=model, inputs=[inputs])
        yield HostileMessage(kind, "ModelInfer", request.SerializeToString())
    raw = pb.ModelInferRequest(
        model_name=model,
        inputs=[tensor(name="image", datatype="BYTES", shape=[1])],
        raw_input_contents=[b"\0" * size],
    )
    yield HostileMessage("raw empty elements", "ModelInfer", raw.SerializeToString())
    for method in ("ServerLive", "ServerReady", "ModelReady", "ModelMetadata", "Nothing"):
        yield HostileMessage(f"{method} of many fields", method, b"\x0a\0" * (size // 2))


def message_variations(model: str, seed: int, count: int) -> Iterator[HostileMessage]:
    """Small messages: a good one with bytes cut, doubled or put in place of others."""
    random_ = random.Random(seed)  # noqa: S311 - not for secrets
    whole = good(model, b"\xff\xd8\xff\xe0").SerializeToString()
    for number in range(count):
        data = whole
        for _ in range(random_.randint(1, 3)):
            start = random_.randrange(len(data) + 1)
            end = min(len(data), start + random_.choice((0, 1, 4, 30)))
            piece = random_.choice([random_.randbytes(3), data[start:end] * 2, b""])
            data = data[:start] + piece + data[end:]
        yield HostileMessage(f"message variation {number}", "ModelInfer", data)
