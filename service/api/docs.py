"""`GET /docs`: the OpenAPI document in Swagger UI, whose files are served from here, not elsewhere.

The package fastapi-swagger brings them. Addresses are relative: any prefix may stand before them.
"""

import asyncio
import base64
import functools
import hashlib
import os
import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import Receive, Scope, Send

router = APIRouter(tags=["docs"], include_in_schema=False)

ASSETS = "/docs/assets"

_contents = functools.cache(Path.read_bytes)


class FilesInMemory(StaticFiles):
    """Sends files from memory, in one piece, and to few clients at a time.

    A thousand clients that ask for 1.7 MB each, without a key, would otherwise take the event loop
    from everyone else.
    """

    def __init__(self) -> None:
        super().__init__(packages=[("fastapi_swagger", "resources")])
        self._turns = asyncio.Semaphore(2)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._turns:
            await super().__call__(scope, receive, send)

    def file_response(self, full_path: PathLike, *args: Any, **options: Any) -> Response:  # noqa: ANN401
        """The response that has the file's contents, or says that the client has them."""
        response = super().file_response(full_path, *args, **options)
        if not isinstance(response, FileResponse):
            return response
        headers = {name: response.headers[name] for name in ("content-type", "etag")}
        return Response(_contents(Path(os.fspath(full_path))), response.status_code, headers)


PAGE = bytes(
    get_swagger_ui_html(
        openapi_url="openapi.json",
        title="swin-embed",
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="docs/assets/favicon-32x32.png",
    ).body
)


def _hashes(page: bytes) -> str:
    """The sources of a policy that let a page's own inline scripts run, and no others."""
    scripts = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(script).digest()) for script in scripts)
    return " ".join(f"'sha256-{digest.decode()}'" for digest in digests)


HEADERS = {
    # Swagger UI has icons in data: addresses, and styles in the elements that it makes.
    "Content-Security-Policy": (
        f"default-src 'self'; script-src 'self' {_hashes(PAGE)}; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}


@router.get("/docs")
async def docs() -> HTMLResponse:
    """The page, which reads `/openapi.json`."""
    return HTMLResponse(PAGE, headers=HEADERS)
