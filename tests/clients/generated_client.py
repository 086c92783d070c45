"""Generated Python clients ask for one photo's vector: generated_client.py HTTP PHOTO.

`generated` is openapi-python-client's package and `models` datamodel-code-generator's module, both
of the service's own document. Prints JSON as python_clients.py does.
"""

import base64
import json
import struct
import sys
import urllib.request
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from generated import Client
from generated.api.embed import embed_embed_post
from generated.api.openai import openai_v1_embeddings_post
from generated.models import (
    EmbeddingsRequest,
    EmbeddingsResponse,
    EmbedEmbedPostFilesBody,
    EmbedResponse,
)
from generated.types import File

import models


def in_hex(vector: Sequence[float] | str) -> str:
    assert not isinstance(vector, str)
    return struct.pack(f"<{len(vector)}f", *vector).hex()


address, path = sys.argv[1:]
photo = Path(path).read_bytes()
text = base64.b64encode(photo).decode()
client = Client(address)
vectors = {}

for body in (File(BytesIO(photo)), EmbedEmbedPostFilesBody([File(BytesIO(photo), "photo.jpg")])):
    answer = embed_embed_post.sync(client=client, body=body)
    assert isinstance(answer, EmbedResponse)
    vectors[type(body).__name__] = in_hex(answer.embeddings[0])

listed = openai_v1_embeddings_post.sync(client=client, body=EmbeddingsRequest(input_=text))
assert isinstance(listed, EmbeddingsResponse)
vectors["EmbeddingsRequest"] = in_hex(listed.data[0].embedding)

asked = models.EmbeddingsRequest(input=text).model_dump_json(exclude_none=True).encode()
json_type = {"Content-Type": "application/json"}
request = urllib.request.Request(f"{address}/v1/embeddings", asked, json_type)
with urllib.request.urlopen(request, timeout=60) as got:
    told = models.EmbeddingsResponse.model_validate_json(got.read())
vectors["models"] = in_hex(told.data[0].embedding)
print(json.dumps(vectors))
