"""Pages whose files lie in a folder: read once, sent with a policy that lets nothing else in."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

PLAYGROUND = Path(__file__).parents[1] / "playground"
"""The playground's files; other pages load some of them too."""

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
HEADERS = {
    # File names don't change with their content, so browsers ask each time and mostly get a 304.
    "Cache-Control": "no-cache",
    # blob: is for the thumbnails of images that the user chose, which never become a URL of ours.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",  # at `/` there is JSON too
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class File:
    """A file of the page, with the headers it is sent with."""

    body: bytes
    headers: dict[str, str]


def _read(path: Path) -> File:
    body = path.read_bytes()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return File(body, HEADERS | {"Content-Type": MEDIA_TYPES[path.suffix], "ETag": etag})


def read_files(folder: Path) -> dict[str, File]:
    """The files of a page by name."""
    return {path.name: _read(path) for path in folder.iterdir() if path.suffix in MEDIA_TYPES}


def answer(request: Request, found: File | None) -> Response:
    """A file, or 304 where the client has it; 404 for none."""
    if found is None:
        raise HTTPException(404, "Not Found")
    if found.headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=found.headers)
    return Response(found.body, headers=found.headers)
