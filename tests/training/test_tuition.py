"""A pupil learns what a tutor says of pictures; the pictures come from folders of files."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from safetensors.numpy import load_file

from tests.support.small_model import SMALL_MODEL

pytestmark = [
    pytest.mark.torch,
    # transformers' own modules, on import
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from training import collages, collected, lessons, network  # noqa: E402
from training.collages import Collages  # noqa: E402
from training.lessons import Lessons  # noqa: E402
from training.recipe import Phase  # noqa: E402
from training.targets import targets  # noqa: E402
from training.tuition import DEFAULT, Tuition  # noqa: E402

SHORT = replace(
    DEFAULT,
    architecture=SMALL_MODEL.architecture,
    phases=(Phase(16, 6, 1e-3), Phase(32, 6, 1e-3)),
    pupils=8,
    warm_up=2,
)


@pytest.fixture
def files(tmp_path):
    """Two photos, two cutouts of two folders, and one file too large to be worth opening."""
    random = np.random.default_rng(0)
    photos, cutouts = [], []
    for name in ("meadow", "harbour"):
        photos.append(tmp_path / f"{name}.jpg")
        Image.fromarray(random.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(photos[-1])
    for name in ("red", "blue"):
        thing = Image.new("RGBA", (80, 60))
        ImageDraw.Draw(thing).ellipse((20, 10, 60, 50), name)
        cutouts.append(tmp_path / name / f"{name}.png")
        cutouts[-1].parent.mkdir()
        thing.save(cutouts[-1])
    return photos, cutouts


def pupil():
    torch.manual_seed(0)
    return network.Network(SMALL_MODEL.architecture)


def taught():
    g = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (24, 3, 32, 32), generator=g, dtype=torch.uint8)
    wanted = torch.randn(24, SMALL_MODEL.architecture.embedding_dim, generator=g)
    return Lessons(pictures, torch.nn.functional.normalize(wanted))


def test_collages_are_the_same_for_the_same_seed_and_show_the_things(files):
    drawn = Collages(*files)
    pictures = np.stack([drawn.draw(0, i) for i in range(12)])
    assert pictures.shape == (12, 3, collages.SIDE, collages.SIDE)
    np.testing.assert_array_equal(pictures, [Collages(*files).draw(0, i) for i in range(12)])
    assert not np.array_equal(pictures[0], Collages(*files).draw(1, 0))
    red, green, blue = pictures.astype(int).transpose(1, 0, 2, 3)
    assert ((red > 240) & (green < 15) & (blue < 15)).sum() > 1000


def test_a_cutout_loses_its_margins_and_a_huge_file_is_left_out(files, monkeypatch):
    photos, cutouts = files
    assert collages.open_cutout(cutouts[0]).size == (41, 41)
    monkeypatch.setattr(collages, "MOST_PIXELS", 100)
    assert collages.open_cutout(cutouts[0]) is None
    assert collages.open_photo(photos[0]) is None


def test_what_is_held_out_is_never_trained_on(tmp_path):
    package = next(one for one in collected.PACKAGES if one.name == "tuxpaint-stamps-default")
    folder = tmp_path / package.name / "usr/share/tuxpaint/stamps/animals/birds"
    folder.mkdir(parents=True)
    for i in range(40):
        (folder / f"bird{i}.png").touch()
    seen = collected.pictures(tmp_path, "cutouts", held_out=False)
    kept = collected.pictures(tmp_path, "cutouts", held_out=True)
    assert len(seen) + len(kept) == 40
    assert not set(seen) & set(kept)
    assert 3 < len(kept) < 20
    assert not collected.pictures(tmp_path, "photos", held_out=False)


def test_targets_keep_what_is_near_by_the_tutor_and_what_is_near_by_the_pupil():
    torch.manual_seed(0)
    meaning, own = torch.randn(200, 96), torch.randn(200, 32)
    meaning[1], own[3] = meaning[0], own[2]
    wanted = targets(meaning, own)
    assert wanted.shape == (200, 32)
    torch.testing.assert_close(wanted.norm(dim=1), torch.ones(200))
    similarity = wanted @ wanted.T - 2 * torch.eye(200)
    assert similarity[0].argmax() == 1
    assert similarity[2, 3] > 0.3
    assert abs(float(wanted[2] @ wanted[4:].mean(0))) < 0.1


def test_lessons_are_drawn_and_asked_for_once(files, tmp_path, monkeypatch):
    asked = []

    class Tutor:
        def says(self, pictures):
            asked.append(len(pictures))
            return pictures.float().mean((2, 3)).repeat(1, 64)

    monkeypatch.setattr(lessons, "Tutor", Tutor)
    monkeypatch.setattr(lessons, "OWN_SIDE", 32)
    monkeypatch.setattr(
        collected, "pictures", lambda folder, kind, held_out: files[kind == "cutouts"]
    )
    first = lessons.prepare(pupil(), 40, 0, tmp_path, tmp_path / "cache", 2)
    again = lessons.prepare(pupil(), 40, 0, tmp_path, tmp_path / "cache", 2)
    assert first.pictures.shape == (40, 3, collages.SIDE, collages.SIDE)
    assert sum(asked) == 40
    assert torch.equal(first.pictures, again.pictures)
    assert torch.equal(first.targets, again.targets)


def test_a_pupil_comes_nearer_to_its_targets(tmp_path, monkeypatch):
    """On the same copies at every step."""
    course = replace(SHORT, phases=(Phase(32, 30, 3e-3),))
    run = Tuition(course, pupil(), taught(), tmp_path, threads=2)
    monkeypatch.setattr(torch, "randperm", lambda n, generator: torch.arange(n))
    monkeypatch.setattr(run, "_generator", lambda share: torch.Generator().manual_seed(share))
    run.go()
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(logged) == 30
    assert logged[-1]["lesson"] < logged[0]["lesson"] - 0.5


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.setattr("training.tuition.SAVE_EVERY", 2)
    Tuition(SHORT, pupil(), taught(), tmp_path / "whole", threads=1).go()
    for stop in (2, 5, 9):
        cut = Tuition(SHORT, pupil(), taught(), tmp_path / "parts", threads=1)
        learn = cut._learn

        def interrupted(workers, cut=cut, learn=learn, stop=stop):
            if cut.step == stop:
                raise KeyboardInterrupt
            return learn(workers)

        cut._learn = interrupted
        with pytest.raises(KeyboardInterrupt):
            cut.go()
    Tuition(SHORT, pupil(), taught(), tmp_path / "parts", threads=1).go()
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    for name, tensor in whole.items():
        np.testing.assert_array_equal(tensor, parts[name])


def test_a_checkpoint_of_another_course_is_refused(tmp_path):
    Tuition(SHORT, pupil(), taught(), tmp_path, threads=1).go()
    other = Tuition(replace(SHORT, seed=1), pupil(), taught(), tmp_path, threads=1)
    with pytest.raises(ValueError, match="of another course"):
        other.go()


def test_saved_weights_are_read_back_as_they_were(tmp_path):
    saved = pupil()
    saved.standardise.running_mean.normal_()
    network.save(saved, tmp_path / "model.safetensors")
    read = pupil()
    network.load(read, tmp_path / "model.safetensors")
    images = torch.rand(2, 3, 32, 32)
    saved.resize(32)
    read.resize(32)
    with torch.no_grad():
        expected = saved.eval().standardise(saved(images))
        torch.testing.assert_close(read(images), expected, atol=0.02, rtol=0.02)
