"""Every setting, once: from `SWIN_*` in the environment or the flag of the same name."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "SWIN_"

DEVICE = re.compile(r"auto|cpu|(cuda|tensorrt)(:\d+)?")

Growth = Literal["requested", "doubled"]


def _split(value: object) -> object:
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


def device_names(asked: str) -> tuple[str, ...]:
    """The devices in a value of `SWIN_DEVICE`, such as `cuda:0,cuda:1`.

    Raises:
        ValueError: it is none; the message says what would be.
    """
    names = tuple(part.strip() for part in asked.split(","))
    kinds = {name.partition(":")[0] for name in names}
    if not all(map(DEVICE.fullmatch, names)) or len(kinds) > 1 < len(names):
        raise ValueError("auto, cpu, cuda or tensorrt; or GPUs of one kind: cuda:0,cuda:1")
    if len({int(name.partition(":")[2] or 0) for name in names}) < len(names):
        raise ValueError("a device is named twice; SWIN_STREAMS says how many runs it does at once")
    return names


def _checked_device(value: str) -> str:
    device_names(value)
    return value


def default_home() -> Path:
    """Where models are kept unless `SWIN_HOME` says otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "swin-embed")


def default_tensorrt_cache() -> Path:
    """Where TensorRT's engines are kept unless `SWIN_TENSORRT_CACHE` says otherwise."""
    return default_home() / "tensorrt"


Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Positive = Annotated[int, Field(gt=0)]
Device = Annotated[str, AfterValidator(_checked_device)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Model(BaseModel):
    """What is served."""

    model: Path | None = Field(None, description="path of the .onnx file to serve")
    home: Path = Field(
        default_factory=default_home,
        description="folder where `swin-embed` keeps the models it made (default: swin-embed in "
        "the user's cache)",
    )


class Address(BaseModel):
    """Where it is served."""

    host: str = Field(
        "127.0.0.1", description="address to listen on, or several, comma-separated: 0.0.0.0,::"
    )
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 picks a free one")

    grpc_port: int | None = Field(
        None, ge=0, le=65535, description="port for gRPC; 0 picks a free one (default: no gRPC)"
    )


class Speed(BaseModel):
    """How much is done at once, and on what."""

    workers: Positive = Field(
        1,
        description="processes that accept and decode; above 1 there is one more, which runs the "
        "model for all, and they share max_queue_size and max_connections evenly",
    )
    device: Device = Field(
        "auto",
        description="where to run: auto, cpu, cuda, tensorrt, or GPUs by number such as "
        "cuda:0,cuda:1; anything but auto fails at start if it can't be had",
    )
    streams: Positive | None = Field(
        None, description="runs of the model at once (default: one per CPU core, 2 per GPU)"
    )
    threads_per_stream: Positive | None = Field(
        None,
        description="CPU threads of one run (default on CPU: 1, but all cores for a run while "
        "nothing else is to do, which takes a second copy of the weights)",
    )
    max_batch_size: Positive | None = Field(
        None, description="most images in one run of the model (default: 1 on CPU, 32 on GPU)"
    )
    fixed_batch: bool = Field(
        False,
        description="on a GPU, pad every run to max_batch_size instead of the next power of two, "
        "so that a vector has the same bits whatever the load",
    )
    cuda_graphs: bool = Field(
        False,
        description="on a GPU, record each size of run at start and replay it; the weights are "
        "then held once a stream",
    )
    gpu_memory_bytes: Positive | None = Field(
        None, description="memory that onnxruntime may take of each GPU (default: all)"
    )
    gpu_arena: Growth = Field(
        "requested", description="how onnxruntime's GPU memory grows: as requested, or by doubling"
    )
    tensorrt_cache: Path = Field(
        default_factory=default_tensorrt_cache,
        description="folder of TensorRT's engines, which take minutes to build (default: "
        "swin-embed/tensorrt in the user's cache)",
    )
    max_queue_delay_ms: float = Field(
        0, ge=0, allow_inf_nan=False, description="how long a batch may wait to fill up"
    )
    max_queue_size: Positive = Field(
        512,
        description="most images that wait; further requests get 429; unless set, room for a full "
        "request for each worker at least",
    )


class Images(BaseModel):
    """What is made of an image."""

    preprocess: Literal["fast", "exact"] = Field(
        "fast",
        description="exact resamples every pixel; fast decodes large JPEGs at a fraction of their "
        "size and averages large images down first (embedding cosine to exact at least 0.9999 on "
        "photos; less on stripes and grids a few pixels wide)",
    )
    color_profiles: Literal["ignore", "apply"] = Field(
        "ignore",
        description="what is done with an image's colour profile: nothing, as timm and torchvision "
        "do, or apply, which makes its colours sRGB, as browsers show them; vectors of the two do "
        "not mix",
    )


class Limits(BaseModel):
    """What a request may take."""

    request_timeout_s: Seconds = Field(30, description="a request is answered within this time")
    read_timeout_s: Seconds = Field(
        20,
        description="a request's head arrives within this time; bodies and answers move at 500 "
        "bytes/s or more in any span of this length",
    )
    transfer_timeout_s: Seconds = Field(
        300, description="a request's body, and its answer, are through within this time"
    )
    keep_alive_s: Seconds = Field(
        75, description="an idle connection is kept; longer than load balancers keep theirs"
    )
    max_connections: Positive = Field(
        1000, description="open connections; more get 503, unless idle ones can make room"
    )
    drain_seconds: float = Field(
        0,
        ge=0,
        allow_inf_nan=False,
        description="after SIGTERM, go on serving this long while not ready",
    )
    shutdown_grace_s: Seconds = Field(
        30, description="after that, time for requests in flight to finish"
    )
    stall_exit_s: Seconds = Field(
        60, description="exit with status 1 after the engine made no progress for this long"
    )
    max_request_bytes: Positive = Field(16 * 1024 * 1024, description="largest request body")
    memory_budget_bytes: Positive | None = Field(
        None,
        description="what request bodies, messages, waiting files and unread answers may hold; "
        "beyond it requests get 429 (default: a third of what the model and images that are being "
        "decoded leave of the memory there is, for each byte is there three times while it is "
        "parsed)",
    )
    max_image_pixels: Positive = Field(64_000_000, description="largest image, width x height")
    max_images_per_request: Positive = Field(
        256,
        description="most images in one request; unless set, no more than max_queue_size / workers",
    )


class Access(BaseModel):
    """Who may do what."""

    allow_image_urls: bool = Field(False, description="fetch images that requests name by URL")
    image_url_hosts: Names = Field(
        (),
        description="comma-separated hosts to fetch from, host:port for ports but 80 and 443; "
        "* is any public host",
    )
    image_url_timeout_s: Seconds = Field(10, description="an image is fetched within this time")

    api_keys: Secrets = Field(
        (), description="comma-separated keys, one of which callers must send (default: open)"
    )
    protect_metrics: bool = Field(False, description="ask for a key at /metrics too")
    model_aliases: Names = Field(
        (), description="comma-separated other names of the model that requests may use"
    )
    root_path: str = Field(
        "",
        pattern=r"^(/[^/?#\s]+)*$",
        description="path that a reverse proxy serves this under, such as /swin",
    )
    admin: bool = Field(False, description="serve POST /admin/reload, which loads the model again")
    cors_origins: Names = Field(
        (), description="comma-separated web origins whose pages may call, or *"
    )


class Logs(BaseModel):
    """What is written down."""

    log_format: Literal["console", "json"] = Field("console", description="format of the log")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="lowest level that is logged"
    )


