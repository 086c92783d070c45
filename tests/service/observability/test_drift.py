import numpy as np
import pytest
from PIL import Image
from prometheus_client import CollectorRegistry

from service.observability import drift as drifting
from service.observability.drift import LOOKS_AT_ONCE, LOOKS_PER_S, RECENT, Allowance, Drift, look
from service.types import Picture
from tests.support.images import noise, photos


def pixels(image: Image.Image):
    return np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC))


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def drift(registry):
    return Drift(registry)


def mean(registry, name: str) -> float:
    return registry.get_sample_value(f"swin_{name}_sum") / registry.get_sample_value(
        f"swin_{name}_count"
    )


def cosines_up_to(registry, bound: str) -> float:
    return registry.get_sample_value("swin_embedding_cosine_bucket", {"le": bound})


@pytest.mark.parametrize("photo", photos().values(), ids=photos())
def test_each_fault_moves_its_number(photo):
    normal = look(pixels(photo))
    assert normal.saturation > 0.1
    assert normal.sharpness > 1

    assert look(pixels(photo)[..., ::-1]).warmth == pytest.approx(-normal.warmth)
    assert look(pixels(photo.convert("L").convert("RGB"))).saturation == 0

    thumbnail = photo.copy()
    thumbnail.thumbnail((64, 64))
    scaled_up = look(pixels(thumbnail.resize(photo.size, Image.Resampling.BICUBIC)))
    assert scaled_up.sharpness < 0.8
    assert scaled_up.brightness == pytest.approx(normal.brightness, abs=0.05)


@pytest.mark.parametrize("size", [(32, 32), (7, 9), (1, 1)])
def test_any_size_and_a_flat_one_too(size):
    flat = look(np.full((*size, 3), 255, np.uint8))
    assert (flat.brightness, flat.saturation, flat.warmth) == pytest.approx((1, 0, 0))
    assert flat.sharpness == 0


def test_contrast_is_not_sharpness():
    photo = pixels(photos()["chelsea"])
    assert look(photo // 2 + 60).sharpness == pytest.approx(look(photo).sharpness, abs=0.15)


def test_duplicates_are_counted_among_recent_images(drift, registry):
    def post(seed: int) -> None:
        drift.observe_picture(Picture(np.asarray(noise(2, 2, seed)), 2, 2, "png"))

    for seed in (1, 2, 1, 1):
        post(seed)
    assert registry.get_sample_value("swin_image_duplicates_total") == 2
    for seed in range(10, 10 + RECENT):
        post(seed)
    post(1)  # too long ago
    assert registry.get_sample_value("swin_image_duplicates_total") == 2
    assert mean(registry, "image_aspect_ratio") == 1


def test_vectors_are_compared_with_their_running_mean(drift, registry):
    random = np.random.default_rng(0)
    usual = np.array([3, 4, 0, 0], np.float32)
    for _ in range(50):
        drift.observe_vector(usual + random.normal(0, 0.01, 4).astype(np.float32))
    assert mean(registry, "embedding_norm") == pytest.approx(5, rel=0.01)
    assert cosines_up_to(registry, "0.999") == 0
    drift.observe_vector(np.array([0, 0, 1, 0], np.float32))
    assert cosines_up_to(registry, "0.1") == 1


def test_a_model_of_another_size_starts_a_new_mean(drift, registry):
    drift.observe_vector(np.ones(4, np.float32))
    drift.observe_vector(np.ones(8, np.float32))
    drift.observe_vector(np.zeros(8, np.float32))
    drift.observe_vector(np.ones(8, np.float32))
    assert registry.get_sample_value("swin_embedding_norm_count") == 4
    assert cosines_up_to(registry, "+Inf") == 1


def test_a_rush_of_images_is_looked_at_in_part(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(drifting.time, "monotonic", lambda: now)
    looks = Allowance()
    assert sum(looks.take() for _ in range(5000)) == LOOKS_AT_ONCE
    now += 2
    assert sum(looks.take() for _ in range(5000)) == 2 * LOOKS_PER_S
    now += 3600
    assert sum(looks.take() for _ in range(5000)) == LOOKS_AT_ONCE
