"""Grafana's dashboard as code: running this writes swin-embed.json beside it.

From top to bottom: is it well (golden signals), and if not, where (queue, batching, stages, model,
machine), and whether what comes in is what it used to be (drift). Rows for GPUs and for worker
processes are closed: a service without them has nothing to show there.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueTextMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

WIDTH, HEIGHT = 24, 8
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
SERVED = 'job="$job", instance=~"$instance"'
DOORS = SERVED + ', door!~"none|health|metrics|models|page|playground|docs|admin"'

Panel = timeseries.Panel | stat.Panel | heatmap.Panel
AnyPanel = TypeVar("AnyPanel", timeseries.Panel, stat.Panel, heatmap.Panel)
Query = tuple[str, str]
"""PromQL and a legend."""


def rate(metric: str, by: str = "", where: str = SERVED) -> str:
    """Sum of a counter's rate."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{{{where}}}[$__rate_interval]))"


def quantiles(metric: str, where: str = SERVED) -> list[Query]:
    """Median, 95th and 99th percentile of a histogram."""
    return [
        (f"histogram_quantile({q}, {rate(metric + '_bucket', 'le', where)})", f"p{q * 100:g}")
        for q in (0.5, 0.95, 0.99)
    ]


def mean(metric: str, by: str = "") -> str:
    """Mean of a histogram's observations."""
    return f"{rate(metric + '_sum', by)} / {rate(metric + '_count', by)}"


def gauge(metric: str) -> str:
    """A gauge of the chosen instances."""
    return f"{metric}{{{SERVED}}}"


def in_an_hour(counter: str) -> str:
    """What a counter grew by in the last hour."""
    return f"increase({counter}{{{SERVED}}}[1h])"


def lines(title: str, text: str, queries: Sequence[Query], unit: str = "short") -> timeseries.Panel:
    """Lines over time."""
    panel = timeseries.Panel().unit(unit).min(0)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    return _filled(panel, title, text, queries)


def number(
    title: str,
    text: str,
    query: Query,
    unit: str = "short",
    *,
    mode: BigValueTextMode = BigValueTextMode.AUTO,
    none: str = "-",
) -> stat.Panel:
    """The last value of a query, or the names of its series."""
    panel = stat.Panel().unit(unit).text_mode(mode).no_value(none)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return _filled(panel, title, text, [query])


def spread(title: str, metric: str, text: str) -> heatmap.Panel:
    """How a histogram's observations are spread, over time."""
    panel = heatmap.Panel().calculate(False)
    panel.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues"))
    query = f"sum by (le) (increase({metric}_bucket{{{SERVED}}}[$__rate_interval]))"
    return _filled(panel, title, text, [(query, "{{le}}")], form=PromQueryFormat.HEATMAP)


