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
