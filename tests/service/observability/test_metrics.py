"""What becomes of an image is counted as that, and each stage's time as its own."""

from concurrent.futures import Future

import numpy as np
import pytest

from service.errors import ImageTooLarge, InvalidImage, NotReady, RequestTimeout
from service.images.preprocess import Picture
from service.observability.metrics import Metrics
from service.types import Embedding

OUTCOMES = ("ok", "invalid", "refused", "expired", "cancelled", "failed")


def embedding():
    return Embedding(np.ones(2, np.float32), 1, 2, 4, width=1, height=1)


def counted(metrics, name, label, values):
    return {value: metrics.registry.get_sample_value(name, {label: value}) for value in values}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (InvalidImage("no image"), "invalid"),
        (ImageTooLarge("large"), "invalid"),
        (RequestTimeout("late"), "expired"),
        (NotReady("the model failed"), "failed"),
        (ValueError("a bug"), "failed"),
    ],
)
def test_an_image_that_gets_no_vector_is_counted_once(error, outcome):
    metrics, future = Metrics(), Future()
    future.set_exception(error)
    metrics.observe_image(future)
    seen = counted(metrics, "swin_images_total", "outcome", OUTCOMES)
    assert seen == dict.fromkeys(OUTCOMES, 0) | {outcome: 1}


def test_an_image_whose_caller_left_is_cancelled():
    metrics, future = Metrics(), Future()
    future.cancel()
    metrics.observe_image(future)
    seen = counted(metrics, "swin_images_total", "outcome", OUTCOMES)
    assert seen == dict.fromkeys(OUTCOMES, 0) | {"cancelled": 1}


def test_each_stage_is_counted_as_itself():
    metrics, future = Metrics(), Future()
    future.set_result(embedding())
    metrics.observe_image(future)
    stages = ("decode", "queue", "inference", "encode")
    seen = counted(metrics, "swin_stage_duration_seconds_sum", "stage", stages)
    assert seen == {"decode": 1, "queue": 2, "inference": 4, "encode": 0}


def test_an_image_has_the_pixels_it_was_stored_with():
    metrics = Metrics()
    metrics.observe_picture(Picture(np.zeros((32, 32, 3), np.uint8), 30, 20, "png"))
    assert metrics.registry.get_sample_value("swin_image_pixels_sum") == 600
