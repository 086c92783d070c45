"""How long it takes to write 64 x 1536 float32 as JSON: straight from NumPy, or through lists.

python -m benchmarks.json_encoding
"""

import json
import statistics
import timeit
from collections.abc import Callable

import numpy as np
import orjson

ROUNDS = 30


def main() -> None:
    vectors = np.random.default_rng(0).normal(size=(64, 1536)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ways: dict[str, Callable[[], object]] = {
        "orjson from NumPy": lambda: orjson.dumps(vectors, option=orjson.OPT_SERIALIZE_NUMPY),
        "tolist, orjson": lambda: orjson.dumps(vectors.tolist()),
        "tolist, json": lambda: json.dumps(vectors.tolist()),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, encode in ways.items():
            taken[way].append(timeit.timeit(encode, number=1))
    for way, seconds in taken.items():
        print(f"{way:18} {statistics.median(seconds) * 1000:7.2f} ms")


if __name__ == "__main__":
    main()
