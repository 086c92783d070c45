"""The Swin family as data: every published model, under all of its names."""

import difflib
import math
from dataclasses import dataclass
from pathlib import Path

from model_export.errors import UnknownArchitectureError
from model_export.model_card import Preprocessing
from model_export.network.architecture import Architecture


@dataclass(frozen=True)
class Entry:
    """A model people ask for by name: its architecture, how its images are prepared, its weights.

    Attributes:
        architecture: What to build.
        preprocessing: How the images it was trained on were prepared.
        tag: What tells apart weights of one architecture; timm's tag, for example `ms_in22k`.
        repository: Where the hub has the weights, if it does.
        licence: Of the weights, if known.
        aliases: Further names of the same weights.
        elsewhere: Where weights that the hub has not are to be had.
        included: The file of weights that come with this package.
    """

    architecture: Architecture
    preprocessing: Preprocessing
    tag: str = ""
    repository: str | None = None
    licence: str | None = None
    aliases: tuple[str, ...] = ()
    elsewhere: str = ""
    included: Path | None = None

    @property
    def name(self) -> str:
        """The full name, as timm has it: the architecture's, a full stop, the tag."""
        return f"{self.architecture.name}.{self.tag}" if self.tag else self.architecture.name


def imagenet(image_size: int, resize: int) -> Preprocessing:
    """Short side to `resize` pixels, centre crop, ImageNet's mean and standard deviation."""
    return Preprocessing(
        resize=resize,
        crop=image_size,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )


def evaluation(image_size: int) -> Preprocessing:
    """The published models' in timm: 384 uncropped, else a crop of 0.9 of the short side."""
    return imagenet(image_size, math.floor(image_size / (1 if image_size == 384 else 0.9)))


BLOCKS = {
    "tiny": (96, (2, 2, 6, 2)),
    "small": (96, (2, 2, 18, 2)),
    "base": (128, (2, 2, 18, 2)),
    "large": (192, (2, 2, 18, 2)),
}
"""Channels and depths; every published head has 32 channels."""


def _v1(size: str, window: int, image_size: int) -> Architecture:
    channels, depths = BLOCKS[size]
    name = f"swin_{size}_patch4_window{window}_{image_size}"
    return Architecture(name, image_size, channels, depths, _heads(channels), (window,) * 4)


def _s3(size: str, depths: tuple[int, ...], windows: tuple[int, ...]) -> Architecture:
    """S3, from a search of the search space (arXiv:2111.14725): windows differ between stages."""
    return Architecture(f"swin_s3_{size}_224", 224, 96, depths, _heads(96), windows)


def _v2(size: str, window: int, image_size: int, *, finetuned: bool = False) -> Architecture:
    """`finetuned`: from the models trained with windows of 12 on images of 192."""
    channels, depths = BLOCKS[size]
    return Architecture(
        f"swinv2_{size}_window12to{window}_192to{image_size}"
        if finetuned
        else f"swinv2_{size}_window{window}_{image_size}",
        image_size,
        channels,
        depths,
        _heads(channels),
        (window,) * 4,
        version=2,
        pretrained_windows=(12, 12, 12, 6) if finetuned else (),
    )


