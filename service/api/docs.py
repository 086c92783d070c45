"""`GET /docs`: the OpenAPI document in Swagger UI, whose files are served from here, not elsewhere.

They are of the npm package swagger-ui-dist 5.35.0 (Apache-2.0), unchanged.
"""

from pathlib import Path

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

router = APIRouter(tags=["docs"], include_in_schema=False)

ASSETS = "/docs/assets"

files = StaticFiles(directory=Path(__file__).parents[1] / "swagger_ui")


@router.get("/docs")
async def docs() -> HTMLResponse:
    """The page, which reads `/openapi.json`."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="swin-embed",
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS}/favicon-32x32.png",
    )
