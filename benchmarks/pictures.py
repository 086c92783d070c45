"""`python -m benchmarks.pictures --model FILE`: the pictures of the pages that the documents show.

Writes docs/playground.webp, docs/explorer.webp and docs/duplicates.webp: headless Chromium on the
playground, the explorer and a page of duplicates. The images are parts of photos that scikit-image
carries and that are in the public domain or CC0: NASA's astronaut, Moon and Hubble deep field,
SpaceX's rocket, the camera man, Chelsea the cat, a cup of coffee and bricks.
"""

import argparse
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from benchmarks.explore import Server
from tests.support.browser import Page, chromium
from tests.support.process import running

NAMES = ("astronaut", "camera", "brick", "chelsea", "coffee", "moon", "rocket")
COUNT = 96
WIDTH, HEIGHT = 1280, 800
DOCS = Path(__file__).parents[1] / "docs"


def cut(folder: Path) -> list[Path]:
    """Parts of the photos as JPEGs, the same each time."""
    random = np.random.default_rng(0)
    photos = {name: getattr(skimage.data, name)() for name in (*NAMES, "hubble_deep_field")}
    files = []
    for number in range(COUNT):
        name = list(photos)[number % len(photos)]
        photo = Image.fromarray(photos[name]).convert("RGB")
        share = random.uniform(0.4, 0.95)
        width, height = round(photo.width * share), round(photo.height * share)
        left = int(random.integers(photo.width - width + 1))
        top = int(random.integers(photo.height - height + 1))
        part = photo.crop((left, top, left + width, top + height))
        part.thumbnail((640, 640))
        files.append(folder / f"{name}-{number:02}.jpg")
        part.save(files[-1], quality=88)
    return files


def take(page: Page, name: str) -> None:
    """Write what the browser shows, once that does not change any more."""
    before = b""
    while (seen := page.driver.get_screenshot_as_png()) != before:
        before = seen
        time.sleep(4)  # images that are still on their way come within this
    shown = Image.open(io.BytesIO(seen)).convert("RGB")
    shown.save(DOCS / name, quality=78, method=6)
    print(f"docs/{name}: {(DOCS / name).stat().st_size / 1e3:.0f} kB")


class Plain(Page):
    """Any page, ready when it is loaded."""

    def ready(self) -> bool:
        return True


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, chromium() as driver:
        place = Path(scratch)
        folder = place / "photos"
        folder.mkdir()
        files = cut(folder)
        command = [sys.executable, "-m", "swin_embed"]
        model = f"--model={options.model}"
        subprocess.run(
            [*command, "embed", str(folder), f"--output={place}/vectors", model], check=True
        )
        with running(model=options.model) as (_, address):
            page = Page(driver, address, place)
            page.show(WIDTH, HEIGHT)
            page.choose(*files[:27])
            page.settle(27)
            take(page, "playground.webp")
        html = place / "page.html"
        subprocess.run(
            [*command, "duplicates", f"{place}/vectors", f"--html={html}", model], check=True
        )
        page = Plain(driver, html.as_uri(), place)
        page.show(WIDTH, HEIGHT)
        driver.get(html.as_uri())
        take(page, "duplicates.webp")
        server = Server(place / "vectors")
        try:
            while b'"running": true' in server.get("api/state"):
                time.sleep(1)
            page = Plain(driver, server.address.rstrip("/"), place)
            page.show(WIDTH, HEIGHT)
            take(page, "explorer.webp")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
