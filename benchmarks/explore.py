"""`python -m benchmarks.explore [--images 100000]`: the explorer over many images.

The pictures are small JPEGs of one colour, and their vectors are drawn from a mixture of 60 normal
distributions, without a model. Printed are seconds until the page answers, until each part of the
map is there, and until it answers again with everything kept; the memory of the server and of what
computes; and frames a second of headless Chromium, without a GPU, while the map is panned by a
step a frame for five seconds at 1280 x 860. Needs `make setup` and
Debian's chromium and chromium-driver.
"""

import argparse
import hashlib
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from swin_embed.batch.collection import Collection
from swin_embed.batch.recipe import Recipe, Row
from tests.support.browser import chromium

DIM, GROUPS, PART = 256, 60, 4096

PAN = """
  const done = arguments[0];
  const canvas = document.querySelector("#map canvas");
  const press = (key) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  let frames = 0;
  const began = performance.now();
  function frame() {
    press(frames % 20 < 10 ? "ArrowLeft" : "ArrowRight");
    frames += 1;
    const took = performance.now() - began;
    if (took < 5000) requestAnimationFrame(frame);
    else done(frames / (took / 1000));
  }
  requestAnimationFrame(frame);
"""


def make(folder: Path, images: int, model: Path) -> Path:
    """Write pictures and a collection of them."""
    from service.engine import model as models

    loaded = models.load(model, "cpu", 1)
    random = np.random.default_rng(0)
    centres = random.normal(size=(GROUPS, DIM))
    recipe = Recipe(loaded.card, loaded.digest)
    collection = Collection.at(str(folder / "vectors"))
    colours = random.integers(0, 256, (GROUPS, 3))
    bodies = []
    for colour in colours:
        body = io.BytesIO()
        Image.new("RGB", (64, 48), tuple(int(c) for c in colour)).save(body, "JPEG")
        bodies.append(body.getvalue())
    number = 0
    for part in range(-(-images // PART)):
        rows = []
        for _ in range(min(PART, images - part * PART)):
            group = int(random.integers(GROUPS))
            place = folder / "pictures" / f"{group:02}"
            place.mkdir(parents=True, exist_ok=True)
            file = place / f"{number:06}.jpg"
            data = bodies[group] + str(number).encode()  # each with a sha256 of its own
            file.write_bytes(data)
            vector = centres[group] + 0.8 * random.normal(size=DIM)
            vector /= np.linalg.norm(vector)
            digest = hashlib.sha256(data).hexdigest()
            rows.append(Row(str(file), str(file), digest, 64, 48, vector.astype(np.float32)))
            number += 1
        collection.write(part, recipe.table(rows, len(rows)), "parquet")
    return folder / "vectors"


class Server:
    """The command, once it answers."""

    def __init__(self, collection: Path) -> None:
        began = time.monotonic()
        command = [sys.executable, "-m", "swin_embed", "explore", str(collection), "--no-browser"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        said = ""
        while not (found := re.search(r"images at (\S+)", said)):
            said = self.process.stderr.readline() if self.process.stderr else ""
            if not said:
                raise SystemExit("the explorer did not start")
        self.address = found[1]
        self.get("api/images")
        self.get("api/arrays/pca")
        self.seconds = time.monotonic() - began

    def get(self, path: str) -> bytes:
        return httpx.get(self.address + path, timeout=600).content

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def peak_mb(pid: int) -> float:
    """The most memory that a process has held, MB; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) / 1e3 if found else 0


def child_of(pid: int) -> int | None:
    """The process that computes."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def frames(address: str) -> float:
    """Frames a second while the map is panned."""
    with chromium() as driver:
        driver.set_window_size(1280, 860)
        driver.set_script_timeout(60)
        driver.get(address)
        time.sleep(5)
        pace: float = driver.execute_async_script(PAN)
        return pace


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explore", description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--model", type=Path, required=True, help="whose card is written")
    parser.add_argument("--folder", type=Path, help="keep the pictures and vectors here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        collection = folder / "vectors"
        if not collection.exists():
            make(folder, options.images, options.model)
        server = Server(collection)
        began = time.monotonic()
        print(f"first opened, with the map of principal components: {server.seconds:.1f} s")
        there: list[str] = []
        computing = 0.0
        while True:
            state = json.loads(server.get("api/state"))
            if child := child_of(server.process.pid):
                computing = max(computing, peak_mb(child))
            for name in state["there"]:
                if name not in there:
                    print(f"{name}: {time.monotonic() - began:.1f} s")
                    there.append(name)
            if not state["running"]:
                break
            time.sleep(0.5)
        print(state["trouble"] or f"computed with {computing:.0f} MB")
        server.stop()
        server = Server(collection)
        print(f"opened with everything kept: {server.seconds:.2f} s")
        print(f"frames a second while panning: {frames(server.address):.1f}")
        print(f"memory of the server: {peak_mb(server.process.pid):.0f} MB")
        server.stop()


if __name__ == "__main__":
    main()
