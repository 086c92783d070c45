"""`GET /docs`: the OpenAPI document in Swagger UI, whose files are served from here, not elsewhere.

The package fastapi-swagger brings them. Addresses are relative: any prefix may stand before them.
"""

import base64
import hashlib
import importlib.resources
import re
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, Response

from service.api import pages

router = APIRouter(tags=["docs"], include_in_schema=False)

FILES = pages.read_files(Path(str(importlib.resources.files("fastapi_swagger") / "resources")))

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


@router.get("/docs/assets/{name}")
async def asset(request: Request, name: str) -> Response:
    """A file that the page loads."""
    return pages.answer(request, FILES.get(name))
