"""`python -m service doctor`: what a support engineer asks first, in one page or as JSON.

It loads the model and embeds one image as the service would, without opening a port.
"""

import contextlib
import importlib.metadata
import io
import json
import os
import platform
import time
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request

import click
import numpy as np
from PIL import Image
from pydantic import SecretStr

from model_export import console
from model_export.console import SettingsError
from service.command_line import GroupedCommand, misspelt, settings_from, with_settings
from service.engine import memory_plan, resources
from service.engine.embedder import Embedder
from service.engine.gpu import devices
from service.errors import ArtifactError, DeviceError
from service.observability.metrics import Metrics
from service.settings import Settings, default_home

PACKAGES = (
    *("onnxruntime", "onnxruntime-gpu", "numpy", "pillow", "pillow-heif", "fastapi", "uvicorn"),
    "pydantic",
)
RUNS = 5
HUB, HUB_S = "https://huggingface.co", 3.0


@click.command(cls=GroupedCommand)
@click.option("--json", "as_json", is_flag=True, help="as JSON")
@with_settings
def command(as_json: bool, **given: Any) -> int:  # noqa: ANN401 - every setting
    """Say what would be served here, or what is missing.

    The model is loaded and embeds one image as the service would, without opening a port. Status 0
    if the service would start with these settings, else 1.
    """
    report = examine(**given)
    click.echo(page(report, as_json=as_json))
    return console.FAILED if report["problems"] else 0


def examine(**given: Any) -> dict[str, Any]:  # noqa: ANN401 - as many types as there are settings
    """Everything there is to say; `problems` is empty if the service would start.

    Args:
        given: settings, such as `model`; the environment counts for the others.
    """
    report: dict[str, Any] = {
        "problems": [],
        "warnings": list(misspelt(os.environ)),
        "versions": versions(),
        "devices": {kind: devices.problem(kind) or "ok" for kind in devices.PROVIDERS},
        "gpus": gpus(),
        "surroundings": surroundings(),
        "cache": cache(given.get("home")),
    }
    try:
        settings = settings_from(**given)
    except SettingsError as error:
        report["problems"] = list(error.problems)
        return report
    report["settings"] = masked(settings)
    report["memory"] = memory(settings)
    try:
        chosen = devices.choose(settings.device)
        report["layout"] = layout(settings, chosen)
        report |= engine(settings)
    except (ArtifactError, DeviceError) as error:
        report["problems"].append(str(error))
    return report


def page(report: dict[str, Any], *, as_json: bool) -> str:
    """A report as a page for people, or as JSON."""
    return json.dumps(report, indent=2) if as_json else "\n".join(_lines(report))