def _heads(channels: int) -> tuple[int, ...]:
    return tuple((channels << stage) // 32 for stage in range(4))


def _microsoft(architecture: Architecture, tag: str, *aliases: str) -> Entry:
    """One of the authors' models, which timm's organisation on the hub carries too."""
    repository = f"timm/{architecture.name}.{tag}"
    preprocessing = evaluation(architecture.image_size)
    return Entry(architecture, preprocessing, tag, repository, "mit", (repository, *aliases))


def _torchvision(architecture: Architecture, alias: str, resize: int) -> Entry:
    preprocessing = imagenet(architecture.image_size, resize)
    where = f"torchvision's {alias}, a .pth file from download.pytorch.org/models"
    return Entry(architecture, preprocessing, "tv_in1k", aliases=(alias,), elsewhere=where)


IN1K, IN22K, FINETUNED = "ms_in1k", "ms_in22k", "ms_in22k_ft_in1k"

T224, S224, B224, L224 = (_v1(size, 7, 224) for size in BLOCKS)
B384, L384 = _v1("base", 12, 384), _v1("large", 12, 384)
V2_T8, V2_S8, V2_B8 = (_v2(size, 8, 256) for size in ("tiny", "small", "base"))
V2_T16, V2_S16, V2_B16 = (_v2(size, 16, 256) for size in ("tiny", "small", "base"))
V2_B192, V2_L192 = _v2("base", 12, 192), _v2("large", 12, 192)
V2_B256, V2_L256 = (_v2(size, 16, 256, finetuned=True) for size in ("base", "large"))
V2_B384, V2_L384 = (_v2(size, 24, 384, finetuned=True) for size in ("base", "large"))

NANO = Entry(
    Architecture("swin_nano_patch4_window7_224", 224, 32, (2, 2, 2, 2), (1, 2, 4, 8), (7,) * 4),
    evaluation(224),
    elsewhere="its weights come with swin-embed",
    included=Path(__file__).parent / "weights" / "swin_nano_patch4_window7_224.safetensors",
)
"""Ours, and the default: 256 numbers from 2.3 M parameters."""


CATALOG = (
    NANO,
    _microsoft(T224, IN1K, "microsoft/swin-tiny-patch4-window7-224"),
    _microsoft(T224, FINETUNED),
    _microsoft(T224, IN22K),
    _microsoft(S224, FINETUNED),
    _microsoft(S224, IN1K, "microsoft/swin-small-patch4-window7-224"),
    _microsoft(S224, IN22K),
    _microsoft(B224, FINETUNED),
    _microsoft(B224, IN1K, "microsoft/swin-base-patch4-window7-224"),
    _microsoft(B224, IN22K, "microsoft/swin-base-patch4-window7-224-in22k"),
    _microsoft(B384, FINETUNED),
    _microsoft(
        B384,
        IN1K,
        "microsoft/swin-base-patch4-window12-384",
        "swin_base_patch4_window12_384_finetune",
    ),
    _microsoft(B384, IN22K, "microsoft/swin-base-patch4-window12-384-in22k"),
    _microsoft(L224, FINETUNED, "microsoft/swin-large-patch4-window7-224"),
    _microsoft(L224, IN22K, "microsoft/swin-large-patch4-window7-224-in22k"),
    _microsoft(L384, FINETUNED, "microsoft/swin-large-patch4-window12-384"),
    _microsoft(L384, IN22K, "microsoft/swin-large-patch4-window12-384-in22k"),
    _microsoft(_s3("tiny", (2, 2, 6, 2), (7, 7, 14, 7)), IN1K),
    _microsoft(_s3("small", (2, 2, 18, 2), (14, 14, 14, 7)), IN1K),
    _microsoft(_s3("base", (2, 2, 30, 2), (7, 7, 14, 7)), IN1K),
    _microsoft(V2_T8, IN1K, "microsoft/swinv2-tiny-patch4-window8-256"),
    _microsoft(V2_T16, IN1K, "microsoft/swinv2-tiny-patch4-window16-256"),
    _microsoft(V2_S8, IN1K, "microsoft/swinv2-small-patch4-window8-256"),
    _microsoft(V2_S16, IN1K, "microsoft/swinv2-small-patch4-window16-256"),
    _microsoft(V2_B8, IN1K, "microsoft/swinv2-base-patch4-window8-256"),
    _microsoft(V2_B16, IN1K, "microsoft/swinv2-base-patch4-window16-256"),
    _microsoft(V2_B192, IN22K, "microsoft/swinv2-base-patch4-window12-192-22k"),
    _microsoft(V2_L192, IN22K, "microsoft/swinv2-large-patch4-window12-192-22k"),
    _microsoft(V2_B256, FINETUNED, "microsoft/swinv2-base-patch4-window12to16-192to256-22kto1k-ft"),
    _microsoft(
        V2_L256, FINETUNED, "microsoft/swinv2-large-patch4-window12to16-192to256-22kto1k-ft"
    ),
    _microsoft(V2_B384, FINETUNED, "microsoft/swinv2-base-patch4-window12to24-192to384-22kto1k-ft"),
    _microsoft(
        V2_L384, FINETUNED, "microsoft/swinv2-large-patch4-window12to24-192to384-22kto1k-ft"
    ),
    # torchvision's own training, with its evaluation transforms.
    _torchvision(T224, "swin_t", 232),
    _torchvision(S224, "swin_s", 246),
    _torchvision(B224, "swin_b", 238),
    _torchvision(V2_T8, "swin_v2_t", 260),
    _torchvision(V2_S8, "swin_v2_s", 260),
    _torchvision(V2_B8, "swin_v2_b", 272),
)

SUFFIXES = {
    IN22K: ("_22k", "_in22k"),
    FINETUNED: ("_22kto1k", "_22kto1k_finetune", "_22kto1k_ft", "_22kft1k"),
}
"""What the paper's repository, in files and configurations, and early timm put after a name."""


def _by_name() -> dict[str, Entry]:
    """Every name there is; the first of several entries answers to a bare name."""
    found: dict[str, Entry] = {}
    for entry in CATALOG:
        bare = entry.architecture.name
        # The paper's repository calls V2 swinv2_tiny_patch4_window8_256, timm without the patch.
        stems = {bare, bare.replace("_window", "_patch4_window") if "_patch4" not in bare else bare}
        suffixes = SUFFIXES.get(entry.tag, ())
        names = [entry.name, *entry.aliases, *(stem + end for stem in stems for end in suffixes)]
        found |= dict.fromkeys(names, entry)
        for stem in stems:
            found.setdefault(stem, entry)
    return found


BY_NAME = _by_name()


def find(name: str) -> Entry:
    """The entry published under `name`.

    Raises:
        UnknownArchitectureError: No entry has that name; the message gives the nearest ones.
    """
    if name in BY_NAME:
        return BY_NAME[name]
    near = difflib.get_close_matches(name, BY_NAME, n=3, cutoff=0.0)
    raise UnknownArchitectureError(
        f"unknown architecture '{name}'; the nearest names are {', '.join(near)}; "
        "python -m model_export --list prints all of them"
    )
