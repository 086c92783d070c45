"""`python -m benchmarks.collection --model FILE`: `swin-embed` beside its ceiling; peaks of memory.

Generated JPEGs of mixed sizes are embedded by the command, a tenth of them and then all, in turns
with decoding and running the model on a sample of them in a loop, a stream a core, without reading,
hashing and writing.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measurements import BUSY, Ceiling, Setup
from benchmarks.servers import ROOT

SIZES = ((320, 240), (500, 375), (640, 480), (800, 600), (1280, 960), (1920, 1080))
SHARES = (0.15, 0.35, 0.2, 0.15, 0.1, 0.05)

CEILING_IMAGES = 1000
"""As many are in memory, and take about a turn of the ceiling."""

COMMAND = """
import json, re, sys
from swin_embed.__main__ import main
status = main(["embed", *sys.argv[1:]])
# getrusage would count what the parent had before this program took its place.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
print(json.dumps({"status": status, "peak_mb": peak * 1024 / 1e6}))
"""


def write(folder: Path, count: int) -> None:
    """Write JPEGs of clouds and noise, upright and lying, unless they are there already."""
    for number in range(count):
        path = folder / f"{number:05}.jpg"
        if path.exists():
            continue
        random = np.random.default_rng(number)
        width, height = SIZES[random.choice(len(SIZES), p=SHARES)][:: 1 if number % 2 else -1]
        clouds = random.integers(0, 256, (height // 40 + 2, width // 40 + 2, 3), np.uint8)
        smooth = Image.fromarray(clouds).resize((width, height), Image.Resampling.BICUBIC)
        noise = random.integers(-10, 11, (height, width, 1), np.int16)
        pixels = np.clip(np.asarray(smooth, np.int16) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=85)


def embed(model: Path, images: list[Path], folder: Path) -> tuple[float, float]:
    """Images a second of the command on these images, its start counted, and its peak in MB."""
    manifest = folder / "images.txt"
    manifest.write_text("\n".join(map(str, images)))
    with tempfile.TemporaryDirectory(dir=folder) as output:
        arguments = [str(manifest), f"--output={output}", f"--model={model}", "--json"]
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        taken = time.perf_counter() - began
    summary, process = map(json.loads, done.stdout.splitlines())
    return summary["embedded"] / taken, process["peak_mb"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collection", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--folder", type=Path, help="keeps the images (default: a temporary one)")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=3, help="turns; medians are compared")
    parser.add_argument("--seconds", type=float, default=10, help="of a turn of the ceiling")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(exist_ok=True)
        write(folder, options.images)
        images = sorted(folder.glob("*.jpg"))[: options.images]
        some = images[:: max(1, len(images) // CEILING_IMAGES)]
        ceiling = Ceiling(options.model, Setup(folder, 1, options.seconds, images=some))
        rates = []
        for count in (len(images) // 10, *[len(images)] * options.repeats):
            ceiling.measure(BUSY)
            rate, peak = embed(options.model, images[:count], Path(scratch))
            print(f"{count} images: {rate:.1f} images/s, peak {peak:.0f} MB", flush=True)
            rates.append(rate)
        ceiling.measure(BUSY)
        most, rate = ceiling.medians()[BUSY], statistics.median(rates[1:])
        print(f"ceiling {most:.1f} images/s, swin-embed {rate:.1f}: {rate / most:.3f}")


if __name__ == "__main__":
    main()
