import hashlib


def test_models_come_from_the_card(client, artifact):
    (model,) = client.get("/v1/models").json()["data"]
    assert model["id"] == model["card"]["name"]
    assert model["pretrained"] is False
    assert model["dimensions"] == model["card"]["embedding_dim"] == 128
    assert model["card"]["weights"]["source"].startswith("random")
    assert model["digest"] == hashlib.sha256(artifact.read_bytes()).hexdigest()


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
        assert f"/docs/assets/{name}" in page
        assert client.get(f"/docs/assets/{name}").status_code == 200


def test_openapi_tells_the_errors_of_every_door(client):
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/embed", "/v1/embeddings", "/v2/models/{name}/infer"):
        told = set(paths[path]["post"]["responses"])
        assert {"200", "400", "413", "415", "422", "429", "503", "504"} <= told
