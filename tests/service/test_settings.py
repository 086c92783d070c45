import pytest
from pydantic import ValidationError

from service.settings import Settings


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
        ("SWIN_MAX_IMAGES_PER_REQUEST", "1000"),
    ],
)
def test_nonsense_is_refused(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()
