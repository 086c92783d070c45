"""Grafana's dashboard as code: running this writes swin-embed.json beside it.

From top to bottom: is it well (golden signals), and if not, where (queue, batching, stages, model,
machine), and whether what comes in is what it used to be (drift).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 24, 8
SERVED = 'job="$job", instance=~"$instance"'
DOORS = SERVED + ', door!~"none|health|metrics|models|page|playground|docs|admin"'
SOURCE = {"type": "prometheus", "uid": "prometheus"}


@dataclass(frozen=True)
class Panel:
    """A panel, a `1 / columns` share of a row; `queries` are (PromQL, legend) pairs."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    text: str = ""


def rate(metric: str, by: str = "", where: str = SERVED) -> str:
    """Sum of a counter's rate."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{{{where}}}[$__rate_interval]))"


def quantiles(metric: str, where: str = SERVED) -> list[tuple[str, str]]:
    """Median, 95th and 99th percentile of a histogram."""
    return [
        (f"histogram_quantile({q}, {rate(metric + '_bucket', 'le', where)})", f"p{q * 100:g}")
        for q in (0.5, 0.95, 0.99)
    ]


def mean(metric: str, by: str = "") -> str:
    """Mean of a histogram's observations."""
    return f"{rate(metric + '_sum', by)} / {rate(metric + '_count', by)}"


def heatmap(title: str, metric: str, text: str) -> Panel:
    """How a histogram's observations are spread, over time."""
    query = f"sum by (le) (increase({metric}_bucket{{{SERVED}}}[$__rate_interval]))"
    return Panel(title, [(query, "{{le}}")], kind="heatmap", text=text)


def gauge(metric: str) -> str:
    """A gauge of the chosen instances."""
    return f"{metric}{{{SERVED}}}"


ROWS: dict[str, list[list[Panel]]] = {
    "Is it well?": [
        [
            Panel("Ready", [(gauge("swin_ready"), "{{instance}}")], kind="stat"),
            Panel(
                "Firing alerts",
                [('count(ALERTS{alertname=~"Swin.*", alertstate="firing"}) or vector(0)', "")],
                kind="stat",
            ),
            Panel(
                "Error budget burn (1 h)",
                [('swin:error_ratio:rate1h{job="$job"} / 0.005', "errors")],
                kind="stat",
                text="1 uses up the budget exactly; 14.4 wakes somebody",
            ),
            Panel(
                "Latency budget burn (1 h)",
                [('swin:slow_ratio:rate1h{job="$job"} / 0.01', "slow")],
                kind="stat",
            ),
        ],
        [
            Panel(
                "Requests by status",
                [(rate("swin_requests_total", "status", DOORS), "{{status}}")],
                "reqps",
            ),
            Panel("Request duration", quantiles("swin_request_duration_seconds", DOORS), "s"),
            Panel(
                "Images by outcome", [(rate("swin_images_total", "outcome"), "{{outcome}}")], "ops"
            ),
        ],
        [
            Panel("Requests by door", [(rate("swin_requests_total", "door"), "{{door}}")], "reqps"),
            Panel(
                "Turned away, by reason",
                [(rate("swin_rejected_total", "reason"), "{{reason}}")],
                "reqps",
            ),
            Panel("Requests in flight", [(gauge("swin_requests_in_flight"), "{{instance}}")]),
        ],
    ],
    "Queue and batching": [
        [
            Panel(
                "Queue, share of its capacity",
                [(f"{gauge('swin_queue_depth')} / {gauge('swin_queue_capacity')}", "{{instance}}")],
                "percentunit",
            ),
            Panel(
                "Waiting images",
                [
                    (gauge("swin_decode_depth"), "to be decoded {{instance}}"),
                    (
                        f"{gauge('swin_queue_depth')} - {gauge('swin_decode_depth')}",
                        "to be run {{instance}}",
                    ),
                ],
            ),
            Panel(
                "Streams busy",
                [
                    (gauge("swin_inference_streams_busy"), "busy {{instance}}"),
                    (gauge("swin_inference_streams"), "all {{instance}}"),
                ],
            ),
        ],
        [
            Panel("Runs", [(rate("swin_inference_runs_total", "outcome"), "{{outcome}}")], "ops"),
            Panel("Mean batch size", [(mean("swin_batch_size"), "images a run")]),
            heatmap("Batch size", "swin_batch_size", "images in a run"),
        ],
    ],
    "Stages": [
        [
            Panel(
                "Mean time in each stage",
                [(mean("swin_stage_duration_seconds", "stage"), "{{stage}}")],
                "s",
            ),
            *(
                Panel(
                    f"{stage.title()} time",
                    quantiles("swin_stage_duration_seconds", SERVED + f', stage="{stage}"'),
                    "s",
                )
                for stage in ("decode", "queue", "inference")
            ),
        ]
    ],
    "Model and machine": [
        [
            Panel(
                "Served model",
                [(gauge("swin_model_info"), "{{model}} {{precision}} {{provider}} {{digest}}")],
                kind="stat",
            ),
            Panel(
                "Model load",
                [(gauge("swin_model_load_duration_seconds"), "{{instance}}")],
                "s",
                "stat",
            ),
            Panel("Start", [(gauge("swin_start_duration_seconds"), "{{instance}}")], "s", "stat"),
            Panel(
                "Model reloads",
                [(f"increase(swin_model_reloads_total{{{SERVED}}}[1h])", "{{outcome}}")],
                kind="stat",
            ),
        ],
        [
            Panel(
                "Longest run under way",
                [(gauge("swin_inference_longest_run_seconds"), "{{instance}}")],
                "s",
            ),
            Panel(
                "Resident memory",
                [(gauge("process_resident_memory_bytes"), "{{instance}}")],
                "bytes",
            ),
            Panel(
                "CPU cores in use",
                [
                    (
                        f"rate(process_cpu_seconds_total{{{SERVED}}}[$__rate_interval])",
                        "{{instance}}",
                    )
                ],
            ),
            Panel("Open files", [(gauge("process_open_fds"), "{{instance}}")]),
        ],
        [
            Panel(
                "GPU utilisation",
                [(gauge("swin_gpu_utilization_ratio"), "{{instance}} GPU {{gpu}}")],
                "percentunit",
            ),
            Panel(
                "GPU memory",
                [
                    (gauge("swin_gpu_memory_used_bytes"), "used {{gpu}}"),
                    (gauge("swin_gpu_memory_bytes"), "all {{gpu}}"),
                ],
                "bytes",
            ),
            Panel(
                "Worker processes",
                [
                    (gauge("swin_workers"), "serving {{instance}}"),
                    (
                        f"increase(swin_worker_restarts_total{{{SERVED}}}[1h])",
                        "replaced in 1 h {{instance}}",
                    ),
                ],
                text="only with SWIN_WORKERS above 1; one that ends takes its connections along",
            ),
        ],
    ],
    "What comes in": [
        [
            Panel(
                "Distance from the last day, by signal",
                [('swin:input_drift:ks10m{job="$job"}', "{{signal}}")],
                "percentunit",
                text="0: as ever; over 0.3 for minutes: an upstream change, shown below",
            ),
            Panel(
                "Exact duplicates",
                [
                    (
                        rate("swin_image_duplicates_total")
                        + " / "
                        + rate("swin_image_sharpness_count"),
                        "share",
                    )
                ],
                "percentunit",
                text="the same file again and again: a client in a loop, a frozen camera",
            ),
            Panel("Formats", [(rate("swin_image_formats_total", "format"), "{{format}}")], "ops"),
        ],
        [
            heatmap(
                "Warmth (red - blue)", "swin_image_warmth", "mirrored at 0: red and blue swapped"
            ),
            heatmap("Saturation", "swin_image_saturation", "all at 0: grey pictures"),
            heatmap(
                "Sharpness", "swin_image_sharpness", "below 1: thumbnails scaled up, out of focus"
            ),
            heatmap("Brightness", "swin_image_brightness", "at an end: dark or washed-out frames"),
        ],
        [
            heatmap(
                "Aspect ratio", "swin_image_aspect_ratio", "squares from now on: somebody crops"
            ),
            heatmap("Image bytes", "swin_image_bytes", "smaller: stronger compression, thumbnails"),
            heatmap(
                "Image pixels", "swin_image_pixels", "smaller: thumbnails instead of originals"
            ),
        ],
        [
            heatmap("Vector norm", "swin_embedding_norm", "before normalisation"),
            heatmap(
                "Cosine to the mean vector",
                "swin_embedding_cosine",
                "lower: unlike what came before",
            ),
        ],
    ],
}


