"""An artifact in onnxruntime: uint8 pixels `[n, h, w, 3]` to float32 embeddings `[n, dim]`."""

import functools
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from pydantic import ValidationError

from model_export.model_card import EMBEDDING, METADATA_KEY, PIXELS, ModelCard
from service.engine.gpu.devices import PROVIDERS, kind
from service.engine.gpu.providers import Gpu, providers
from service.errors import ArtifactError, DeviceError
from service.types import Pixels, Vectors

HOW_TO_EXPORT = "make one with: python -m model_export NAME --output FILE"


@dataclass(frozen=True)
class Model:
    """A loaded artifact. Several threads may call `run`; they share the weights.

    `lone_session` is the same model on more threads, for a run that has the machine to itself. It
    is `session` where that would take no more threads.
    """

    card: ModelCard
    device: str
    digest: str
    session: ort.InferenceSession
    lone_session: ort.InferenceSession

    @property
    def provider(self) -> str:
        """The execution provider that runs the model, by onnxruntime's name."""
        return PROVIDERS[kind(self.device)]

    def run(self, pixels: Pixels, *, lone: bool = False) -> Vectors:
        """Embed uint8 `[n, height, width, 3]` RGB pixels; float32 `[n, dim]`, not normalised.

        A `lone` run has the machine to itself; the vectors have the same bits either way.
        """
        session = self.lone_session if lone else self.session
        vectors: Vectors = session.run([EMBEDDING], {PIXELS: pixels})[0]
        # Onnxruntime's own array stays in its arena as long as it is in use, and may split a block
        # that the next run needs whole. That run would then allocate another.
        return vectors.copy()

    def warm_up(self) -> float:
        """Embed a grey image in each session; seconds that a run in `session` took.

        Raises:
            ArtifactError: the vectors are not what the card promises.
        """
        grey = np.full((1, self.card.image_size, self.card.image_size, 3), 128, np.uint8)
        # The first run has no memory pattern yet and takes more memory than any later one.
        give_back = ort.RunOptions()
        give_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        for session in {self.lone_session, self.session}:
            session.run([EMBEDDING], {PIXELS: grey}, give_back)
        self.run(grey, lone=True)
        began = time.monotonic()
        self.check(self.run(grey))
        return time.monotonic() - began

    def check(self, vectors: Vectors) -> None:
        """Check that vectors are what the card promises.

        Raises:
            ArtifactError: they are not.
        """
        if vectors.shape[1:] != (self.card.embedding_dim,) or not np.isfinite(vectors).all():
            raise ArtifactError(
                f"the model gives {vectors.shape} where its card promises "
                f"{self.card.embedding_dim} numbers an image, or some are not finite; export it "
                "again"
            )


def existing(path: Path | None) -> Path:
    """The path of an artifact, which is a file.

    Raises:
        ArtifactError: it is not, or there is no path.
    """
    if path is None:
        raise ArtifactError(
            f"SWIN_MODEL is not set: name an .onnx file; {HOW_TO_EXPORT}; or use `python -m "
            "swin_embed` in place of `python -m service`, which makes the default model itself"
        )
    if not path.is_file():
        raise ArtifactError(f"SWIN_MODEL={path} is not a file; {HOW_TO_EXPORT}")
    return path


def load(
    path: Path | None,
    device: str,
    threads: int,
    lone_threads: int | None = None,
    gpu: Gpu | None = None,
) -> Model:
    """Load an artifact on a device.

    Args:
        path: the .onnx file.
        device: `cpu`, `cuda:0` or the like.
        threads: CPU threads of a run.
        lone_threads: CPU threads of a run that has the machine to itself, where that is not the
            same; it costs a second copy of the weights (measured: docs/decisions.md).
        gpu: how GPUs are used, if the device is one.

    Raises:
        ArtifactError: no such file, not an ONNX model, or not one of ours.
        DeviceError: onnxruntime could not start on the device.
    """
    path = existing(path)
    _share_arena()
    digest = _sha256(path)
    if device != "cpu":
        return _load_on_gpu(path, device, threads, gpu or Gpu(), digest)
    session = _on_cpu(path, _options(threads))
    card = _read_card(path, session)
    lone_session = session
    if lone_threads is not None and lone_threads != threads:
        lone_session = _on_cpu(path, _options(lone_threads))
    return Model(card, device, digest, session, lone_session)


def _load_on_gpu(path: Path, device: str, threads: int, gpu: Gpu, digest: str) -> Model:
    """Read the artifact on the CPU first: then an error on the GPU is not the file's fault."""
    unoptimised = _options(threads)
    unoptimised.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    card = _read_card(path, _on_cpu(path, unoptimised))
    if card.precision == "int8":
        raise ArtifactError(
            f"SWIN_MODEL={path} is int8, which only CPUs run; export it with --precision fp16"
        )
    chosen = providers(device, gpu, card, digest)
    if kind(device) == "tensorrt":
        _make_cache(gpu.cache / digest)
    try:
        # Without its fallback: onnxruntime would try the CPU and say so on standard output only.
        session = ort.InferenceSession(path, _options(threads), chosen, enable_fallback=False)
    except Exception as error:
        raise DeviceError(
            f"SWIN_MODEL={path} does not load on {device} ({_line(error)})"
        ) from error
    if session.get_providers()[0] != PROVIDERS[kind(device)]:
        raise DeviceError(
            f"onnxruntime could not start {PROVIDERS[kind(device)]} on {device} and offers "
            f"{', '.join(session.get_providers())} in its place"
        )
    return Model(card, device, digest, session, session)


def _make_cache(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceError(
            f"TensorRT's engines cannot be kept in {folder} ({error.strerror}); "
            "set SWIN_TENSORRT_CACHE"
        ) from error


@functools.cache
def _share_arena() -> None:
    """Give all sessions of the process one arena for activations, which grows as requested."""
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    same_as_requested = ort.OrtArenaCfg({"arena_extend_strategy": 1})
    ort.create_and_register_allocator(memory, same_as_requested)


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads spin between the parts of a run but not after it, where they would take the decoder's
    # core (measured: docs/decisions.md).
    options.add_session_config_entry("session.intra_op.spin_duration_us", "100")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = 3
    return options


def _on_cpu(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(
            path, options, providers=[PROVIDERS["cpu"]], enable_fallback=False
        )
    except Exception as error:  # onnxruntime has a class for each kind of damage
        raise ArtifactError(
            f"SWIN_MODEL={path} cannot be loaded, it may be truncated; {HOW_TO_EXPORT} "
            f"({_line(error)})"
        ) from error


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
    outputs = {value.name: value.shape[1:] for value in session.get_outputs()}
    if outputs.get(EMBEDDING) != [card.embedding_dim]:
        raise ArtifactError(f"SWIN_MODEL={path} does not give what its model card says; {outputs=}")
    return card


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
