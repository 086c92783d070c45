"""Optional parts of the installation, and what to type to get one."""

import json
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "swin-embed"

EXTRAS = {
    "aiohttp": "batch",
    "fsspec": "batch",
    "google": "grpc",
    "grpc": "grpc",
    "grpc_health": "grpc",
    "httpcore2": "urls",
    "huggingface_hub": "export",
    "lancedb": "search",
    "onnx": "export",
    "onnx_ir": "export",
    "onnxruntime": "cpu",
    "onnxscript": "export",
    "openTSNE": "explore",
    "opentelemetry": "tracing",
    "pillow_heif": "heic",
    "pyarrow": "batch",
    "ray": "ray",
    "s3fs": "s3",
    "safetensors": "export",
    "sklearn": "explore",
}
"""Which extra has a module."""


def missing(error: ImportError, what: str) -> str | None:
    """What to install where `what` cannot be done for want of a module; None if no extra has it."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return None
    extra = EXTRAS[module]
    other = ", on a GPU [gpu] in place of [cpu]" if extra == "cpu" else ""
    return f"{what} needs {module}, which is not installed: {how_to_install(extra)}{other}"


def how_to_install(extra: str) -> str:
    """The command that adds an extra to this installation: from its checkout, its file or an index.

    Pip notes where it had a distribution from, unless that was an index (PEP 610).
    """
    return f"pip install '{_installed_from()}[{extra}]'"


def _installed_from() -> str:
    checkout = Path(__file__).parents[1]
    if (checkout / "pyproject.toml").is_file():
        return str(checkout)
    try:
        noted = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        noted = None
    url = urlsplit(json.loads(noted)["url"] if noted else "")
    return unquote(url.path) if url.scheme == "file" else DISTRIBUTION