def panel(spec: Panel, number: int, position: dict[str, int]) -> dict[str, Any]:
    """A panel as Grafana keeps it."""
    options: dict[str, Any] = {}
    if spec.kind == "heatmap":
        options = {"calculate": False, "yAxis": {"unit": spec.unit}, "color": {"scheme": "Blues"}}
    return {
        "id": number,
        "type": spec.kind,
        "title": spec.title,
        "description": spec.text,
        "datasource": SOURCE,
        "gridPos": position,
        "fieldConfig": {
            "defaults": {"unit": spec.unit, "min": 0 if spec.kind == "timeseries" else None},
            "overrides": [],
        },
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": query,
                "legendFormat": legend,
                "exemplar": "_bucket" in query and spec.kind == "timeseries",
                "format": "heatmap" if spec.kind == "heatmap" else "time_series",
            }
            for index, (query, legend) in enumerate(spec.queries)
        ],
    }


def variable(name: str, query: str, *, several: bool) -> dict[str, Any]:
    """A choice at the top of the dashboard."""
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": query,
        "refresh": 2,
        "multi": several,
        "includeAll": several,
        "allValue": ".*" if several else None,
    }


def dashboard() -> dict[str, Any]:
    """The whole dashboard."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, lines in ROWS.items():
        position = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "gridPos": position,
                "panels": [],
            }
        )
        top += 1
        for line in lines:
            width = WIDTH // len(line)
            height = HEIGHT // 2 if all(spec.kind == "stat" for spec in line) else HEIGHT
            for column, spec in enumerate(line):
                position = {"h": height, "w": width, "x": column * width, "y": top}
                panels.append(panel(spec, len(panels) + 1, position))
            top += height
    return {
        "uid": "swin-embed",
        "title": "swin-embed",
        "tags": ["swin-embed"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                variable("job", "label_values(swin_ready, job)", several=False),
                variable(
                    "instance", 'label_values(swin_ready{job="$job"}, instance)', several=True
                ),
            ]
        },
        "panels": panels,
    }


def text() -> str:
    """The dashboard as Grafana reads it."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("swin-embed.json").write_text(text())
