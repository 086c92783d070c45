"""Imports run one way, and what serves needs nothing of what exports: CONTRIBUTING.md."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXPORTING = {"huggingface_hub", "onnx", "onnx_ir", "onnxscript", "safetensors", "torch"}
HTTP = ("fastapi", "starlette", "uvicorn", "grpc")

WORDS = {"service.errors", "service.settings", "service.types"}
FOR_EVERYONE = {*WORDS, "service.observability"}
MAY_IMPORT = {
    "service.server": {"service.api", "service.engine", "service.images", *FOR_EVERYONE},
    "service.api": {"service.engine", "service.images", "service.playground", *FOR_EVERYONE},
    "service.engine": {"service.images", *FOR_EVERYONE},
    "service.images": FOR_EVERYONE,
    "service.observability": WORDS,
    "service.errors": set(),
    "service.settings": set(),
    "service.types": set(),
}
"""What each room of the service may import, besides itself."""


def imports(package: str) -> Iterator[tuple[str, str]]:
    """Who imports what, at whatever place in a file."""
    place = ROOT / package.replace(".", "/")
    module = place.with_suffix(".py")
    files = [module] if module.is_file() else list(place.rglob("*.py"))
    assert files
    for file in files:
        importer = str(file.relative_to(ROOT))
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from ((importer, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield importer, node.module
                yield from ((importer, f"{node.module}.{alias.name}") for alias in node.names)


def wrong(package: str, forbidden: tuple[str, ...]) -> list[tuple[str, str]]:
    return [
        (importer, imported)
        for importer, imported in imports(package)
        if any(imported == name or imported.startswith(f"{name}.") for name in forbidden)
    ]


def test_the_exporter_knows_no_service_and_no_pytorch():
    assert wrong("model_export", ("service", "swin_embed", "training", "torch")) == []


def test_the_service_knows_of_the_exporter_only_the_card_and_how_commands_end():
    """The container image has no more of it."""
    shipped = ("model_export", "model_export.__version__", "model_export.model_card")
    shipped += ("model_export.console", "model_export.extras")
    assert [
        (importer, imported)
        for importer, imported in imports("service")
        if imported.partition(".")[0] == "model_export"
        and not imported.startswith(("model_export.model_card.", "model_export.console."))
        and imported not in shipped
    ] == []


def test_the_service_needs_nothing_that_exports():
    assert wrong("service", (*EXPORTING, "swin_embed")) == []


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_downwards(package):
    allowed = MAY_IMPORT[package] | {package}
    packages = {".".join(imported.split(".")[:2]) for _, imported in imports(package)}
    ours = {name for name in packages if name.startswith("service.")}
    assert ours - allowed == set()


@pytest.mark.parametrize("package", ["service.engine", "service.images"])
def test_the_engine_knows_no_http(package):
    assert wrong(package, HTTP) == []


def test_only_a_process_that_begins_imports_the_application():
    importers = {who for who, imported in imports("service") if imported == "service.api.app"}
    assert importers == {"service/__main__.py", "service/server/workers/worker.py"}


def test_help_is_there_before_what_runs_models():
    asked = (
        "import sys\n"
        "from service.__main__ import main\n"
        "main(['--help'])\n"
        "print('onnxruntime' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, check=True)
    assert told.stdout.split()[-1] == b"False"
