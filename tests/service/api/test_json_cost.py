import base64
import json

import pytest

from service.api import json_cost
from service.api.json_cost import count_objects, count_tokens

LONG = b"A" * (2 * json_cost.PIECE_BYTES)


def test_tokens_and_objects():
    text = b'{"a": [1, 2, 3, {"b": "\\n"}]}'
    assert count_tokens(text) == 3 + 1 + 2 + 1 + 5 // 5
    assert count_objects(text) == 3 + 2


@pytest.mark.parametrize("wide", ["😀".encode(), "é".encode(), b"\\ud83d\\ude00", b"\\u00e9"])
@pytest.mark.parametrize("place", ["begin", "end", "piece"])
def test_a_long_string_beyond_ascii_costs_its_length(wide, place):
    """Python keeps every character of such a string in as many bytes as its widest has."""
    begin = b'{"a":"\\"'
    cut = {"begin": 0, "end": len(LONG), "piece": json_cost.PIECE_BYTES - len(begin) - 1}[place]
    text = begin + LONG[:cut] + wide + LONG[cut:] + b'\\""}'
    assert abs(count_tokens(text) - len(text) // 4) < 10


def test_strings_beyond_ascii_are_added_up():
    piece = LONG[: len(LONG) // 8]
    text = json.dumps(["é" + piece.decode()] * 8, ensure_ascii=False).encode()
    assert abs(count_tokens(text) - len(text) // 4) < 50


@pytest.mark.parametrize(
    "image",
    [
        LONG,
        LONG.replace(b"AAAA", b"A\\/AA"),  # as PHP writes a slash
        LONG.replace(b"AAAA", b"A\\u002BA"),  # as .NET writes a plus
    ],
)
def test_long_base64_beside_other_words_is_cheap(image):
    text = '{"user":"Zoë \\u00e9","input":"'.encode() + image + b'"}'
    assert count_tokens(text) - text.count(b"\\") < 20


def test_an_image_beside_words_is_embedded(client):
    photo = base64.b64encode(b"\x89PNG" + bytes(3_000_000)).decode()
    body = json.dumps({"input": [photo], "user": "Zoë"}, ensure_ascii=False)
    answer = client.post("/v1/embeddings", content=body.encode())
    assert answer.json()["error"]["code"] == "invalid_image"  # it was read
