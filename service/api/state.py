"""The state of the application, and the state of a request."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from service.engine.embedder import Embedder
from service.engine.lifecycle import Lifecycle
from service.engine.memory_budget import Charge, MemoryBudget
from service.observability.metrics import Metrics
from service.observability.metrics_page import MetricsPage
from service.settings import Settings

if TYPE_CHECKING:
    from service.api.fetch import Fetcher

KEY = "swin_embed"
"""Where a request's scope has its `RequestState`."""


@dataclass
class ServiceState:
    """The state of the application: `app.state.service`.

    Attributes:
        settings: of the service.
        metrics: shown by `/metrics`.
        lifecycle: has the embedder, and says whether the service is ready.
        budget: the memory that requests and answers may hold.
        reload: loads the model file again.
        metrics_page: writes the metrics for those who ask.
        fetcher: fetches images by URL, where the operator allows it.
    """

    settings: Settings
    metrics: Metrics
    lifecycle: Lifecycle
    budget: MemoryBudget
    reload: Callable[[], Awaitable[object]]
    metrics_page: MetricsPage = field(default_factory=MetricsPage)
    fetcher: "Fetcher | None" = None


@dataclass(frozen=True)
class Refusal:
    """An error that a client was answered with: its code, the part at fault, and its words."""

    code: str
    param: str | None
    message: str


@dataclass
class RequestState:
    """The state of a request, for its answer's headers, the log and the metrics.

    Attributes:
        id: the client's own identifier or a new one.
        charge: the memory that its body holds.
        received: bytes of its body that have come.
        images: how many there are in it.
        embedder: embeds them.
        stages: seconds in each stage, of the image that was longest in it.
        refusal: why it gets an error for an answer, where it does.
        due: when its answer is due, on the monotonic clock.
        abandon: ends its work; set while that is allowed.
    """

    id: str
    charge: Charge
    received: int = 0
    images: int = 0
    embedder: Embedder | None = None
    stages: dict[str, float] = field(default_factory=dict)
    refusal: Refusal | None = None
    due: float | None = None
    abandon: Callable[[], None] | None = None


def service_state(request: Mapping[str, Any]) -> ServiceState:
    """The state of the application, by a request or its scope."""
    state: ServiceState = request["app"].state.service
    return state


def request_state(request: Mapping[str, Any]) -> RequestState:
    """The state of a request, by the request or its scope."""
    state: RequestState = request[KEY]
    return state
