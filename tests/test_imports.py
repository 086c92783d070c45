"""Imports run one way, and what serves needs nothing of what exports: CONTRIBUTING.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXPORTING = {"huggingface_hub", "onnx", "onnx_ir", "onnxscript", "safetensors", "torch"}


def imports(package: str) -> Iterator[tuple[str, str]]:
    """Who imports what, at whatever place in a file."""
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        importer = str(file.relative_to(ROOT))
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from ((importer, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield importer, node.module
                yield from ((importer, f"{node.module}.{alias.name}") for alias in node.names)


def test_the_exporter_knows_no_service_and_no_pytorch():
    wrong = [
        (importer, imported)
        for importer, imported in imports("model_export")
        if imported.partition(".")[0] in ("service", "training", "torch")
    ]
    assert wrong == []


def test_the_service_knows_of_the_exporter_only_the_card():
    """The container image has no more of it."""
    shipped = ("model_export", "model_export.__version__", "model_export.model_card")
    wrong = [
        (importer, imported)
        for importer, imported in imports("service")
        if imported.partition(".")[0] == "model_export"
        and not imported.startswith("model_export.model_card.")
        and imported not in shipped
    ]
    assert wrong == []


def test_the_service_needs_nothing_that_exports():
    wrong = [
        (importer, imported)
        for importer, imported in imports("service")
        if imported.partition(".")[0] in EXPORTING
    ]
    assert wrong == []


def test_only_a_process_that_begins_imports_the_application():
    importers = {who for who, imported in imports("service") if imported == "service.app"}
    assert importers == {"service/__main__.py", "service/workers/worker.py"}


def test_the_engine_knows_no_http():
    wrong = [
        (importer, imported)
        for importer, imported in imports("service")
        if imported.startswith(("service.api", "fastapi", "starlette", "uvicorn"))
        and Path(importer).stem
        in ("batcher", "embedder", "lanes", "model", "preprocess", "stream", "waiting")
    ]
    assert wrong == []
