"""Every official Python client asks for one photo's vector: python_clients.py HTTP GRPC PHOTO.

Runs in the clients' own environment (`make setup-clients`). Prints JSON: float32 of each, in hex.
"""

import base64
import json
import sys
from pathlib import Path

import numpy as np
import openai
import tritonclient.grpc
import tritonclient.http


def openai_vectors(address, photo):
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="key")
    model = client.models.list().data[0].id
    assert client.models.retrieve(model).id == model
    image = "data:image/jpeg;base64," + base64.b64encode(photo).decode()
    asked = {"model": model, "input": image}
    yield "openai", client.embeddings.create(**asked)
    yield "openai float", client.embeddings.create(**asked, encoding_format="float")
    yield "openai list", client.embeddings.create(model=model, input=[image])


def triton_vectors(module, address, model, photo):
    client = module.InferenceServerClient(address)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(model)
    assert client.is_model_ready(model, "1")
    named = "name" if module is tritonclient.http else None
    server, metadata = client.get_server_metadata(), client.get_model_metadata(model)
    assert (server[named] if named else server.name) == "swin-embed"
    assert (metadata[named] if named else metadata.name) == model
    ways = [{}] if module is tritonclient.grpc else [{"binary_data": True}, {"binary_data": False}]
    for way in ways:
        image = module.InferInput("image", [1], "BYTES")
        data = base64.b64encode(photo) if way.get("binary_data") is False else photo
        image.set_data_from_numpy(np.array([data], dtype=object), **way)
        output = module.InferRequestedOutput("embedding", **way)
        answer = client.infer(model, [image], outputs=[output], request_id="mine")
        id_ = answer.get_response()["id"] if named else answer.get_response().id
        assert id_ == "mine"
        yield f"{module.__name__} {way}", answer.as_numpy("embedding")[0]
        (default,) = client.infer(model, [image], model_version="1").as_numpy("embedding")
        yield f"{module.__name__} {way} by default", default


def refusals(address):
    client = tritonclient.grpc.InferenceServerClient(address)
    image = tritonclient.grpc.InferInput("image", [1], "BYTES")
    image.set_data_from_numpy(np.array([b"no image"], dtype=object))
    for model, status in {"other": "NOT_FOUND", None: "INVALID_ARGUMENT"}.items():
        said = ""
        try:
            client.infer(model or MODEL, [image])
        except tritonclient.grpc.InferenceServerException as error:
            said = error.status()
        assert status in said


address, grpc_address, path = sys.argv[1:]
photo = Path(path).read_bytes()
vectors = {}
for name, answer in openai_vectors(address, photo):
    vectors[name] = np.array(answer.data[0].embedding, np.float32)
    MODEL = answer.model
vectors |= triton_vectors(tritonclient.http, address.removeprefix("http://"), MODEL, photo)
vectors |= triton_vectors(tritonclient.grpc, grpc_address, MODEL, photo)
refusals(grpc_address)
print(json.dumps({name: vector.astype("<f4").tobytes().hex() for name, vector in vectors.items()}))
