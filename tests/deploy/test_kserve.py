"""KServe's own models read our objects whole, and what they name is what the service has."""

import json
import subprocess

import pytest
import yaml

from service.settings import Settings
from tests.support.process import ROOT

KSERVE = ROOT / "deploy" / "kserve"
FILES = sorted(KSERVE.iterdir())
CLIENTS = ROOT / ".venv" / "clients"
READER = ROOT / "tests" / "clients" / "kserve_objects.py"

OBJECTS = {path.stem: yaml.safe_load(path.read_text()) for path in FILES}
RUNTIME = OBJECTS["servingruntime"]
SERVICES = [told for told in OBJECTS.values() if told["kind"] == "InferenceService"]


@pytest.mark.skipif(not CLIENTS.exists(), reason="needs make setup-clients")
def test_kserve_s_models_know_every_field():
    done = subprocess.run(
        [CLIENTS / "bin" / "python", "-W", "ignore", READER, *FILES],
        check=True,
        capture_output=True,
    )
    assert json.loads(done.stdout) == [OBJECTS[path.stem] for path in FILES]


def test_the_runtime_s_settings_are_the_service_s():
    (container,) = RUNTIME["spec"]["containers"]
    given = {one["name"].removeprefix("SWIN_").lower(): one["value"] for one in container["env"]}
    settings = Settings(**given)
    assert container["ports"] == [{"containerPort": settings.port, "protocol": "TCP"}]
    assert settings.model_aliases == ("{{.Name}}",)


def test_each_service_asks_for_what_the_runtime_has():
    (container,) = RUNTIME["spec"]["containers"]
    grpc_port = {one["name"]: one["value"] for one in container["env"]}["SWIN_GRPC_PORT"]
    formats = [one["name"] for one in RUNTIME["spec"]["supportedModelFormats"]]
    assert len(SERVICES) == 2
    for service in SERVICES:
        model = service["spec"]["predictor"]["model"]
        assert model["runtime"] == RUNTIME["metadata"]["name"]
        assert model["modelFormat"]["name"] in formats
        assert model["protocolVersion"] in RUNTIME["spec"]["protocolVersions"]
        if model["protocolVersion"] == "grpc-v2":
            assert [str(port["containerPort"]) for port in model["ports"]] == [grpc_port]
