"""Dashboard, rules and runbook fit the metrics that the service has."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from model_export import __version__
from service.server.workers.supervisor import Supervisor
from service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
RULES = yaml.safe_load((DOCKER / "rules.yml").read_text())
ALERTS = [
    rule for group in RULES["groups"] for rule in group["rules"] if rule.get("alert") is not None
]
# Grafana's builder would have the schema that only its version 12 and newer read.
pytestmark = pytest.mark.filterwarnings("ignore:Prefer using dashboardv2:DeprecationWarning")
promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="needs Prometheus's promtool")


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def dashboard():
    return load(DOCKER / "grafana" / "dashboard.py")


@pytest.fixture(scope="module")
def names() -> set[str]:
    """Every series name that the service can have."""
    suffixes = {
        "counter": ["_total"],
        "gauge": [""],
        "info": ["_info"],
        "histogram": ["_bucket", "_count", "_sum"],
    }
    families = Supervisor(Settings(workers=2))._metrics.registry.collect()
    known = set()
    for family in families:  # those with labels have no samples yet
        known |= {sample.name for sample in family.samples} or {
            family.name + suffix for suffix in suffixes[family.type]
        }
    return known | {
        "swin_gpu_memory_used_bytes",
        "swin_gpu_memory_bytes",
        "swin_gpu_utilization_ratio",
    }


def series(text: str) -> set[str]:
    return set(re.findall(r"\b(?:swin|process)_\w+", text))


def panels(dashboard) -> list[dict]:
    """All but rows; of a closed row they lie in it."""
    everything = json.loads(dashboard.text())["panels"]
    return [
        panel for one in everything for panel in (one["panels"] if one["type"] == "row" else [one])
    ]


def test_rules_speak_of_series_that_there_are(names):
    text = "\n".join(rule["expr"] for group in RULES["groups"] for rule in group["rules"])
    assert series(text) <= names


def test_the_dashboard_speaks_of_series_and_rules_that_there_are(dashboard, names):
    text = "\n".join(target["expr"] for panel in panels(dashboard) for target in panel["targets"])
    assert series(text) <= names
    recorded = {rule.get("record") for group in RULES["groups"] for rule in group["rules"]}
    assert set(re.findall(r"swin:[\w:]+", text)) <= recorded


def test_the_dashboard_file_is_what_the_code_writes(dashboard):
    assert (DOCKER / "grafana" / "swin-embed.json").read_text() == dashboard.text()


def test_panels_do_not_overlap(dashboard):
    taken = set()
    for panel in panels(dashboard):
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= dashboard.WIDTH
        taken |= cells


def test_the_dashboard_takes_any_data_source_and_job(dashboard):
    made = json.loads(dashboard.text())
    assert [one["name"] for one in made["templating"]["list"]] == ["datasource", "job", "instance"]
    for panel in panels(dashboard):
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert 'job="$job"' in target["expr"]


def test_every_panel_says_what_it_shows(dashboard):
    for panel in panels(dashboard):
        assert len(panel["description"]) > 10, panel["title"]
    identifiers = [panel["id"] for panel in panels(dashboard)]
    assert len(set(identifiers)) == len(identifiers)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_each_alert_has_a_runbook_and_a_firing_and_a_silent_case(alert):
    name = alert["alert"]
    assert alert["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
    assert f"### {name}\n" in (ROOT / "docs" / "operations.md").read_text()
    cases = yaml.safe_load((DOCKER / "rules_test.yml").read_text())["tests"]
    expected = [
        check["exp_alerts"]
        for case in cases
        for check in case["alert_rule_test"]
        if check["alertname"] == name
    ]
    assert any(expected)
    assert not all(expected)


@pytest.mark.slow
@promtool
def test_rules_hold_in_prometheus():
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=DOCKER, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@promtool
def test_promtool_has_nothing_to_say_about_the_metrics(client):
    text = client.get("/metrics").text
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_compose_confines_every_service_of_ours():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    ours = [one for one in services.values() if one["image"].startswith("swin-embed")]
    assert len(ours) == 3
    for one in ours:
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]


def test_images_are_named_by_version():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    named = [one["image"] for one in services.values() if not one["image"].startswith("swin-embed")]
    bases = re.findall(r"^ARG PYTHON_IMAGE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(named) == 2
    assert len(bases) == 1
    for image in named + bases:
        assert re.search(r"[\w/]:v?\d+\.\d+", image), image


def test_the_image_says_the_version_of_what_is_in_it():
    assert f"ARG VERSION={__version__}\n" in (ROOT / "Dockerfile").read_text()


def test_the_bill_of_materials_names_packages_versions_and_licences(tmp_path):
    package = tmp_path / "thing-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: Thing_A\nVersion: 1.0\nLicense-Expression: MIT\n"
    )
    bill = load(DOCKER / "sbom.py").bill(str(tmp_path))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    (component,) = bill["components"]
    assert component["purl"] == "pkg:pypi/thing-a@1.0"
    assert component["licenses"] == [{"expression": "MIT"}]
