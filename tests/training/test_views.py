"""Altered copies: of the right form, seeded, and milder where they should be."""

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from training import views  # noqa: E402
from training.scenes import sheet  # noqa: E402


@pytest.fixture(scope="module")
def pictures():
    return sheet(0, 0, 64)


@pytest.mark.parametrize("strength", [views.MILD, views.STRONG], ids=["mild", "strong"])
def test_copies_are_images_and_come_from_the_seed(pictures, strength):
    first, again = (
        views.copies(torch.Generator().manual_seed(1), pictures, 32, strength) for _ in range(2)
    )
    assert first.shape == (len(pictures), 3, 32, 32)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, again)


def test_a_pupil_and_its_teacher_see_the_same_copy(pictures):
    large, small = views.lesson(torch.Generator().manual_seed(1), pictures, 32, 16)
    assert large.shape == (len(pictures), 3, 32, 32)
    assert small.shape == (len(pictures), 3, 16, 16)
    shrunk = torch.nn.functional.avg_pool2d(large, 2)
    same = (shrunk - small).abs().mean((1, 2, 3))
    other = (shrunk - small.roll(1, 0)).abs().mean((1, 2, 3))
    assert (same < other).float().mean() > 0.9
    assert 0 < same.mean() < 0.05  # the pupil's were worsened


def test_mild_copies_stay_nearer(pictures):
    shrunk = torch.nn.functional.avg_pool2d(pictures / 255, 2)
    apart = [
        (views.copies(torch.Generator().manual_seed(1), pictures, 32, strength) - shrunk).abs()
        for strength in (views.MILD, views.STRONG)
    ]
    assert apart[0].mean() < 0.8 * apart[1].mean()


@pytest.mark.parametrize("step", [views.overlay, views.blur, views.coarsen, views.compress])
def test_each_step_alters_images_and_keeps_them_images(pictures, step):
    images = pictures / 255
    altered = step(torch.Generator().manual_seed(0), images)
    assert altered.shape == images.shape
    assert (altered - images).abs().mean() > 0.002
    assert altered.min() > -0.01
    assert altered.max() < 1.01


def test_the_cosine_transform_loses_nothing_by_itself():
    torch.testing.assert_close(views.DCT @ views.DCT.T, torch.eye(8))
