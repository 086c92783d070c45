"""The doors that most requests are for, reached without FastAPI's routing."""

from collections.abc import Iterable

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import errors
from service.api.auth import admit
from service.observability import traces


class Direct:
    """Hands `POST` requests for some routes to their endpoints; FastAPI routes all others.

    Routing, solving dependencies and the layers that these take are a third of what the event loop
    does for a request (docs/decisions.md). FastAPI documents these routes as any other; the guard
    that they depend on there is `admit` here.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._routes = {route.path: route for route in routes if isinstance(route, APIRoute)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        posted = scope["type"] == "http" and scope["method"] == "POST"
        route = self._routes.get(scope["path"]) if posted else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        traces.name(f"POST {route.path}", route.path)
        request = Request(scope, receive)
        try:
            admit(request)
            response = await route.endpoint(request)
        except Exception as error:
            response = await errors.answer(request, error)
        await response(scope, receive, send)
