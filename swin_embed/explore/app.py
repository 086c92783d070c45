"""The explorer's application: the page, and what it asks for.

Images are named by their number in the catalogue and by nothing else, so only files that the
collection names are read, and they leave only as JPEGs that were decoded and encoded here.
"""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import pages
from service.errors import ServiceError
from service.types import Vector
from swin_embed.batch.duplicates import Found
from swin_embed.batch.errors import BatchError
from swin_embed.explore import selection
from swin_embed.explore.arrangement import Arrangement
from swin_embed.explore.catalog import Catalog
from swin_embed.explore.thumbnails import Thumbnails

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
JPEG_HEADERS = {"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"}
TYPICAL, ODD, APART = 8, 4, 500
MOST_BYTES = 64 * 1024 * 1024


class Chosen(BaseModel):
    """A selection to be written to a file."""

    form: Literal["paths", "csv", "parquet"]
    images: list[int]


def create(
    catalog: Catalog,
    arrangement: Arrangement,
    thumbnails: Thumbnails,
    embed: Callable[[bytes], Vector],
    find: Callable[[float], Found],
    port: int,
) -> ASGIApp:
    """The application.

    Args:
        catalog: the images.
        arrangement: their map and clusters.
        thumbnails: their thumbnails.
        embed: gives the vector of an encoded image, of unit length.
        find: gives the duplicates from a cosine on.
        port: that it listens at, on the loopback interface.
    """
    explorer = Explorer(catalog, arrangement, thumbnails, embed, find)
    routes = [
        Route("/", explorer.page),
        Route("/page/{name}", explorer.file),
        Route("/playground/{name}", explorer.file),
        Route("/api/images", explorer.images),
        Route("/api/files", explorer.files),
        Route("/api/state", explorer.state),
        Route("/api/arrays/{name}", explorer.array),
        Route("/api/clusters", explorer.clusters),
        Route("/api/apart", explorer.apart),
        Route("/api/duplicates", explorer.duplicates),
        Route("/api/like/{number:int}", explorer.like),
        Route("/api/search", explorer.search, methods=["POST"]),
        Route("/api/selection", explorer.selection, methods=["POST"]),
        Route("/api/thumbnail/{number:int}", explorer.thumbnail),
        Route("/api/image/{number:int}", explorer.image),
    ]
    app = Starlette(
        routes=routes, exception_handlers={BatchError: _refused, ServiceError: _refused}
    )
    return OwnPagesOnly(app, port)