def _filled(
    panel: AnyPanel,
    title: str,
    text: str,
    queries: Sequence[Query],
    form: PromQueryFormat = PromQueryFormat.TIME_SERIES,
) -> AnyPanel:
    panel.title(title).description(text).datasource(SOURCE)
    for letter, (query, legend) in zip("ABC", queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(query)
        target.legend_format(legend).format(form)
        panel.with_target(
            target.exemplar("_bucket" in query and form is PromQueryFormat.TIME_SERIES)
        )
    return panel


ROWS: dict[str, list[list[Panel]]] = {
    "Is it well?": [
        [
            number(
                "Ready",
                "1: takes requests. 0: starting, draining or stuck (SwinNotReady).",
                (gauge("swin_ready"), "{{instance}}"),
            ),
            number(
                "Firing alerts",
                "Each has a section of its name in docs/operations.md.",
                (
                    'sum by (alertname) (ALERTS{job="$job", alertname=~"Swin.*", '
                    'alertstate="firing"})',
                    "{{alertname}}",
                ),
                mode=BigValueTextMode.NAME,
                none="none",
            ),
            number(
                "Error budget burn (1 h)",
                "1 uses up the month's budget of 0.5 % exactly; above 14.4 somebody is woken.",
                ('swin:error_ratio:rate1h{job="$job"} / 0.005', "errors"),
            ),
            number(
                "Latency budget burn (1 h)",
                "The same of the 1 % of requests that may take over a second.",
                ('swin:slow_ratio:rate1h{job="$job"} / 0.01', "slow"),
            ),
        ],
        [
            lines(
                "Requests by status",
                "Of the doors that embed. 499: the client left. 5xx count against the budget.",
                [(rate("swin_requests_total", "status", DOORS), "{{status}}")],
                "reqps",
            ),
            lines(
                "Request duration",
                "From a request's first byte to its answer's last. The dots are request ids: find "
                "them in the log.",
                quantiles("swin_request_duration_seconds", DOORS),
                "s",
            ),
            lines(
                "Images by outcome",
                "invalid: no image, or too large. refused: queue full. expired: not in time.",
                [(rate("swin_images_total", "outcome"), "{{outcome}}")],
                "ops",
            ),
        ],
        [
            lines(
                "Requests by door",
                "Who asks: embed, openai, open_inference and the like; health and metrics too.",
                [(rate("swin_requests_total", "door"), "{{door}}")],
                "reqps",
            ),
            lines(
                "Turned away, by reason",
                "The code of the error that the client was given.",
                [(rate("swin_rejected_total", "reason"), "{{reason}}")],
                "reqps",
            ),
            lines(
                "Requests in flight",
                "Being read, embedded or answered now.",
                [(gauge("swin_requests_in_flight"), "{{instance}}")],
            ),
        ],
    ],
    "Queue and batching": [
        [
            lines(
                "Queue, share of its capacity",
                "At 1 requests get 429. Above 0.8 for minutes: more replicas (SwinQueueNearFull).",
                [(f"{gauge('swin_queue_depth')} / {gauge('swin_queue_capacity')}", "{{instance}}")],
                "percentunit",
            ),
            lines(
                "Waiting images",
                "Many to be decoded: large images, too little CPU. Many to be run: the model.",
                [
                    (gauge("swin_decode_depth"), "to be decoded {{instance}}"),
                    (
                        f"{gauge('swin_queue_depth')} - {gauge('swin_decode_depth')}",
                        "to be run {{instance}}",
                    ),
                ],
            ),
            lines(
                "Streams busy",
                "All busy: the model is the limit. Few busy and a queue: the engine hangs.",
                [
                    (gauge("swin_inference_streams_busy"), "busy {{instance}}"),
                    (gauge("swin_inference_streams"), "all {{instance}}"),
                ],
            ),
        ],
        [
            lines(
                "Runs",
                "Runs of the model a second. Any failed one is in the log (SwinInferenceFailing).",
                [(rate("swin_inference_runs_total", "outcome"), "{{outcome}}")],
                "ops",
            ),
            lines(
                "Mean batch size",
                "On CPU 1 by design; on a GPU it grows with the load.",
                [(mean("swin_batch_size"), "images a run")],
            ),
            spread("Batch size", "swin_batch_size", "Images in a run."),
        ],
    ],
    "Stages": [
        [
            lines(
                "Mean time in each stage",
                "Where a slow request spends its time.",
                [(mean("swin_stage_duration_seconds", "stage"), "{{stage}}")],
                "s",
            ),
            *(
                lines(
                    f"{stage.title()} time",
                    text,
                    quantiles("swin_stage_duration_seconds", SERVED + f', stage="{stage}"'),
                    "s",
                )
                for stage, text in (
                    ("decode", "Bytes to pixels; grows with the size of images."),
                    ("queue", "Waiting; grows with the load."),
                    (
                        "inference",
                        "The run of the model; grows when cores are throttled or shared.",
                    ),
                )
            ),
        ]
    ],
    "Model and machine": [
        [
            number(
                "Served model",
                "Name, precision, provider, digest. More than one: a rollout is under way.",
                (
                    f"count by (model, precision, provider, digest) ({gauge('swin_model_info')})",
                    "{{model}} {{precision}} {{provider}} {{digest}}",
                ),
                mode=BigValueTextMode.NAME,
            ),
            number(
                "Model load",
                "Reading, building and warming up the model that is served.",
                (gauge("swin_model_load_duration_seconds"), "{{instance}}"),
                "s",
            ),
            number(
                "Start",
                "From the start of the process to the first request it took.",
                (gauge("swin_start_duration_seconds"), "{{instance}}"),
                "s",
            ),
            number(
                "Model reloads (1 h)",
                "A failed one leaves the old model serving (SwinReloadFailed).",
                (f"sum by (outcome) ({in_an_hour('swin_model_reloads_total')})", "{{outcome}}"),
            ),
        ],
        [
            lines(
                "Longest run under way",
                "Grows while the engine hangs (SwinEngineStuck).",
                [(gauge("swin_inference_longest_run_seconds"), "{{instance}}")],
                "s",
            ),
            lines(
                "Resident memory",
                "Model, streams, waiting bodies and images. A slope without load is a leak.",
                [(gauge("process_resident_memory_bytes"), "{{instance}}")],
                "bytes",
            ),
            lines(
                "Memory held for clients, share of its budget",
                "Bodies, waiting files, unread answers. Near 1 with 429s: more memory would help.",
                [
                    (
                        f"{gauge('swin_memory_held_bytes')} / {gauge('swin_memory_budget_bytes')}",
                        "{{instance}}",
                    )
                ],
                "percentunit",
            ),
            lines(
                "CPU cores in use",
                "Near the quota: the service is throttled.",
                [
                    (
                        f"rate(process_cpu_seconds_total{{{SERVED}}}[$__rate_interval])",
                        "{{instance}}",
                    )
                ],
            ),
            lines(
                "Open files",
                "Mostly connections (SwinOpenFiles).",
                [(gauge("process_open_fds"), "{{instance}}")],
            ),
        ],
    ],
    "What comes in": [
        [
            lines(
                "Distance from the day before, by signal",
                "0: as ever. Over 0.3 for minutes: something upstream changed, shown below.",
                [('swin:input_drift:ks10m{job="$job"}', "{{signal}}")],
                "percentunit",
            ),
            lines(
                "Exact duplicates",
                "The same file again and again: a client in a loop, a frozen camera.",
                [
                    (
                        rate("swin_image_duplicates_total")
                        + " / "
                        + rate("swin_image_sharpness_count"),
                        "share",
                    )
                ],
                "percentunit",
            ),
            lines(
                "Formats",
                "Decoded images by file format.",
                [(rate("swin_image_formats_total", "format"), "{{format}}")],
                "ops",
            ),
        ],
        [
            spread(
                "Warmth (red - blue)",
                "swin_image_warmth",
                "Mirrored at 0: red and blue are swapped.",
            ),
            spread("Saturation", "swin_image_saturation", "All at 0: grey pictures."),
            spread(
                "Sharpness",
                "swin_image_sharpness",
                "Below 1: thumbnails scaled up, out of focus.",
            ),
            spread("Brightness", "swin_image_brightness", "At an end: dark or washed-out frames."),
        ],
        [
            spread("Aspect ratio", "swin_image_aspect_ratio", "All squares: somebody crops."),
            spread("Image bytes", "swin_image_bytes", "Smaller: stronger compression, thumbnails."),
            spread(
                "Image pixels", "swin_image_pixels", "Smaller: thumbnails instead of originals."
            ),
        ],
        [
            spread("Vector norm", "swin_embedding_norm", "Before normalisation."),
            spread(
                "Cosine to the mean vector",
                "swin_embedding_cosine",
                "Lower: images unlike what came before.",
            ),
        ],
    ],
}

CLOSED_ROWS: dict[str, list[list[Panel]]] = {
    "GPUs (open where there are any)": [
        [
            lines(
                "GPU utilisation",
                "Low with a full queue: the GPU waits for decoding; give the service cores.",
                [(gauge("swin_gpu_utilization_ratio"), "{{instance}} GPU {{gpu}}")],
                "percentunit",
            ),
            lines(
                "GPU memory",
                "Full: smaller batches, or another process is there (SwinGpuMemoryFull).",
                [
                    (gauge("swin_gpu_memory_used_bytes"), "used {{gpu}}"),
                    (gauge("swin_gpu_memory_bytes"), "all {{gpu}}"),
                ],
                "bytes",
            ),
        ],
    ],
    "Worker processes (open where SWIN_WORKERS is above 1)": [
        [
            lines("Workers", "That serve now.", [(gauge("swin_workers"), "{{instance}}")]),
            lines(
                "Replaced in an hour",
                "A worker that ends takes its connections along (SwinWorkersEnding).",
                [(in_an_hour("swin_worker_restarts_total"), "{{instance}}")],
            ),
        ],
    ],
}


def _placed(rows: list[list[Panel]]) -> Iterator[Panel]:
    """The panels, each as wide as its line leaves room for; the builder puts them side by side."""
    for line in rows:
        height = HEIGHT // 2 if all(isinstance(panel, stat.Panel) for panel in line) else HEIGHT
        for panel in line:
            yield panel.span(WIDTH // len(line)).height(height)


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    return variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)


def build() -> dashboard.Dashboard:
    """The whole dashboard."""
    made = (
        dashboard.Dashboard("swin-embed")
        .uid("swin-embed")
        .description("Images to Swin Transformer embeddings: docs/operations.md")
        .tags(["swin-embed"])
        .refresh("10s")
        .time("now-1h", "now")
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        .with_variable(_variable("job", "Job", "label_values(swin_ready, job)"))
        .with_variable(
            _variable("instance", "Instance", 'label_values(swin_ready{job="$job"}, instance)')
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    )
    for title, rows in ROWS.items():
        made.with_row(dashboard.Row(title))
        for panel in _placed(rows):
            made.with_panel(panel)
    for title, rows in CLOSED_ROWS.items():
        row = dashboard.Row(title)
        for panel in _placed(rows):
            row.with_panel(panel)
        made.with_row(row)
    return made


def each_panel(made: models.Dashboard) -> Iterator[models.Panel | models.RowPanel]:
    """Rows and panels, those of closed rows too."""
    for panel in made.panels or []:
        yield panel
        if isinstance(panel, models.RowPanel):
            yield from panel.panels


def text() -> str:
    """The dashboard as Grafana reads it."""
    made = build().build()
    for identifier, panel in enumerate(each_panel(made), start=1):
        panel.id_val = identifier
    encoded: str = JSONEncoder(indent=1, sort_keys=True).encode(made)
    return encoded + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("swin-embed.json").write_text(text())
