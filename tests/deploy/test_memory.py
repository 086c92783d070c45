"""What the overlays give a pod is enough for the defaults."""

from pathlib import Path

import pytest
import yaml

from service.engine.memory_plan import MIB, PROCESS_BYTES, make
from service.settings import Settings

OVERLAYS = Path(__file__).parents[2] / "deploy" / "kubernetes" / "overlays"
UNITS = {"Mi": MIB, "Gi": 1024 * MIB}
MODELS_BYTES = {"cpu": 120_000_000, "gpu": 400_000_000}
"""A Swin-T in fp32, and a Swin-B."""


def limits(overlay: str) -> dict[str, str]:
    """Of the service's container, as the overlay's patches say."""
    made = yaml.safe_load((OVERLAYS / overlay / "kustomization.yaml").read_text())
    for patch in made["patches"]:
        patched = yaml.safe_load(patch["patch"])
        if isinstance(patched, dict) and patched["kind"] == "Deployment":
            (container,) = patched["spec"]["template"]["spec"]["containers"]
            return container["resources"]["limits"]
    raise AssertionError("the overlay sets no limits")


@pytest.mark.parametrize("overlay", MODELS_BYTES)
def test_defaults_fit_the_pod(overlay, tmp_path):
    given = limits(overlay)
    usable = int(given["memory"][:-2]) * UNITS[given["memory"][-2:]]
    model = tmp_path / "model.onnx"
    with model.open("wb") as file:
        file.truncate(MODELS_BYTES[overlay])
    settings = Settings(model=model)
    plan = make(settings, usable, PROCESS_BYTES, int(given["cpu"]))
    assert plan.fits()
    assert plan.budget >= 4 * settings.max_request_bytes
    assert plan.max_image_pixels >= 50_000_000