class Explorer:
    """What answers; the arguments are those of `create`."""

    def __init__(
        self,
        catalog: Catalog,
        arrangement: Arrangement,
        thumbnails: Thumbnails,
        embed: Callable[[bytes], Vector],
        find: Callable[[float], Found],
    ) -> None:
        self._catalog = catalog
        self._arrangement = arrangement
        self._thumbnails = thumbnails
        self._embed = embed
        self._find = find
        self._files = pages.read_files(Path(__file__).parent / "page")
        self._shared = pages.read_files(pages.PLAYGROUND)
        self._compared: dict[float, list[dict[str, Any]]] = {}
        self._comparing = threading.Lock()

    async def page(self, request: Request) -> Response:
        return pages.answer(request, self._files["index.html"])

    async def file(self, request: Request) -> Response:
        files = self._files if request.url.path.startswith("/page/") else self._shared
        return pages.answer(request, files.get(request.path_params["name"]))

    def images(self, request: Request) -> Response:
        return _response(self._catalog.table(), "application/json")

    def files(self, request: Request) -> Response:
        return _json(self._catalog.files())

    def state(self, request: Request) -> Response:
        return _json(self._arrangement.state())

    def array(self, request: Request) -> Response:
        content = self._array(request.path_params["name"]).tobytes()
        return _response(content, "application/octet-stream")

    def clusters(self, request: Request) -> Response:
        numbers, fit = self._array("clusters"), self._array("fit")
        found = []
        for number in range(int(numbers.max()) + 1):
            members = np.flatnonzero(numbers == number)
            order = members[np.argsort(fit[members])[::-1]]
            found.append(
                {
                    "count": len(members),
                    "typical": order[:TYPICAL].tolist(),
                    "odd": order[TYPICAL:][::-1][:ODD].tolist(),
                }
            )
        return _json(found)

    def apart(self, request: Request) -> Response:
        likeness = self._array("apart")
        order = np.argsort(likeness, kind="stable")[:APART]
        return _json([order.tolist(), likeness[order].tolist()])

    def duplicates(self, request: Request) -> Response:
        try:
            threshold = float(request.query_params["threshold"])
        except (KeyError, ValueError):
            raise HTTPException(422, "threshold has to be a number") from None
        with self._comparing:  # one comparison at a time, and the last is kept
            if threshold not in self._compared:
                self._compared = {threshold: self._groups(self._find(threshold))}
            return _json(self._compared[threshold])

    def like(self, request: Request) -> Response:
        number = self._number(request)
        if number >= len(self._catalog.vectors):
            raise HTTPException(404, "this image has no vector")
        return _json(self._catalog.nearest(np.array(self._catalog.vectors[number])))

    async def search(self, request: Request) -> Response:
        image = await _body(request, "the image")
        vector = await run_in_threadpool(self._embed, image)
        return _json(await run_in_threadpool(self._catalog.nearest, vector))

    async def selection(self, request: Request) -> Response:
        try:
            chosen = Chosen.model_validate_json(await _body(request, "the selection"))
        except ValidationError as error:
            raise HTTPException(422, f"this is no selection: {error}") from None
        return await run_in_threadpool(self._written, chosen)

    def thumbnail(self, request: Request) -> Response:
        return _jpeg(self._thumbnails.of(self._catalog.picture(self._number(request))))

    def image(self, request: Request) -> Response:
        return _jpeg(self._thumbnails.whole(self._catalog.picture(self._number(request))))

    def _number(self, request: Request) -> int:
        return self._one(request.path_params["number"])

    def _one(self, number: int) -> int:
        if not 0 <= number < self._catalog.count:
            raise HTTPException(404, "no such image")
        return number

    def _array(self, name: str) -> Any:  # noqa: ANN401 - of any type of number
        if not self._arrangement.has(name):
            raise HTTPException(404, "this is still being computed")
        return self._arrangement.load(name)

    def _groups(self, found: Found) -> list[dict[str, Any]]:
        number_of = self._catalog.numbers()
        return [
            {
                "keep": number_of[group.keep.id],
                "spare": group.spare,
                "copies": [
                    [number_of[copy.picture.id], copy.cosine, copy.exact] for copy in group.copies
                ],
            }
            for group in sorted(found.groups, key=lambda group: -group.spare)
        ]

    def _written(self, chosen: Chosen) -> Response:
        pictures = [self._catalog.picture(self._one(number)) for number in chosen.images]
        content, name, kind = selection.write(pictures, chosen.form)
        answer = _response(content, kind)
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer


class OwnPagesOnly:
    """Answers only who asked for this very address, and, where something may change or be computed,
    only the page itself: a name that another site points at this machine gets nothing, and neither
    do that site's own pages."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{host}:{port}".encode() for host in ("127.0.0.1", "localhost", "[::1]")}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            foreign = headers.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}
            if (
                headers.get(b"host", b"").lower() not in self._hosts
                or headers.get(b"origin", next(iter(self._origins))) not in self._origins
                or (foreign and scope["path"] != "/")
            ):
                await Response("not for other sites", 403, HEADERS)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _body(request: Request, what: str) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"{what} is larger than 64 MiB")
    return bytes(body)


async def _refused(request: Request, error: Exception) -> Response:
    return Response(str(error), 422, HEADERS, "text/plain; charset=utf-8")


def _json(content: object) -> Response:
    return _response(json.dumps(content).encode(), "application/json")


def _response(content: bytes, media_type: str) -> Response:
    return Response(content, headers=HEADERS, media_type=media_type)


def _jpeg(content: bytes | None) -> Response:
    if content is None:
        raise HTTPException(404, "this image cannot be read any more, or is another by now")
    return Response(content, headers=JPEG_HEADERS, media_type="image/jpeg")
