import json
import logging
import sys

from service.observability.logs import JsonFormatter


def record(message: str, *args, exc_info=None) -> logging.LogRecord:
    return logging.LogRecord("service", logging.WARNING, __file__, 1, message, args, exc_info)


def test_json_lines_are_one_object_each():
    line = JsonFormatter().format(record("%d images\nlost", 3))
    assert "\n" not in line
    fields = json.loads(line)
    assert fields["message"] == "3 images\nlost"
    assert fields["level"] == "warning"


def test_json_lines_carry_the_exception():
    try:
        raise ValueError("no")
    except ValueError:
        line = JsonFormatter().format(record("failed", exc_info=sys.exc_info()))
    assert "ValueError: no" in json.loads(line)["exception"]
