"""The recipe, cut short: its loss falls, it resumes, and the exporter takes its weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

pytestmark = [
    pytest.mark.torch,
    # transformers' own modules, on import
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from model_export.__main__ import main  # noqa: E402
from model_export.checkpoints.reading import read  # noqa: E402
from model_export.model_card import EMBEDDING  # noqa: E402
from model_export.network.reference import reference  # noqa: E402
from tests.support.small_model import SMALL_MODEL  # noqa: E402
from training import loss, network  # noqa: E402
from training.recipe import DEFAULT, Phase  # noqa: E402
from training.train import Run  # noqa: E402

NAME = "swin_nano_patch4_window7_224"
SHORT = replace(DEFAULT, phases=(Phase(56, 20, 1e-3),), lessons=(), pairs=16, sheets=2, warm_up=5)
TINY = replace(
    DEFAULT,
    architecture=SMALL_MODEL.architecture,
    phases=(Phase(16, 3, 1e-3), Phase(32, 2, 1e-4)),
    lessons=(Phase(32, 3, 1e-4),),
    taught_side=16,
    pairs=8,
    pupils=8,
    sheets=2,
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


def logged(folder, name):
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record[name] for record in records if name in record]


def test_a_few_steps_of_the_recipe_lower_its_loss_and_export(pictures, tmp_path, monkeypatch):
    """On the same copies at every step: over a few steps chance would hide what is learnt."""
    run = Run(SHORT, tmp_path, pictures, threads=2)
    monkeypatch.setattr(run, "_generator", lambda share: torch.Generator().manual_seed(share))
    monkeypatch.setattr(run, "_choose", lambda: torch.arange(SHORT.pairs))
    run.go()
    contrast = logged(tmp_path, "contrast")
    assert np.mean(contrast[-5:]) < np.mean(contrast[:5]) - 0.5
    weights, artifact = tmp_path / "model.safetensors", tmp_path / "model.onnx"
    assert weights.stat().st_size < 5_000_000
    assert main([NAME, "--weights", str(weights), "--output", str(artifact)]) == 0


def test_a_few_lessons_bring_large_copies_nearer_to_what_is_said_of_small_ones(
    pictures, tmp_path, monkeypatch
):
    """From one teacher, on the same copies at every step."""
    recipe = replace(SHORT, phases=(Phase(56, 1, 1e-5),), lessons=(Phase(112, 12, 1e-3),), pupils=8)
    run = Run(recipe, tmp_path, pictures, threads=2)
    monkeypatch.setattr(run, "_generator", lambda share: torch.Generator().manual_seed(share))
    monkeypatch.setattr(torch, "randperm", lambda n, generator: torch.arange(n))
    run.go()
    lesson = logged(tmp_path, "lesson")
    assert len(lesson) == 12
    assert lesson[-1] < lesson[0] - 1


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("training.train.SAVE_EVERY", 2)
    Run(TINY, tmp_path / "whole", pictures, threads=1).go()
    for stop in (2, 4, 6):
        cut = Run(TINY, tmp_path / "parts", pictures, threads=1)
        improve = cut._improve

        def interrupted(*given, cut=cut, improve=improve, stop=stop):
            if cut.step == stop:
                raise KeyboardInterrupt
            improve(*given)

        cut._improve = interrupted
        with pytest.raises(KeyboardInterrupt):
            cut.go()
    Run(TINY, tmp_path / "parts", pictures, threads=1).go()
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        np.testing.assert_array_equal(tensor, parts[name])


@pytest.mark.parametrize("few", [{"pairs": 2}, {"pupils": 2}])
def test_more_threads_than_pictures_are_not_used(pictures, tmp_path, few):
    run = Run(replace(TINY, **few), tmp_path, pictures, threads=3)
    run.go()
    assert run.step == TINY.steps
    assert run.threads == 2


def test_a_checkpoint_of_another_recipe_is_refused(pictures, tmp_path):
    Run(TINY, tmp_path, pictures, threads=1).go()
    with pytest.raises(ValueError, match="of another recipe"):
        Run(replace(TINY, seed=1), tmp_path, pictures, threads=1).go()


def test_the_exporter_reads_what_the_network_computes(tmp_path):
    """Renaming, float16 and the folded standardisation, against transformers' own forward pass."""
    torch.manual_seed(0)
    trained = network.Network(SMALL_MODEL.architecture)
    trained.standardise.running_mean.normal_()
    trained.standardise.running_var.uniform_(0.5, 2)
    trained.resize(32)
    network.save(trained, tmp_path / "model.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    with torch.no_grad():
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
        computed = trained.eval().standardise(trained(images)).numpy()
    _, checkpoint = read(tmp_path / "model.safetensors", SMALL_MODEL)
    expected = reference(
        pixels, checkpoint.tensors, SMALL_MODEL.architecture, SMALL_MODEL.preprocessing
    )[EMBEDDING]
    np.testing.assert_allclose(computed, expected, atol=0.02 * np.abs(expected).max())


def test_a_pupil_that_says_what_its_teacher_says_pays_less():
    torch.manual_seed(0)
    prototypes = torch.nn.functional.normalize(torch.randn(32, 64))
    pictures = torch.arange(8)
    teacher = prototypes[:8]
    deaf, _ = loss.echo(torch.randn(8, 64), teacher, prototypes, pictures)
    right, found = loss.echo(3 * teacher, teacher, prototypes, pictures)
    assert right < deaf - 3
    assert found == 1
    # The right picture, and another copy of it than the teacher saw.
    other, _ = loss.echo(teacher + 0.1 * torch.randn(8, 64), teacher, prototypes, pictures)
    assert right < other < deaf


def test_copies_that_agree_cost_less():
    torch.manual_seed(0)
    first, pictures = torch.randn(16, 8), torch.arange(16)
    apart, _ = loss.contrast(first, torch.randn(16, 8), pictures)
    alike, found = loss.contrast(first, first + 0.01 * torch.randn(16, 8), pictures)
    assert alike < apart - 1
    assert found == 1
