"""The log line and the trace attributes of an answered request."""

import logging
from collections.abc import Mapping

from service.api.state import Refusal, RequestState
from service.errors import InternalError
from service.observability import logs, traces

QUIET = {"docs", "health", "metrics", "playground"}
"""Doors whose requests are logged at debug level only: probes, scrapes, files of pages."""

logger = logging.getLogger(__name__)


def log_request(
    state: RequestState,
    method: str,
    where: Mapping[str, str],
    door: str,
    status: int,
    seconds: float,
) -> None:
    """One line for an answered request, of quiet doors only at debug level.

    Successes are at info level, errors at warning, so that SWIN_LOG_LEVEL=warning logs errors
    only. A client's text is cut and escaped.

    Args:
        state: what the request carries.
        method: of HTTP.
        where: `http.route`, the template of the route that took it, or `url.path` without one.
        door: whose route it is.
        status: of the answer.
        seconds: from the first byte of the request to the last of its answer.
    """
    level = logging.INFO if status < 400 else logging.WARNING
    if status == InternalError.status:  # which is answered once this is written
        level = logging.ERROR
        state.refusal = Refusal(InternalError.code, None, "a bug, whose traceback is in the log")
    elif door in QUIET:
        level = logging.DEBUG
    if not logger.isEnabledFor(level):
        return
    where = {name: logs.harmless(text) for name, text in where.items()}
    milliseconds = {stage: f"{spent * 1000:.1f}" for stage, spent in state.stages.items()}
    words: dict[str, object] = {
        "images": state.images,
        "bytes": state.received,
        "ms": f"{seconds * 1000:.1f}",
        **milliseconds,
        "id": state.id,
    }
    fields: dict[str, object] = {
        "http.request.method": method,
        **where,
        "http.response.status_code": status,
        "http.request.id": state.id,
        "http.request.body.bytes": state.received,
        "event.duration": round(seconds * 1e9),
        "swin.door": door,
        "swin.images": state.images,
        **{f"swin.{stage}_ms": float(spent) for stage, spent in milliseconds.items()},
    }
    told = [method, *where.values(), str(status)]
    reason = []
    if trace := traces.trace_id():
        words["trace"] = fields["trace.id"] = trace
    if (refusal := state.refusal) is not None:
        message = logs.harmless(refusal.message)
        told.append(refusal.code)
        fields["error.code"] = refusal.code
        if refusal.param is not None:
            fields["swin.param"] = logs.harmless(refusal.param)
            told.append(logs.harmless(refusal.param))
        if message:
            fields["error.message"] = message
            reason = [f"({message})"]
    fields["message"] = " ".join(told)
    told += [*reason, *(f"{name}={value}" for name, value in words.items())]
    logger.log(level, "%s", " ".join(told), extra={"fields": fields})


def trace_attributes(state: RequestState) -> dict[str, str | int]:
    """Attributes of a request's span, besides the standard ones for HTTP."""
    told: dict[str, str | int] = {"swin.request_id": state.id, "swin.images": state.images}
    if state.embedder is not None:
        model = state.embedder.model
        told |= {
            "swin.model": model.card.name,
            "swin.precision": model.card.precision,
            "swin.digest": model.digest,
        }
    if state.refusal is not None:
        told["swin.error_code"] = state.refusal.code
        if state.refusal.param is not None:
            told["swin.param"] = state.refusal.param
    return told
