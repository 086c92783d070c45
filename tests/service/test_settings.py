from pathlib import Path

import pytest
from pydantic import ValidationError

from service.__main__ import command
from service.command_line import settings_from
from service.settings import Settings, default_tensorrt_cache, device_names


def test_environment_and_defaults(monkeypatch):
    monkeypatch.setenv("SWIN_PORT", "9000")
    monkeypatch.setenv("SWIN_MAX_BATCH_SIZE", "4")
    settings = Settings()
    assert (settings.host, settings.port, settings.max_batch_size) == ("127.0.0.1", 9000, 4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SWIN_PORT", "70000"),
        ("SWIN_DEVICE", "tpu"),
        ("SWIN_MAX_BATCH_SIZE", "0"),
        ("SWIN_REQUEST_TIMEOUT_S", "inf"),
        ("SWIN_LOG_FORMAT", "xml"),
    ],
)
def test_nonsense_is_refused(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "CPU"),
        ("device", "CUDA:0,cuda:1"),
        ("gpu_arena", "Doubled"),
        ("preprocess", "Exact"),
        ("color_profiles", "Apply"),
        ("log_format", "JSON"),
        ("log_level", "WARNING"),
    ],
)
def test_words_have_no_case(monkeypatch, name, value):
    monkeypatch.setenv(f"SWIN_{name.upper()}", value)
    assert getattr(Settings(), name) == value.lower()
    monkeypatch.delenv(f"SWIN_{name.upper()}")
    option = [f"--{name.replace('_', '-')}", value]
    settings = settings_from(**command.make_context("service", option).params)
    assert getattr(settings, name) == value.lower()


@pytest.mark.parametrize(
    ("given", "queue", "request_"),
    [
        ({}, 512, 256),
        ({"workers": 2}, 512, 256),
        ({"workers": 3}, 768, 256),
        ({"workers": 4}, 1024, 256),
        ({"max_queue_size": 64}, 64, 64),
        ({"max_queue_size": 1}, 1, 1),
        ({"max_queue_size": 4096}, 4096, 256),
        ({"max_queue_size": 64, "workers": 3}, 64, 21),
        ({"max_images_per_request": 1000}, 1000, 1000),
        ({"max_images_per_request": 8}, 512, 8),
        ({"max_images_per_request": 300, "workers": 3}, 900, 300),
        ({"max_queue_size": 9, "max_images_per_request": 3, "workers": 3}, 9, 3),
    ],
)
def test_a_limit_that_is_not_set_follows_the_other(monkeypatch, given, queue, request_):
    for name, value in given.items():
        monkeypatch.setenv(f"SWIN_{name.upper()}", str(value))
    settings = Settings()
    assert (settings.max_queue_size, settings.max_images_per_request) == (queue, request_)


@pytest.mark.parametrize(
    "given",
    [
        {"max_queue_size": 9, "max_images_per_request": 10},
        {"max_queue_size": 9, "max_images_per_request": 5, "workers": 2},
        {"max_queue_size": 3, "workers": 4},
    ],
)
def test_limits_that_contradict_each_other_are_refused(given):
    with pytest.raises(ValidationError, match="could never be admitted"):
        Settings(**given)


@pytest.mark.parametrize(
    ("asked", "parsed"),
    [
        ("auto", ("auto",)),
        ("cpu", ("cpu",)),
        ("cuda", ("cuda",)),
        ("tensorrt:3", ("tensorrt:3",)),
        ("cuda:0, cuda:1", ("cuda:0", "cuda:1")),
    ],
)
def test_devices_are_named(asked, parsed):
    assert device_names(asked) == parsed


@pytest.mark.parametrize(
    "asked", ["", "gpu", "cuda:", "cuda:x", "cpu:0", "cuda:0,", "cuda:0,tensorrt:1", "cpu,cuda"]
)
def test_what_names_no_devices_is_refused(asked):
    with pytest.raises(ValueError, match="auto, cpu, cuda or tensorrt"):
        device_names(asked)


@pytest.mark.parametrize("asked", ["cuda:1,cuda:1", "cuda,cuda:0", "cpu,cpu"])
def test_a_device_named_twice_is_refused(asked):
    with pytest.raises(ValueError, match="twice"):
        device_names(asked)


def test_engines_lie_in_the_users_cache(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert default_tensorrt_cache() == Path("/caches/swin-embed/tensorrt")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_tensorrt_cache() == Path("/home/me/.cache/swin-embed/tensorrt")