class Settings(Logs, Access, Limits, Images, Speed, Address, Model, BaseSettings):
    """All of them. The classes above are the groups that `--help` shows, and come last first here,
    as pydantic takes their fields."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    @property
    def hosts(self) -> list[str]:
        """The addresses of `host`, of which there is one at least."""
        return [host.strip() for host in self.host.split(",")]

    @field_validator(
        "device",
        "gpu_arena",
        "preprocess",
        "color_profiles",
        "log_format",
        "log_level",
        mode="before",
    )
    @classmethod
    def _words_have_no_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _a_full_request_fits_the_queue(self) -> Self:
        """Of the two limits the one that was not set follows the other."""
        if "max_queue_size" not in self.model_fields_set:
            room = max(self.max_queue_size, self.max_images_per_request * self.workers)
            object.__setattr__(self, "max_queue_size", room)  # it is frozen for everyone else
        elif "max_images_per_request" not in self.model_fields_set:
            most = min(self.max_images_per_request, max(1, self.max_queue_size // self.workers))
            object.__setattr__(self, "max_images_per_request", most)
        if self.max_images_per_request > self.max_queue_size // self.workers:
            shared = f" / SWIN_WORKERS ({self.workers})" if self.workers > 1 else ""
            raise ValueError(
                f"SWIN_MAX_IMAGES_PER_REQUEST ({self.max_images_per_request}) exceeds "
                f"SWIN_MAX_QUEUE_SIZE ({self.max_queue_size}){shared}: such a request could never "
                "be admitted"
            )
        return self

    @model_validator(mode="after")
    def _workers_can_do_it(self) -> Self:
        if self.workers > self.max_connections:
            raise ValueError(
                f"SWIN_WORKERS ({self.workers}) exceeds SWIN_MAX_CONNECTIONS "
                f"({self.max_connections}): some could not have a single connection"
            )
        if self.workers > 1 and not hasattr(os, "memfd_create"):
            raise ValueError("SWIN_WORKERS above 1 needs Linux")
        if self.workers > 1 and self.grpc_port is not None:
            raise ValueError("SWIN_GRPC_PORT needs SWIN_WORKERS=1: gRPC is in one process only")
        return self

    @model_validator(mode="after")
    def _images_come_from_somewhere(self) -> Self:
        if self.allow_image_urls and not self.image_url_hosts:
            raise ValueError("SWIN_ALLOW_IMAGE_URLS needs SWIN_IMAGE_URL_HOSTS")
        return self

    @model_validator(mode="after")
    def _metrics_are_protected_by_something(self) -> Self:
        if self.protect_metrics and not self.api_keys:
            raise ValueError("SWIN_PROTECT_METRICS needs SWIN_API_KEYS")
        return self
