"""The playground: a page at `/` and its files under `/playground/`, as they are in the folder."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.api import pages
from service.api.negotiation import accepted, best

router = APIRouter(tags=["playground"], include_in_schema=False)

FILES = pages.read_files(pages.PLAYGROUND)


@router.get("/")
async def page(request: Request) -> Response:
    """The page; where JSON is asked for, what KServe's protocol V1 has there."""
    if best(accepted(request), ("text/html", "application/json")) == "application/json":
        return JSONResponse({"status": "alive"}, headers={"Vary": "Accept"})
    return pages.answer(request, FILES.get("index.html"))


@router.get("/playground/{name}")
async def file(request: Request, name: str) -> Response:
    """A file that the page loads."""
    return pages.answer(request, FILES.get(name))
