"""A full queue's answer, before a request is routed: under overload it is most of the answers."""

from collections.abc import Mapping

from fastapi import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.answers import embedder
from service.api.auth import admit
from service.api.errors import service_error
from service.errors import QueueFull, ServiceError


class Refusing:
    """Answers requests of some doors with 429 where the queue is full; all else goes its way.

    Routing and the layers within it take twice as long as this.
    """

    def __init__(self, app: ASGIApp, doors: Mapping[str, BaseRoute]) -> None:
        self._app = app
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self._doors.get(scope["path"]) if scope["type"] == "http" else None
        if door is not None and scope["method"] == "POST":
            request = Request(scope)
            try:
                admit(request)
                embedder(request).check_room()
            except QueueFull as error:
                scope["route"] = door
                answer = await service_error(request, error)
                await answer(scope, receive, send)
                return
            except ServiceError:
                pass  # told by the door
        await self._app(scope, receive, send)
