import json
import logging
import sys

from service.observability import logs
from service.observability.logs import EcsFormatter
from service.settings import Settings


def record(message: str, *args, exc_info=None) -> logging.LogRecord:
    return logging.LogRecord("service", logging.WARNING, __file__, 1, message, args, exc_info)


def test_json_lines_are_one_object_each():
    line = EcsFormatter().format(record("%d images\nlost", 3))
    assert "\n" not in line
    fields = json.loads(line)
    assert fields["message"] == "3 images\nlost"
    assert fields["log.level"] == "warning"


def test_json_lines_carry_the_exception():
    try:
        raise ValueError("no")
    except ValueError:
        line = EcsFormatter().format(record("failed", exc_info=sys.exc_info()))
    assert "ValueError: no" in json.loads(line)["error.stack_trace"]


def test_fields_stand_in_for_what_people_read():
    told = record("POST /embed 200 images=1")
    told.fields = {"message": "POST /embed 200", "http.response.status_code": 200}
    fields = json.loads(EcsFormatter().format(told))
    assert (fields["message"], fields["http.response.status_code"]) == ("POST /embed 200", 200)
    assert fields["service.name"] == "swin-embed"
    assert fields["@timestamp"].endswith("Z")


def test_uvicorn_says_only_what_went_wrong():
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        logs.configure("console", "info")
        assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.INFO)
        assert logging.getLogger("uvicorn.error").isEnabledFor(logging.WARNING)
    finally:
        logging.basicConfig(handlers=before[0], level=before[1], force=True)
        logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)


def test_limits_are_one_line_without_keys():
    line = logs.limits(Settings(api_keys="hunter2"))
    assert "requests of 16 MiB, 256 images" in line
    assert line.endswith("keys: 1")
