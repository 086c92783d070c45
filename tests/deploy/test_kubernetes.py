"""Each overlay renders, and what it renders is what Kubernetes takes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

OVERLAYS = Path(__file__).parents[2] / "deploy" / "kubernetes" / "overlays"
NAMES = sorted(path.name for path in OVERLAYS.iterdir())

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl to render")


def render(folder: Path) -> list[dict]:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module", params=NAMES)
def rendered(request) -> list[dict]:
    return render(OVERLAYS / request.param)


def test_every_resource_fits_its_schema(rendered):
    validate = pytest.importorskip("kubernetes_validate")
    for resource in rendered:
        if resource["kind"] == "ServiceMonitor":  # the Prometheus operator's, not Kubernetes' own
            continue
        validate.validate(resource, validate.latest_version(), strict=True)


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


def test_every_container_is_confined(rendered):
    (pod,) = [one["spec"]["template"]["spec"] for one in rendered if one["kind"] == "Deployment"]
    assert pod["securityContext"]["runAsNonRoot"]
    for container in pod["containers"] + pod.get("initContainers", []):
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"]
        assert not confined["allowPrivilegeEscalation"]
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert "limits" in container["resources"]
