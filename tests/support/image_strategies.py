"""Images for schemathesis, loaded by `SCHEMATHESIS_HOOKS`: random bytes are seldom any."""

import base64
import json
import struct

import schemathesis
from hypothesis import strategies
from schemathesis import GenerationMode
from schemathesis.transport.serialization import Binary

from tests.hostile.bodies import GOOD, MODEL
from tests.support.images import encode, noise

FILES = [encode(noise(height, width)) for height, width in ((1, 1), (40, 30), (90, 200))]
IMAGES = strategies.sampled_from(FILES)


def as_base64(image: bytes) -> str:
    return base64.b64encode(image).decode()


schemathesis.openapi.format(
    "image",
    IMAGES.map(as_base64) | IMAGES.map(lambda image: "data:image/png;base64," + as_base64(image)),
)
schemathesis.openapi.format("binary", IMAGES.map(Binary))
for media_type in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, IMAGES)


@schemathesis.hook
def map_case(context, case):
    """Put in what a schema can't tell: tensors fit their shapes, strings are images."""
    if case.meta.generation.mode is GenerationMode.POSITIVE:
        if case.path.endswith("/infer"):
            _infer(case)
        elif good := GOOD.get(case.path.replace("{name}", MODEL)):
            case.body = good
    return case


def _infer(case):
    image = {"name": "image", "shape": [1], "datatype": "BYTES"}
    if case.body in FILES:
        tensor = struct.pack("<I", len(case.body)) + case.body
        image["parameters"] = {"binary_data_size": len(tensor)}
        head = json.dumps({"inputs": [image]}).encode()
        case.headers["Inference-Header-Content-Length"] = str(len(head))
        case.body = head + tensor
    elif isinstance(case.body, dict):
        case.headers.pop("Inference-Header-Content-Length", None)
        parameters = case.body.get("parameters") or {}
        parameters.pop("timeout", None)  # of which a microsecond is not enough
        case.body = case.body | {"inputs": [image | {"data": [as_base64(FILES[0])]}]}
