"""A queue in which requests take turns, so that a large one does not hold up those behind it."""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """What waits, by request. Whoever calls holds the lock of those who share it."""

    def __init__(self) -> None:
        self._requests: deque[deque[T]] = deque()

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._requests)

    def put(self, item: T, request: deque[T]) -> None:
        """Have an item wait behind those of its request that wait, which `request` holds."""
        if not request:
            self._requests.append(request)
        request.append(item)

    def first(self) -> T:
        """The item that is next."""
        return self._requests[0][0]

    def next(self) -> T:
        """Take the first item of the request whose turn it is."""
        request = self._requests.popleft()
        item = request.popleft()
        if request:
            self._requests.append(request)
        return item
