"""Pictures a program draws: the same for the same seed, and worth telling apart."""

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from training import fields, scenes, shapes  # noqa: E402

SIDE = 48


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_sheet_is_the_same_for_the_same_seed_and_number():
    first = scenes.sheet(3, 5, SIDE)
    assert first.shape == (scenes.SHEET, 3, SIDE, SIDE)
    assert first.dtype == torch.uint8
    assert torch.equal(first, scenes.sheet(3, 5, SIDE))


@pytest.mark.parametrize("other", [(3, 6), (4, 5)])
def test_another_seed_or_number_gives_other_pictures(other):
    apart = scenes.sheet(3, 5, SIDE).float() - scenes.sheet(*other, SIDE).float()
    assert (apart.abs().mean((1, 2, 3)) > 2).all()


def test_no_two_pictures_of_a_sheet_are_alike():
    pictures = scenes.sheet(0, 0, SIDE).flatten(1).float()
    distance = torch.cdist(pictures, pictures).fill_diagonal_(torch.inf)
    assert distance.min() > 200


@pytest.mark.parametrize(
    "maker", list(dict.fromkeys([*fields.SCALARS, *shapes.SHAPES])), ids=lambda m: m.__name__
)
def test_every_maker_draws_something_finite_from_the_seed_alone(maker):
    drawn = maker(generator(), 4, SIDE)
    assert drawn.shape == (4, SIDE, SIDE)
    assert drawn.isfinite().all()
    assert (drawn.std((1, 2)) > 0).all()
    assert torch.equal(drawn, maker(generator(), 4, SIDE))


@pytest.mark.parametrize("maker", list(dict.fromkeys(shapes.SHAPES)), ids=lambda m: m.__name__)
def test_masks_lie_between_nothing_and_all(maker):
    mask = maker(generator(), 8, SIDE)
    assert mask.min() >= 0
    assert mask.max() <= 1


def test_noise_has_the_spectrum_it_was_asked_for():
    steep = fields.noise(generator(), 8, 64, 2.0, 2.01)
    flat = fields.noise(generator(), 8, 64, 0.0, 0.01)
    change = [field.diff(dim=2).abs().mean() for field in (steep, flat)]
    assert change[0] < change[1] / 3
