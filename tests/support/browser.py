"""Chromium on the playground page, as a person uses it."""

import base64
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.process import SOON

# Of each card; none while its thumbnail is still being made, as that is drawn later.
STATES = """
  return [...document.querySelectorAll("#cards .card")].map((card) =>
    card.querySelector(".picture :is(img, .none:not(:empty))") ? card.dataset.state : "drawing");
"""

PAINT = """
const [files, done] = arguments;
(async () => {
  const painted = [];
  for (const [type, data] of files) {
    const image = new Image();
    image.src = `data:${type};base64,${data}`;
    try { await image.decode(); } catch (error) { painted.push(null); continue; }
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d");
    context.fillStyle = "white"; context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let text = ""; for (const value of pixels) text += String.fromCharCode(value);
    painted.push([canvas.width, canvas.height, btoa(text)]);
  }
  done(painted);
})();
"""
"""Each image file on white, as RGBA; null of one that is not shown."""

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A headless browser; `--no-sandbox` as tests may run as root in a container."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def painted(
    driver: webdriver.Chrome, files: Sequence[tuple[str, bytes]]
) -> list[npt.NDArray[np.uint8] | None]:
    """What is seen of image files, each with its media type: RGB `[height, width, 3]` on white."""
    driver.get("about:blank")
    seen = []
    for at in range(0, len(files), 40):
        given = [(kind, base64.b64encode(data).decode()) for kind, data in files[at : at + 40]]
        for one in driver.execute_async_script(PAINT, given):
            if one is not None:
                width, height, pixels = one[0], one[1], base64.b64decode(one[2])
                one = np.frombuffer(pixels, np.uint8).reshape(height, width, 4)[..., :3]
            seen.append(one)
    return seen


class Page:
    """The playground of the service at `address`, freshly loaded; downloads go to `folder`."""

    def __init__(self, driver: webdriver.Chrome, address: str, folder: Path) -> None:
        self.driver = driver
        self.folder = folder
        self.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self.show(1400, 900)
        driver.get_log("browser")  # what came before is no news
        driver.get(f"{address}/")
        self.until(self.ready)

    def ready(self) -> bool:
        """Whether it has what it begins with."""
        return bool(self.find("#model").text or self.find("#key").is_displayed())

    def command(self, name: str, **parameters: Any) -> Any:
        """Call the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def show(self, width: int, height: int, scheme: str = "light") -> None:
        """Take a screen's size, in pixels, and a colour scheme."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        # Without motion: a smooth scroll would move what is about to be clicked.
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.command("Emulation.setEmulatedMedia", features=features)

    def until(self, condition: Any) -> Any:
        return WebDriverWait(self.driver, SOON, poll_frequency=0.05).until(lambda _: condition())

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The text of each element, rendered or not."""
        found = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return [element.get_property("textContent") for element in found]

    def script(self, body: str, *arguments: Any) -> Any:
        return self.driver.execute_script(body, *arguments)

    def press(self, *keys: str) -> None:
        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def drop(self, *files: Path) -> None:
        """Drag files over the middle of the page and let go."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.command("Input.dispatchDragEvent", type=kind, x=700, y=450, data=data)

    def choose(self, *files: Path) -> None:
        """Pick files in the dialog behind "Choose images"."""
        self.find("#files").send_keys("\n".join(str(file) for file in files))

    def cards(self) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, "#cards .card")

    def card(self, name: str) -> WebElement:
        (card,) = (
            card for card in self.cards() if card.find_element(By.CLASS_NAME, "name").text == name
        )
        return card

    def settle(self, count: int) -> list[str]:
        """Wait until `count` images are embedded or failed and shown; which they are, in order."""

        def settled() -> list[str] | None:
            states: list[str] = self.script(STATES)
            done = len(states) == count and set(states) <= {"embedded", "failed"}
            return states if done else None

        self.until(settled)
        self.script("return new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
        return self.script(STATES)

    def downloaded(self, name: str) -> Path:
        """The file of that name, once the browser has written it."""
        file = self.folder / name
        self.until(lambda: file.exists() and file.stat().st_size > 0)
        return file
