import hashlib

import pytest


def test_models_come_from_the_card(client, artifact):
    (model,) = client.get("/v1/models").json()["data"]
    assert model["id"] == model["card"]["name"]
    assert model["pretrained"] is False
    assert model["dimensions"] == model["card"]["embedding_dim"] == 128
    assert model["card"]["weights"]["source"].startswith("random")
    assert model["digest"] == hashlib.sha256(artifact.read_bytes()).hexdigest()


def test_a_model_is_found_by_its_name(client):
    (model,) = client.get("/v1/models").json()["data"]
    assert client.get(f"/v1/models/{model['id']}").json() == model
    other = client.get("/v1/models/resnet50")
    assert other.status_code == 404
    assert other.json()["error"]["code"] == "model_not_found"
    assert model["id"] in other.json()["error"]["message"]


def test_openapi_describes_the_doors(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/embed", "/v1/models", "/health/live", "/health/ready", "/metrics"} <= set(paths)
    assert "image/*" in paths["/embed"]["post"]["requestBody"]["content"]
    assert client.get("/docs").status_code == 200


def test_docs_need_no_other_host(client):
    page = client.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert f'"docs/assets/{name}"' in page
        assert client.get(f"/docs/assets/{name}").status_code == 200


EVERYWHERE = {"408", "431", "500", "503"}
EMBEDDING = EVERYWHERE | {"200", "400", "413", "415", "422", "429", "504"}
TOLD = {
    ("/embed", "post"): EMBEDDING | {"406"},
    ("/v1/embeddings", "post"): EMBEDDING | {"404"},
    ("/v2/models/{name}/infer", "post"): EMBEDDING | {"404"},
    ("/v2/models/{name}", "get"): EVERYWHERE | {"200", "404"},
    ("/v1/models", "get"): EVERYWHERE | {"200"},
    ("/v1/models/{name}", "get"): EVERYWHERE | {"200", "404"},
    ("/health/live", "get"): EVERYWHERE | {"200"},
}


@pytest.mark.parametrize(("door", "told"), TOLD.items(), ids=[path for path, _ in TOLD])
def test_openapi_tells_each_status_a_door_can_give_and_no_other(serve, door, told):
    path, method = door
    for client, more in ((serve(), set()), (serve(api_keys="secret"), {"401"})):
        operation = client.get("/openapi.json").json()["paths"][path][method]
        opened = path.startswith("/health")
        assert set(operation["responses"]) == (told if opened else told | more)


def test_openapi_gives_every_error_an_example_of_its_shape(client):
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if int(status) < 400:
                    continue
                for example in response["content"]["application/json"]["examples"].values():
                    flat = isinstance(example["value"]["error"], str)
                    assert path.startswith(("/v2", "/v1/models/{name}:", "/vector")) or not flat
                    assert f"`{example['summary']}`" in response["description"]


def test_openapi_s_examples_run(client):
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            bodies = operation.get("requestBody", {}).get("content", {})
            for example in bodies.get("application/json", {}).get("examples", {}).values():
                given = {
                    p["name"]: p["schema"]["example"]
                    for p in operation.get("parameters", [])
                    if p["in"] == "path"
                }
                answer = client.request(method, path.format(**given), json=example["value"])
                assert answer.status_code == 200, answer.text


def test_weaviate_s_meta_is_the_model(client):
    assert client.get("/meta").json() == client.get("/v1/models").json()["data"][0]
