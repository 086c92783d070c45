"""Post made-up pictures to a service until told to stop: `load.py URL [CLIENTS]`.

Counts of answers go to standard output every ten seconds. For demonstrations; to measure, there is
`benchmarks/`.
"""

import collections
import io
import random
import sys
import threading
import time
import urllib.error
import urllib.request

from PIL import Image, ImageDraw


def picture(chance: random.Random) -> bytes:
    """A JPEG of coloured ellipses on a gradient, of a common photo size."""
    size = chance.choice([(640, 480), (480, 640), (1024, 768), (800, 800)])
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(30):
        left, top = chance.randrange(size[0]), chance.randrange(size[1])
        box = (left, top, left + chance.randrange(1, 300), top + chance.randrange(1, 300))
        draw.ellipse(box, fill=tuple(chance.randrange(256) for _ in range(3)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=chance.randrange(50, 95))
    return buffer.getvalue()


def client(url: str, answers: "collections.Counter[str]") -> None:
    chance = random.Random()  # noqa: S311 - colours
    while True:
        request = urllib.request.Request(url, picture(chance), {"Content-Type": "image/jpeg"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                response.read()
                answers[str(response.status)] += 1
        except urllib.error.HTTPError as error:
            answers[str(error.code)] += 1
            time.sleep(float(error.headers.get("Retry-After", 1)))
        except OSError as error:
            answers[type(error).__name__] += 1
            time.sleep(1)


def main() -> None:
    url, clients = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2
    answers: collections.Counter[str] = collections.Counter()
    for _ in range(clients):
        threading.Thread(target=client, args=(url, answers), daemon=True).start()
    while True:
        time.sleep(10)
        print(dict(answers), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
