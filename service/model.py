"""An artifact in onnxruntime: uint8 pixels `[n, h, w, 3]` to float32 embeddings `[n, dim]`."""

import functools
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from pydantic import ValidationError

from model_export.model_card import EMBEDDING, METADATA_KEY, PIXELS, ModelCard
from service.devices import PROVIDERS, kind, number
from service.errors import ArtifactError, DeviceError
from service.preprocess import Pixels

Vectors = npt.NDArray[np.float32]
"""float32 `[n, dim]`, not normalised."""

HOW_TO_EXPORT = "make one with: python -m model_export NAME --output FILE"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """A loaded artifact; `run` may be called from several threads, which share the weights.

    `lone_session` is the same model on more threads, for a run that has the machine to itself;
    where that would be as many, it is `session` itself.
    """

    card: ModelCard
    provider: str
    digest: str
    session: ort.InferenceSession
    lone_session: ort.InferenceSession

    def run(self, pixels: Pixels, alone: bool = False) -> Vectors:
        """Embed uint8 `[n, height, width, 3]` RGB pixels; float32 `[n, dim]`, not normalised.

        An image's vector has the same bits whether it runs `alone` or not.
        """
        session = self.lone_session if alone else self.session
        vectors: Vectors = session.run([EMBEDDING], {PIXELS: pixels})[0]
        return vectors


def load(path: Path | None, device: str, threads: int, lone_threads: int | None = None) -> Model:
    """Load an artifact on a device.

    Args:
        path: the .onnx file.
        device: `cpu`, `cuda:0` or the like.
        threads: CPU threads of a run.
        lone_threads: CPU threads of a run that has the machine to itself, where that is not the
            same; it costs a second copy of the weights (measured: docs/decisions.md).

    Raises:
        ArtifactError: no such file, not an ONNX model, or not one of ours.
        DeviceError: onnxruntime could not start on the device.
    """
    if path is None:
        raise ArtifactError(f"SWIN_MODEL is not set: name an .onnx file; {HOW_TO_EXPORT}")
    if not path.is_file():
        raise ArtifactError(f"SWIN_MODEL={path} is not a file; {HOW_TO_EXPORT}")
    _share_arena()
    session = _session(path, device, threads)
    card = _read_card(path, session)
    lone_session = session
    if lone_threads is not None and lone_threads != threads:
        lone_session = _session(path, device, lone_threads)
    return Model(card, PROVIDERS[kind(device)], _sha256(path), session, lone_session)


@functools.cache
def _share_arena() -> None:
    """Give all sessions of the process one arena for activations, which grows by what is asked."""
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    same_as_requested = ort.OrtArenaCfg({"arena_extend_strategy": 1})
    ort.create_and_register_allocator(memory, same_as_requested)


def _session(path: Path, device: str, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A spinning thread takes the decoder's core (measured: docs/decisions.md).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    # A pattern keeps a run's activations in one block of its own; the shared arena needs less.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    provider = PROVIDERS[kind(device)]
    choice = provider if device == "cpu" else (provider, {"device_id": number(device)})
    try:
        # Without its fallback: onnxruntime would try the CPU and say so on standard output only.
        session = ort.InferenceSession(path, options, providers=[choice], enable_fallback=False)
    except Exception as error:  # onnxruntime raises a class of its own for each way to be damaged
        if device != "cpu":
            raise DeviceError(
                f"SWIN_MODEL={path} cannot be loaded on {device} ({_line(error)})"
            ) from error
        raise ArtifactError(
            f"SWIN_MODEL={path} cannot be loaded, it may be truncated; {HOW_TO_EXPORT} "
            f"({_line(error)})"
        ) from error
    if session.get_providers()[0] != provider:
        raise DeviceError(
            f"onnxruntime could not start {provider} on {device} and offers "
            f"{', '.join(session.get_providers())} in its place"
        )
    return session


def _read_card(path: Path, session: ort.InferenceSession) -> ModelCard:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ArtifactError(f"SWIN_MODEL={path} has no model card; {HOW_TO_EXPORT}")
    try:
        card = ModelCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ArtifactError(
            f"SWIN_MODEL={path} has a model card this version cannot read "
            f"({field}: {first['msg']}); export the checkpoint again"
        ) from error
    inputs = {value.name: (value.type, value.shape[1:]) for value in session.get_inputs()}
    if inputs != {PIXELS: ("tensor(uint8)", [card.image_size, card.image_size, 3])}:
        raise ArtifactError(f"SWIN_MODEL={path} does not take what its model card says; {inputs=}")
    return card


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
