"""Log lines for people, or for machines in the Elastic Common Schema (docs/decisions.md says why).

A record's `fields` (`extra={"fields": {...}}`) are for machines: keys of the line, whose `message`
may be shorter than what people read.
"""

import logging
import sys
import time

import orjson

from model_export import __version__
from service.settings import Settings

TOLD = 200
"""The most characters of a client's text in a log line."""

CHATTY = {"uvicorn.error": logging.WARNING}
"""Loggers of libraries that log too much at their own level."""


class EcsFormatter(logging.Formatter):
    """One JSON object a line, with ECS's names: time in UTC, level, message, any exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line of JSON."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "@timestamp": f"{moment}.{int(record.msecs):03d}Z",
            "log.level": record.levelname.lower(),
            "message": record.getMessage(),
            "ecs.version": "8.11.0",
            "log.logger": record.name,
            "service.name": "swin-embed",
            "service.version": __version__,
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error.type"] = record.exc_info[0].__name__
            line["error.message"] = str(record.exc_info[1])
            line["error.stack_trace"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def configure(form: str, level: str) -> None:
    """Send every log line of the process to standard error, as `console` text or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    console = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(EcsFormatter() if form == "json" else console)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, lowest in CHATTY.items():
        logging.getLogger(name).setLevel(max(lowest, logging.getLogger().level))


def limits(settings: Settings) -> str:
    """What requests may have, in one line."""
    keys = len(settings.api_keys)
    return (
        f"limits: requests of {settings.max_request_bytes / 2**20:.3g} MiB, "
        f"{settings.max_images_per_request} images, {settings.max_image_pixels / 1e6:g} megapixels "
        f"and {settings.request_timeout_s:g} s; {settings.max_queue_size} images wait, "
        f"{settings.max_connections} connections; "
        + (f"keys: {keys}" if keys else "open to everyone who can reach it")
    )


def harmless(text: str) -> str:
    """A client's text, cut, and escaped to one line of printable ASCII."""
    cut = text if len(text) <= TOLD else text[:TOLD] + "..."
    return cut.encode("unicode_escape").decode("ascii")