def versions() -> dict[str, str]:
    """Python, the platform and the packages that matter."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def memory(settings: Settings) -> dict[str, Any]:
    """Bytes that the service may take and how they would be shared out; see `memory_plan`."""
    plan = memory_plan.make(settings, *memory_plan.usable_memory(), resources.usable_cores())
    return vars(plan) | {"fits": plan.fits(), "needed": plan.needed()}


def surroundings() -> dict[str, Any]:
    """The clock, and whether the hub answers; nothing of it keeps a service from starting.

    The hub is asked for nothing but an answer, whose date the clock is compared with.
    """
    endpoint = os.environ.get("HF_ENDPOINT") or HUB
    found: dict[str, Any] = {"utc": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        with urllib.request.urlopen(Request(endpoint, method="HEAD"), timeout=HUB_S) as answer:  # noqa: S310 - as the operator set it
            headers = answer.headers
    except HTTPError as error:
        headers = error.headers
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        found["hub"] = f"{endpoint} does not answer ({reason}); only published checkpoints need it"
        return found
    found["hub"] = f"{endpoint} answers"
    with contextlib.suppress(TypeError, ValueError):
        ahead = datetime.now(UTC) - parsedate_to_datetime(headers["Date"])
        found["clock_ahead_of_hub_s"] = round(ahead.total_seconds())
    return found


def cache(asked: str | None = None) -> dict[str, Any]:
    """The folder of models that `swin-embed` keeps: how many, how large, and whether it may write.

    Args:
        asked: the folder; None is `SWIN_HOME`, or the user's cache.
    """
    home = Path(asked or os.environ.get("SWIN_HOME") or default_home())
    there = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    return {
        "folder": str(home),
        "models": sum(1 for _ in (home / "models").glob("*.onnx")),
        "bytes": sum(file.stat().st_size for file in home.rglob("*") if file.is_file()),
        "writable": os.access(there, os.W_OK),
    }


def gpus() -> dict[str, str]:
    """What SWIN_DEVICE can name, and the GPU it is; nothing without a driver."""
    try:
        return {f"cuda:{number}": name for number, name in enumerate(devices.gpus())}
    except DeviceError:
        return {}


def layout(settings: Settings, chosen: Sequence[str]) -> dict[str, Any]:
    """Devices, cores, quota, and the streams, threads and sizes of runs that follow from them."""
    cores = resources.usable_cores()
    plan = vars(resources.plan(settings, chosen, cores))
    sizes = {} if chosen == ("cpu",) else {"batch_sizes": list(plan["gpu"].buckets)}
    return {
        "devices": list(chosen),
        "cores_of_the_machine": os.cpu_count(),
        "cores_by_affinity": len(os.sched_getaffinity(0)),
        "cgroup_cpu_quota": resources.cgroup_cpu_quota(),
        "cores_used": cores,
        "why": why(cores),
        **{name: value for name, value in plan.items() if name != "gpu"},
        **sizes,
    }


def why(cores: int) -> str:
    """What sets the number of cores, and with it the streams and threads where they are not set."""
    quota = resources.cgroup_cpu_quota()
    if quota is not None and cores < len(os.sched_getaffinity(0)):
        return f"a CPU quota of {quota:g} allows {cores} whole cores"
    return "all cores that this process may run on, as no quota is lower"


def engine(settings: Settings) -> dict[str, Any]:
    """The model card, and an embedding timed."""
    embedder = Embedder(settings, Metrics())
    buffer = io.BytesIO()
    Image.effect_noise((640, 480), 50).convert("RGB").save(buffer, "JPEG")
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        (future,) = embedder.submit([buffer.getvalue()], settings.request_timeout_s)
        embedding = future.result()
        times.append(time.perf_counter() - started)
    embedder.close()
    return {
        "model": {
            "path": str(settings.model),
            "digest": embedder.model.digest,
            "provider": embedder.model.provider,
            "card": embedder.card.model_dump(),
        },
        "timing": {
            "load_s": round(embedder.load_s, 4),
            "a_640_x_480_jpeg_s": round(sorted(times)[RUNS // 2], 4),
            "of_that_decode_s": round(embedding.decode_s, 4),
            "of_that_inference_s": round(embedding.inference_s, 4),
            "vector_norm": round(float(np.linalg.norm(embedding.vector)), 4),
        },
    }


def masked(settings: Settings) -> dict[str, str]:
    """The settings in force, by their names in the environment, without the secrets in them."""
    return {
        f"SWIN_{name.upper()}": _masked(value) for name, value in sorted(settings.__dict__.items())
    }


def _masked(value: object) -> str:
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, tuple):
        return ",".join(map(_masked, value))
    return "" if value is None else str(value)


def _lines(report: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in report.items():
        if isinstance(value, dict):
            heading = name if indent else console.bold(name)
            lines += [f"{indent}{heading}", *_lines(value, indent + "  ")]
        elif isinstance(value, list) and indent == "":
            told = [name, *(f"  {one}" for one in value)] if value else [f"{name}: none"]
            lines += [console.bold(line, "red" if value else "green") for line in told]
        else:
            lines.append(f"{indent}{name}: {value}")
    return lines
