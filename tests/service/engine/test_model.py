import numpy as np
import onnx
import onnxruntime as ort
import pytest

from model_export.model_card import METADATA_KEY
from service.engine import model
from service.engine.gpu.providers import Gpu
from service.errors import ArtifactError, DeviceError


def test_a_loaded_artifact_knows_itself(artifact):
    loaded = model.load(artifact, "cpu", threads=1)
    assert loaded.provider == "CPUExecutionProvider"
    assert loaded.card.embedding_dim == 128
    assert loaded.run(np.zeros((3, 32, 32, 3), np.uint8)).shape == (3, 128)


def test_no_file_named():
    with pytest.raises(ArtifactError, match=r"SWIN_MODEL is not set.*model_export.*-m swin_embed"):
        model.load(None, "cpu", threads=1)


def test_missing_file(tmp_path):
    with pytest.raises(ArtifactError, match=r"nothing\.onnx is not a file.*model_export"):
        model.load(tmp_path / "nothing.onnx", "cpu", threads=1)


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.999])
def test_truncated_file(tmp_path, artifact, kept):
    data = artifact.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(kept * len(data)) if kept < 1 else kept])
    with pytest.raises(ArtifactError, match=r"truncated|no model card"):
        model.load(path, "cpu", threads=1)


def with_card(artifact, path, card: str | None):
    changed = onnx.load(artifact)
    del changed.metadata_props[:]
    if card is not None:
        changed.metadata_props.add(key=METADATA_KEY, value=card)
    onnx.save(changed, path)
    return path


def test_an_onnx_file_without_a_card(tmp_path, artifact):
    path = with_card(artifact, tmp_path / "plain.onnx", None)
    with pytest.raises(ArtifactError, match="no model card"):
        model.load(path, "cpu", threads=1)


@pytest.mark.parametrize("card", ["", "{}", '{"name": 3}'])
def test_a_card_that_cannot_be_read(tmp_path, artifact, card):
    path = with_card(artifact, tmp_path / "odd.onnx", card)
    with pytest.raises(ArtifactError, match="export the checkpoint again"):
        model.load(path, "cpu", threads=1)


def test_a_card_that_does_not_fit_its_graph(tmp_path, artifact):
    card = model.load(artifact, "cpu", threads=1).card.model_copy(update={"image_size": 64})
    path = with_card(artifact, tmp_path / "odd.onnx", card.model_dump_json())
    with pytest.raises(ArtifactError, match="does not take what its model card says"):
        model.load(path, "cpu", threads=1)


def test_a_card_that_promises_other_vectors(tmp_path, artifact):
    card = model.load(artifact, "cpu", threads=1).card.model_copy(update={"embedding_dim": 64})
    path = with_card(artifact, tmp_path / "odd.onnx", card.model_dump_json())
    with pytest.raises(ArtifactError, match="does not give what its model card says"):
        model.load(path, "cpu", threads=1)


def test_vectors_that_are_not_finite_fail_the_warm_up(artifact):
    loaded = model.load(artifact, "cpu", threads=1)
    with pytest.raises(ArtifactError, match="not finite"):
        loaded.check(np.full((1, 128), np.nan, np.float32))


def test_int8_is_refused_on_a_gpu(tmp_path, artifact):
    card = model.load(artifact, "cpu", threads=1).card.model_copy(update={"precision": "int8"})
    path = with_card(artifact, tmp_path / "int8.onnx", card.model_dump_json())
    with pytest.raises(ArtifactError, match=r"int8, which only CPUs run.*--precision fp16"):
        model.load(path, "cuda:0", threads=1)


def test_a_damaged_file_is_no_fault_of_the_gpu(tmp_path):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(b"nonsense")
    with pytest.raises(ArtifactError, match="truncated"):
        model.load(path, "cuda:0", threads=1)


def test_what_a_gpu_session_fails_with_is_one_line(artifact, monkeypatch):
    make = ort.InferenceSession

    def fail(path, options, providers, enable_fallback):
        if providers == ["CPUExecutionProvider"]:
            return make(path, options, providers, enable_fallback=enable_fallback)
        raise RuntimeError("CUDA failure 2:\n out of memory")

    monkeypatch.setattr(ort, "InferenceSession", fail)
    with pytest.raises(DeviceError, match=r"does not load on cuda:0 \(CUDA failure 2: out of"):
        model.load(artifact, "cuda:0", threads=1)


def test_a_cache_that_cannot_be_written_is_named(artifact):
    gpu = Gpu(cache=artifact / "cache")
    with pytest.raises(DeviceError, match=r"set SWIN_TENSORRT_CACHE"):
        model.load(artifact, "tensorrt:0", threads=1, gpu=gpu)


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")  # a build without it warns
def test_a_provider_that_onnxruntime_replaces_by_another(artifact):
    with pytest.raises(DeviceError, match="offers CPUExecutionProvider in its place"):
        model.load(artifact, "cuda:0", threads=1)


def test_a_vector_has_the_same_bits_in_every_session_and_batch(artifact):
    """Promise 1, here for fp32: threads, the lone session and the batch change nothing."""
    pixels = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    loaded = model.load(artifact, "cpu", threads=1, lone_threads=2)
    assert loaded.lone_session is not loaded.session
    singles = np.concatenate([loaded.run(image[None]) for image in pixels])
    lone = np.concatenate([loaded.run(image[None], lone=True) for image in pixels])
    assert np.array_equal(singles, lone)
    for size in (2, 3, 7):
        assert np.array_equal(loaded.run(pixels[:size]), singles[:size])
        assert np.array_equal(loaded.run(pixels[:size], lone=True), singles[:size])


def test_one_session_holds_the_weights_once(artifact):
    loaded = model.load(artifact, "cpu", threads=2, lone_threads=2)
    assert loaded.lone_session is loaded.session


def test_a_vector_does_not_hold_a_piece_of_the_arena(artifact):
    """Held until it is sent, it splits a block, and the next run takes a new one: 12 MB of int8."""
    loaded = model.load(artifact, "cpu", threads=1, lone_threads=2)
    for lone in (False, True):
        assert loaded.run(np.zeros((2, 32, 32, 3), np.uint8), lone=lone).flags.owndata
