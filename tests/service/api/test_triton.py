import pytest

from tests.service.api.test_open_inference import MODEL, NAME
from tests.support.images import encode, jpeg, noise


@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/versions/1"])
def test_config_has_the_names_and_shapes_of_the_metadata(client, path):
    told = client.get(f"{path}/config").json()
    metadata = client.get(MODEL).json()
    assert (told["name"], told["platform"]) == (NAME, metadata["platform"])
    for theirs, ours in (("input", "inputs"), ("output", "outputs")):
        assert [(one["name"], one["dims"]) for one in told[theirs]] == [
            (one["name"], one["shape"]) for one in metadata[ours]
        ]


@pytest.mark.parametrize("path", ["/v2/models", MODEL, f"{MODEL}/versions/1"])
def test_stats_count_images(client, path):
    client.post("/embed", files=[("files", jpeg("coffee")), ("files", encode(noise(9, 9)))])
    client.post("/embed", content=b"no image")
    (told,) = client.get(f"{path}/stats").json()["model_stats"]
    assert (told["name"], told["version"], told["inference_count"]) == (NAME, "1", 2)
    assert 1 <= told["execution_count"] <= 2
    kinds = told["inference_stats"]
    assert kinds["success"]["count"] == kinds["compute_infer"]["count"] == 2
    assert kinds["success"]["ns"] > kinds["compute_infer"]["ns"] > 0
    assert kinds["fail"]["count"] == 1


def test_the_index_has_the_model(client):
    (told,) = client.post("/v2/repository/index", json={"ready": True}).json()
    assert (told["name"], told["state"]) == (NAME, "READY")


@pytest.mark.parametrize("call", ["config", "stats", "versions/2/config", "versions/2/stats"])
def test_another_model_or_version_is_none(client, call):
    path = MODEL if "versions" in call else "/v2/models/other"
    assert client.get(f"{path}/{call}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "says"),
    [
        ("POST", f"/repository/models/{NAME}/load", "repository's index"),
        ("POST", f"/repository/models/{NAME}/unload", "repository's index"),
        ("GET", "/systemsharedmemory/status", "in the request"),
        ("POST", "/systemsharedmemory/region/one/register", "in the request"),
        ("POST", "/cudasharedmemory/unregister", "in the request"),
        ("POST", "/trace/setting", "OTEL"),
        ("GET", f"/models/{NAME}/trace/setting", "OTEL"),
        ("POST", "/logging", "SWIN_LOG"),
    ],
)
def test_what_changes_something_is_refused_with_what_there_is(client, method, path, says):
    answer = client.request(method, f"/v2{path}", json={} if method == "POST" else None)
    assert answer.status_code == 400
    assert "is not supported" in answer.json()["error"]
    assert says in answer.json()["error"]
