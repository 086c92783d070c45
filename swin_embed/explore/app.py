"""The explorer's application: the page, and what it asks for.

Images are named by their number in the catalogue and by nothing else, so only files that the
collection names are read, and they leave only as JPEGs that were decoded and encoded here.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import playground
from service.errors import ServiceError
from service.types import Vector
from swin_embed.batch.duplicates import Found
from swin_embed.batch.errors import BatchError
from swin_embed.explore import selection
from swin_embed.explore.arrangement import Arrangement
from swin_embed.explore.catalog import Catalog
from swin_embed.explore.thumbnails import Thumbnails

PAGE = playground.read_files(Path(__file__).parent / "page")
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
        arrangement: their maps and clusters.
        thumbnails: their thumbnails.
        embed: gives the vector of an encoded image, of unit length.
        find: gives the duplicates from a cosine on.
        port: that it listens at, on the loopback interface.
    """
    app = FastAPI(openapi_url=None)
    compared: dict[float, Found] = {}
    comparing = threading.Lock()

    def one(number: int) -> int:
        if not 0 <= number < len(catalog.pictures):
            raise HTTPException(404, "no such image")
        return number

    @app.get("/")
    async def page(request: Request) -> Response:
        return playground.answer(request, PAGE["index.html"])

    @app.get("/page/{name}")
    async def file(request: Request, name: str) -> Response:
        return playground.answer(request, PAGE.get(name))

    app.get("/playground/{name}")(playground.file)

    @app.get("/api/images")
    def images() -> Response:
        return _json(catalog.table())

    @app.get("/api/state")
    def state() -> Response:
        return _json(arrangement.state())

    @app.get("/api/arrays/{name}")
    def array(name: Literal["pca", "umap", "clusters"]) -> Response:
        if not arrangement.has(name):
            raise HTTPException(404, "this is still being computed")
        return Response(
            arrangement.load(name).tobytes(), headers=HEADERS, media_type="application/octet-stream"
        )

    @app.get("/api/clusters")
    def clusters() -> Response:
        if not arrangement.has("clusters"):
            raise HTTPException(404, "this is still being computed")
        numbers, fit = arrangement.load("clusters"), arrangement.load("fit")
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

    @app.get("/api/apart")
    def apart() -> Response:
        if not arrangement.has("apart"):
            raise HTTPException(404, "this is still being computed")
        likeness = arrangement.load("apart")
        order = np.argsort(likeness, kind="stable")[:APART]
        return _json([order.tolist(), likeness[order].tolist()])

    @app.get("/api/duplicates")
    def duplicates(threshold: float) -> Response:
        with comparing:
            if threshold not in compared:
                compared.clear()
                compared[threshold] = find(threshold)
        number_of = {picture.id: n for n, picture in enumerate(catalog.pictures)}
        groups = sorted(compared[threshold].groups, key=lambda group: -group.spare)
        return _json(
            [
                {
                    "keep": number_of[group.keep.id],
                    "spare": group.spare,
                    "copies": [
                        [number_of[copy.picture.id], copy.cosine, copy.exact]
                        for copy in group.copies
                    ],
                }
                for group in groups
            ]
        )

    @app.get("/api/like/{number}")
    def like(number: int) -> Response:
        if one(number) >= len(catalog.vectors):
            raise HTTPException(404, "this image has no vector")
        return _json(catalog.nearest(np.array(catalog.vectors[number])))

    @app.post("/api/search")
    async def search(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                raise HTTPException(413, "the image is larger than 64 MiB")
        return await _in_thread(lambda: _json(catalog.nearest(embed(bytes(body)))))

    @app.post("/api/selection")
    def export(chosen: Chosen) -> Response:
        pictures = [catalog.pictures[one(number)] for number in chosen.images]
        content, name, kind = selection.write(pictures, chosen.form)
        headers = HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, headers=headers, media_type=kind)

    @app.get("/api/thumbnail/{number}")
    def thumbnail(number: int) -> Response:
        return _jpeg(thumbnails.of(catalog.pictures[one(number)]))

    @app.get("/api/image/{number}")
    def image(number: int) -> Response:
        return _jpeg(thumbnails.whole(catalog.pictures[one(number)]))

    @app.exception_handler(BatchError)
    @app.exception_handler(ServiceError)
    async def refused(request: Request, error: Exception) -> Response:
        return Response(str(error), 422, HEADERS, "text/plain; charset=utf-8")

    return OwnPagesOnly(app, port)


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


async def _in_thread(work: Callable[[], Response]) -> Response:
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(work)


def _json(content: Any) -> Response:  # noqa: ANN401 - whatever JSON can say
    # Bytes of a file's name that are no UTF-8 are surrogates, which orjson refuses.
    try:
        body = orjson.dumps(content)
    except TypeError:
        import json

        body = json.dumps(content).encode()
    return Response(body, headers=HEADERS, media_type="application/json")


def _jpeg(content: bytes | None) -> Response:
    if content is None:
        raise HTTPException(404, "this image cannot be read any more")
    return Response(content, headers=JPEG_HEADERS, media_type="image/jpeg")
