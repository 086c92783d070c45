"""Coverage-guided fuzzing of everything that reads what clients send.

`python -m tests.fuzz preprocess|form|dialects|infer|image_text|grpc [libFuzzer options]`, such as
`-max_total_time=600`, in an environment that has atheris. It ends at the first exception that is
not an answer to the client. `python -m tests.fuzz seeds FOLDER` writes small files of every format,
HEIC among them where pillow-heif is installed, to begin `preprocess` with.
"""

import asyncio
import contextlib
import sys
from pathlib import Path
from types import SimpleNamespace

import atheris
import msgspec
from google.protobuf.message import DecodeError

with atheris.instrument_imports(include=["service", "PIL", "pillow_heif", "python_multipart"]):
    from starlette.requests import Request

    from model_export.model_card import Preprocessing
    from service.api import (
        forms,
        image_text,
        open_inference,
        open_inference_grpc,
        parsing,
        tensors,
        wire_format,
    )
    from service.api.dialects import DIALECTS
    from service.api.proto import open_inference_pb2 as pb
    from service.errors import ServiceError
    from service.images.preprocess import preprocess
    from service.settings import Settings

RECIPE = Preprocessing(resize=36, crop=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
MAX_PIXELS = 1_000_000
CARD = SimpleNamespace(image_size=32, embedding_dim=128)


def _request(body: bytes, content_type: bytes) -> Request:
    """A request whose body arrives in two parts, cut where its first byte says."""
    cut = body[0] if body else 0
    parts = [body[:cut], body[cut:]]

    async def receive():
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    service = SimpleNamespace(settings=Settings())
    app = SimpleNamespace(state=SimpleNamespace(service=service))
    return Request(
        {
            "type": "http",
            "method": "POST",
            "path": "/",
            "query_string": b"",
            "headers": [(b"content-type", content_type)],
            "app": app,
            "state": {},
        },
        receive,
    )


def fuzz_preprocess(data: bytes) -> None:
    picture = preprocess(data, RECIPE, MAX_PIXELS)
    assert picture.pixels.shape == (32, 32, 3)


def fuzz_form(data: bytes) -> None:
    request = _request(data, b"multipart/form-data; boundary=b")
    asyncio.run(forms.read_form(request))


def fuzz_dialects(data: bytes) -> None:
    """The first byte says which."""
    dialect = DIALECTS[data[0] % len(DIALECTS)] if data else DIALECTS[0]
    asked = parsing.decode(data[1:], msgspec.json.Decoder(dialect.body))
    image_text.decode_all(list(asked.image_texts()))


def fuzz_infer(data: bytes) -> None:
    request = _request(data, b"application/json")
    _, given = asyncio.run(open_inference._parse(request))
    tensors.uploads(given, CARD)


def fuzz_grpc(data: bytes) -> None:
    wire_format.check_parts(data, pb.ModelInferRequest.DESCRIPTOR, 5_000)
    with contextlib.suppress(DecodeError):
        request = pb.ModelInferRequest.FromString(data)
        tensors.uploads(open_inference_grpc._tensors(request, 256), CARD)


def fuzz_image_text(data: bytes) -> None:
    image_text.decode(data.decode("utf-8", "surrogatepass" if len(data) % 2 else "replace"), None)


def write_seeds(folder: Path) -> None:
    from tests.hostile import corpus, heif

    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate((*corpus.sound_files(), *heif.files() * heif.INSTALLED)):
        (folder / f"{number:04}").write_bytes(data)


def fuzz(name: str) -> None:
    target = globals()[f"fuzz_{name}"]

    def one(data: bytes) -> None:
        with contextlib.suppress(ServiceError, UnicodeDecodeError):
            target(data)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1] == "seeds":
        write_seeds(Path(sys.argv[2]))
    else:
        fuzz(sys.argv.pop(1))
