"""Overlays render, alone and with components, and are what three versions of Kubernetes take."""

import importlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from service.engine import memory_plan
from service.settings import Settings

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS, COMPONENTS = KUBERNETES / "overlays", KUBERNETES / "components"
NAMES = sorted(path.name for path in OVERLAYS.iterdir())
VERSIONS = ("1.35.0", "1.36.0", "1.37.0")
OPERATORS = {
    "ServiceMonitor": "cloudcoil.models.prometheus_operator.v1",
    "PrometheusRule": "cloudcoil.models.prometheus_operator.v1",
    "ScaledObject": "cloudcoil.models.keda.v1alpha1",
}
"""Kinds that a plain cluster does not know, and where their schemas are."""

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl to render")


def render(folder: Path) -> list[dict]:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def with_components(overlay: str, components: list[str], folder: Path) -> list[dict]:
    """An overlay with components switched on, as docs/operations.md says."""
    made = {
        "resources": [os.path.relpath(OVERLAYS / overlay, folder)],
        "components": [os.path.relpath(COMPONENTS / name, folder) for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(made))
    return render(folder)


@pytest.fixture(scope="module", params=NAMES)
def rendered(request) -> list[dict]:
    return render(OVERLAYS / request.param)


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> list[dict]:
    """The `cpu` overlay with all components; of the two that scale, KEDA."""
    names = sorted({path.name for path in COMPONENTS.iterdir()} - {"hpa"})
    return with_components("cpu", names, tmp_path_factory.mktemp("everything"))


def fit(resource: dict) -> None:
    """Check a resource against the schemas of its kind, which know every field it may have."""
    if module := OPERATORS.get(resource["kind"]):
        kind = getattr(importlib.import_module(module), resource["kind"])
        read = kind.model_validate(resource)
        assert read.model_dump(by_alias=True, exclude_unset=True, mode="json") == resource
        return
    for version in VERSIONS:
        kubernetes_validate.validate(resource, version, strict=True)


def test_every_resource_fits_its_schema(rendered):
    for resource in rendered:
        fit(resource)


def test_overlays_need_no_operator(rendered):
    assert not {resource["kind"] for resource in rendered} & OPERATORS.keys()


@pytest.mark.slow
def test_every_component_fits_its_schema(everything):
    for resource in everything:
        fit(resource)
    assert OPERATORS.keys() < {resource["kind"] for resource in everything}


def test_a_misspelt_field_does_not_fit(everything):
    (monitor,) = [one for one in everything if one["kind"] == "ServiceMonitor"]
    with pytest.raises(AssertionError):
        fit(monitor | {"spec": monitor["spec"] | {"endpoint": []}})


def test_replicas_are_left_to_who_scales(everything):
    (deployment,) = [one for one in everything if one["kind"] == "Deployment"]
    assert "replicas" not in deployment["spec"]


def test_keys_come_from_a_secret(everything):
    (pod,) = [one["spec"]["template"]["spec"] for one in everything if one["kind"] == "Deployment"]
    (keys,) = [one for one in pod["containers"][0]["env"] if one["name"] == "SWIN_API_KEYS"]
    assert keys["valueFrom"] == {"secretKeyRef": {"name": "swin-embed-keys", "key": "keys"}}


def test_the_dashboard_is_the_one_of_compose(everything):
    (config,) = [one for one in everything if one["kind"] == "ConfigMap"]
    (text,) = config["data"].values()
    assert text == (ROOT / "docker" / "grafana" / "swin-embed.json").read_text()
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert len(json.dumps(config)) < 250_000  # `kubectl apply` keeps it in an annotation


def test_the_rules_are_those_of_compose(everything):
    (rule,) = [one for one in everything if one["kind"] == "PrometheusRule"]
    assert rule["spec"] == yaml.safe_load((ROOT / "docker" / "rules.yml").read_text())


def test_the_ingress_takes_what_the_service_takes(everything):
    (ingress,) = [one for one in everything if one["kind"] == "Ingress"]
    size = ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
    assert size == f"{Settings().max_request_bytes // 2**20}m"


def test_every_component_is_in_the_manual():
    page = (ROOT / "docs" / "operations.md").read_text()
    section = page.partition("\n## Kubernetes\n")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert told == {path.name for path in COMPONENTS.iterdir()} | set(NAMES)


def test_every_selector_finds_the_pods(rendered):
    by_kind = {resource["kind"]: resource for resource in rendered}
    labels = by_kind["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    for selector in (
        by_kind["Service"]["spec"]["selector"],
        by_kind["Deployment"]["spec"]["selector"]["matchLabels"],
        by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        *(
            spread["labelSelector"]["matchLabels"]
            for spread in by_kind["Deployment"]["spec"]["template"]["spec"][
                "topologySpreadConstraints"
            ]
        ),
    ):
        assert selector
        assert selector.items() <= labels


def test_naming_the_services_image_leaves_the_exporters_alone(tmp_path):
    """What `kustomize edit set image swin-embed=...` writes."""
    tuned = {
        "resources": [os.path.relpath(OVERLAYS / "export", tmp_path)],
        "images": [{"name": "swin-embed", "newName": "registry.example/mine", "newTag": "1"}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(tuned))
    (pod,) = [
        resource["spec"]["template"]["spec"]
        for resource in render(tmp_path)
        if resource["kind"] == "Deployment"
    ]
    (service,), (exporter,) = pod["containers"], pod["initContainers"]
    assert service["image"] == "registry.example/mine:1"
    assert exporter["image"] == "swin-embed-export:cpu"


def test_the_largest_image_fits_the_memory_that_the_pod_has(artifact):
    (pod,) = [
        one["spec"]["template"]["spec"]
        for one in render(OVERLAYS / "cpu")
        if one["kind"] == "Deployment"
    ]
    limits = pod["containers"][0]["resources"]["limits"]
    size = int(limits["memory"].removesuffix("Gi")) * 2**30
    settings = Settings(model=artifact)
    plan = memory_plan.make(settings, size, memory_plan.PROCESS_BYTES, int(limits["cpu"]))
    assert plan.fits()
    assert plan.max_image_pixels == settings.max_image_pixels


def test_every_container_is_confined(rendered):
    (pod,) = [one["spec"]["template"]["spec"] for one in rendered if one["kind"] == "Deployment"]
    assert pod["securityContext"]["runAsNonRoot"]
    for container in pod["containers"] + pod.get("initContainers", []):
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"]
        assert not confined["allowPrivilegeEscalation"]
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert "limits" in container["resources"]
