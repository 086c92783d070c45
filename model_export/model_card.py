"""The model card: what an artifact says about itself, and all that the service believes.

It travels inside the ONNX file, as JSON under `METADATA_KEY` in `metadata_props`. This module is
the one contract between `model_export`, which writes it, and `service`, which reads it; it needs
pydantic and nothing else, so that reading a card needs neither onnx nor torch.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveFloat, model_validator

METADATA_KEY = "swin_model_card"

PIXELS = "pixels"
"""Name of the artifact's input: uint8 `[batch, height, width, 3]`, RGB."""

EMBEDDING = "embedding"
"""Name of the artifact's output: float32 `[batch, embedding_dim]`, not L2-normalised."""

LOGITS = "logits"
"""Name of the classifier's output, where asked for: float32 `[batch, classes]`."""


def feature_map(stride: int) -> str:
    """Name of a stage's output, where asked for: float32 `[batch, C, height, width]`."""
    return f"features_stride{stride}"


Channels = tuple[float, float, float]
Precision = Literal["fp32", "fp16", "int8"]
ColorProfiles = Literal["ignore", "apply"]


class _Card(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Preprocessing(_Card):
    """How an image becomes the pixels the network was trained on.

    Resize so that the short side is `resize` pixels (`short_side`; the long side is rounded down)
    or to a `resize` x `resize` square whatever the aspect ratio (`stretch`), then cut `crop` x
    `crop` pixels from the centre. Where the centre falls between two pixels, `crop_offset` says
    which: the one with an even number (`nearest`, as torchvision and so timm), or the one before
    (`down`, as transformers). `mean` and `std` are of RGB in [0, 1]; they are folded into the
    artifact's weights and stand here as a record. `color_profiles` says what is done with those of
    image files: nothing, as timm and torchvision do, or their colours become sRGB. A service's own
    setting takes its place.
    """

    resize: Annotated[int, Field(gt=0)]
    resize_mode: Literal["short_side", "stretch"] = "short_side"
    crop: Annotated[int, Field(gt=0)]
    crop_offset: Literal["nearest", "down"] = "nearest"
    interpolation: Literal["bicubic", "bilinear", "lanczos"] = "bicubic"
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    color_profiles: ColorProfiles = "ignore"

    @model_validator(mode="after")
    def _crop_from_within(self) -> Self:
        if self.crop > self.resize:
            raise ValueError(f"crops of {self.crop} from images resized to {self.resize}")
        return self

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that an upright image of this size is resized to."""
        if self.resize_mode == "stretch":
            return self.resize, self.resize
        if width <= height:
            return self.resize, int(self.resize * height / width)
        return int(self.resize * width / height), self.resize

    def offset(self, length: int) -> int:
        """Pixels before the crop along a side of the resized image that is `length` long."""
        margin = length - self.crop
        return margin // 2 if self.crop_offset == "down" else round(margin / 2)


class Weights(_Card):
    """Where the weights came from; `sha256` is of the checkpoint file, or of seeded tensors."""

    source: str
    sha256: str
    revision: str | None = None


class Verification(_Card):
    """What the exporter measured: the artifact in onnxruntime against a reference.

    Of fp32 the reference is float64 NumPy, of fp16 and int8 the same network in fp32.
    """

    reference: str
    images: int
    max_relative_difference: float
    mean_cosine: float
    worst_cosine: float


class Output(_Card):
    """A float32 output besides the embedding; `shape` leaves out the batch, its first axis."""

    name: str
    shape: tuple[int, ...]
    description: str


class ModelCard(_Card):
    """Everything the service needs to know about an artifact."""

    name: str
    architecture: str
    embedding_dim: Annotated[int, Field(gt=0)]
    image_size: Annotated[int, Field(gt=0)]
    patch_size: Annotated[int, Field(gt=0)]
    preprocessing: Preprocessing
    precision: Precision
    weights: Weights
    pretrained: bool
    licence: str | None = None
    outputs: tuple[Output, ...] = ()
    exporter: str
    verification: Verification
    notes: tuple[str, ...] = ()

    def with_color_profiles(self, policy: ColorProfiles) -> Self:
        """The card of a service with another policy for colour: its vectors are others."""
        recipe = self.preprocessing.model_copy(update={"color_profiles": policy})
        return self.model_copy(update={"preprocessing": recipe})

    @property
    def patch_tokens(self) -> int:
        """Tokens after patch partition: 3136 for 224 x 224 at patch 4."""
        return (self.image_size // self.patch_size) ** 2
