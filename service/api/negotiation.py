"""Reads `Accept`, `Content-Type` and `Content-Encoding`: which answer is wanted, what comes."""

from collections.abc import Sequence
from functools import lru_cache

from fastapi import Request

from service.errors import InvalidRequest

MAX_BYTES = 4096

CURL_DATA = "application/x-www-form-urlencoded"
"""What curl's --data-binary says of any body."""

UNTOLD = {"", "application/octet-stream", "binary/octet-stream", CURL_DATA}
"""Content types that leave the format open; the body's first bytes tell it."""


def accepted(request: Request) -> str:
    """The request's `Accept`; several lines of it are one list (RFC 9110, 5.3).

    Raises:
        InvalidRequest: it has more than `MAX_BYTES`.
    """
    header = ",".join(request.headers.getlist("accept"))
    if len(header) > MAX_BYTES:
        raise InvalidRequest(f"Accept has more than {MAX_BYTES} bytes", param="Accept")
    return header


def content_type(request: Request) -> str:
    """The media type that a request says its body has, in lower case; empty where it says none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def coding(request: Request) -> str:
    """The `Content-Encoding` of a request's body, in lower case; empty where it has none."""
    name = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    return "" if name == "identity" else name


@lru_cache(maxsize=64)
def best(header: str, offers: tuple[str, ...]) -> str | None:
    """The offer with the highest quality, the earliest among equals; None if none is acceptable.

    The most specific range that matches an offer decides its quality (RFC 9110, 12.5.1).
    """
    ranges = [_range(part) for part in header.split(",") if part.strip()]
    if not ranges:
        return offers[0]
    qualities = [_quality(offer, ranges) for offer in offers]
    highest = max(qualities)
    return offers[qualities.index(highest)] if highest > 0 else None


def _range(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return media_type, _number(value)
    return media_type, 1.0


def _number(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    for wanted in (offer, offer.partition("/")[0] + "/*", "*/*"):
        matching = [quality for media_type, quality in ranges if media_type == wanted]
        if matching:
            return max(matching)
    return 0.0
