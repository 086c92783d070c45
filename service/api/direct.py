"""Routes that read their requests by themselves."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.api.auth import admit


class Direct(APIRoute):
    """A route whose endpoint gets the request as it came, once its key has been looked at.

    FastAPI documents it as any other, but does not solve parameters and dependencies for it, which
    took 55 us of each request (docs/decisions.md). So the guard that it is included with is only
    its documentation: `admit` is what keeps others out.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""

        async def handle(request: Request) -> Response:
            admit(request)
            response: Response = await self.endpoint(request)
            return response

        return handle
