"""The playground, end to end: Chromium on a real server."""

import base64
import csv
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.service.api.test_clients import CLIENTS
from tests.support.browser import CHROMIUM, DRIVER, Page, chromium
from tests.support.images import encode, noise, photos
from tests.support.process import SOON, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver"
    ),
]


@pytest.fixture(scope="module")
def driver():
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def address(artifact):
    with running(model=artifact) as (_, address):
        yield address


@pytest.fixture
def page(driver, address, tmp_path) -> Page:
    return Page(driver, address, tmp_path)


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Six photos: two of each of three scenes, a part of one beside the whole."""
    written = []
    for name in ("china", "coffee", "flower"):
        photo = photos()[name]
        part = photo.crop((20, 20, photo.width - 20, photo.height - 20))
        for number, image in enumerate((photo, part), start=1):
            written.append(tmp_path / f"{name}-{number}.jpg")
            written[-1].write_bytes(encode(image, "JPEG", quality=90))
    return written


def vector_of(address: str, file: Path) -> np.ndarray:
    """The vector as the API gives it: float32 `[dim]`."""
    request = urllib.request.Request(
        f"{address}/embed", file.read_bytes(), {"Content-Type": "image/jpeg"}
    )
    with urllib.request.urlopen(request, timeout=SOON) as answer:
        return np.float32(json.load(answer)["embeddings"][0])


def table(page: Page) -> np.ndarray:
    """The cosines that the page shows: `[n, n]`."""
    rows = page.script(
        "return [...document.querySelectorAll('#heatmap tbody tr')].map((row) =>"
        " [...row.querySelectorAll('td')].map((cell) => Number(cell.textContent)))"
    )
    return np.array(rows)


def neighbours(page: Page) -> list[list[tuple[str, float]]]:
    """The names and cosines beside each image."""
    return page.script(
        "return [...document.querySelectorAll('.neighbours')].map((list) =>"
        " [...list.querySelectorAll('li')].map((item) => [item.title, Number(item.textContent)]))"
    )


def test_six_images_compare_and_their_vectors_download(page, address, files):
    page.drop(*files)
    assert page.settle(6) == ["embedded"] * 6
    assert page.find("#status").text == "6 images embedded"
    vectors = np.stack([vector_of(address, file) for file in files])  # [6, dim]

    cosines = vectors.astype(np.float64) @ vectors.T
    assert np.abs(table(page) - cosines).max() <= 0.0051
    assert page.texts("#heatmap tbody th") == [file.name for file in files]

    for shown, row in zip(neighbours(page), cosines, strict=True):
        best = np.argsort(-row)[1:4]  # the first is the image itself
        assert [name for name, _ in shown] == [files[i].name for i in best]
        assert [value for _, value in shown] == pytest.approx(row[best], abs=5.1e-4)

    card = page.card("coffee-2.jpg")
    card.find_element(By.CLASS_NAME, "npy").click()
    saved = np.load(page.downloaded("coffee-2.npy"))
    assert saved.dtype == np.float32
    assert saved.tobytes() == vectors[3].tobytes()
    card.find_element(By.CLASS_NAME, "json").click()
    content = json.loads(page.downloaded("coffee-2.json").read_text())
    assert content["name"] == "coffee-2.jpg"
    assert np.float32(content["embedding"]).tobytes() == vectors[3].tobytes()

    page.find("#all-npy").click()
    assert np.load(page.downloaded("embeddings.npy")).tobytes() == vectors.tobytes()
    page.find("#all-json").click()
    content = json.loads(page.downloaded("embeddings.json").read_text())
    assert [image["name"] for image in content["images"]] == [file.name for file in files]


def test_a_corrupt_file_fails_alone(page, files):
    files[3].write_bytes(files[3].read_bytes()[:2000])
    page.drop(*files)
    assert page.settle(6) == [*["embedded"] * 3, "failed", *["embedded"] * 2]
    assert page.find("#status").text == "5 of 6 images embedded, 1 failed"
    failed = page.card("coffee-2.jpg")
    assert "invalid_image" in failed.find_element(By.CLASS_NAME, "state").text
    assert not failed.find_element(By.CLASS_NAME, "result").is_displayed()
    assert not failed.find_element(By.CLASS_NAME, "again").is_displayed()
    assert table(page).shape == (5, 5)
    assert len(page.texts(".card:not([data-state=failed]) .neighbours li")) == 5 * 3


def test_a_format_the_browser_cannot_show_is_embedded_all_the_same(page, tmp_path):
    file = tmp_path / "scan.tiff"
    file.write_bytes(encode(noise(40, 30), "TIFF"))
    page.choose(file)
    assert page.settle(1) == ["embedded"]
    assert page.find(".card .thumbnail").text == "TIFF"


def test_a_file_that_is_no_image_says_so(page, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("not an image")
    page.choose(file)
    assert page.settle(1) == ["failed"]
    assert page.find(".card .state").text.startswith("invalid_image")


def test_pasted_images_get_names_of_their_own(page):
    paste = """
      const data = new DataTransfer();
      const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
      data.items.add(new File([bytes], "image.png", { type: "image/png" }));
      dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
    """
    for _ in range(2):
        page.script(paste, base64.b64encode(encode(noise(20, 20))).decode())
    assert page.settle(2) == ["embedded"] * 2
    assert page.texts(".card .name") == ["image.png", "image (2).png"]


def test_removing_and_clearing(page, files):
    page.drop(*files[:3])
    page.settle(3)
    page.card("china-2.jpg").find_element(By.CLASS_NAME, "remove").click()
    page.until(lambda: table(page).shape == (2, 2))
    assert page.driver.switch_to.active_element.get_attribute("title") == "Remove coffee-1.jpg"
    page.find("#clear").click()
    page.until(lambda: not page.cards())
    assert not page.find("#results").is_displayed()


def test_an_untrained_model_is_announced(page):
    assert page.find("#untrained").is_displayed()
    assert "Untrained model" in page.find("#untrained").text


def test_all_of_it_works_by_keyboard(page):
    stops = []
    for _ in range(8):
        page.press(Keys.TAB)
        focused = page.driver.switch_to.active_element
        ring = focused if focused.tag_name != "input" else focused.find_element(By.XPATH, "..")
        assert page.script("return getComputedStyle(arguments[0]).outlineStyle", ring) == "solid"
        names = (focused.get_attribute(name) for name in ("id", "value", "textContent"))
        stops.append(next(name for name in names if name))
    controls = ["choose", "examples", "curl", "copy-snippet"]
    assert stops[:7] == ["Code", "API reference", "Metrics", *controls]
    page.find("#examples").send_keys(Keys.ENTER)
    assert page.settle(9) == ["embedded"] * 9
    page.find("#languages input").send_keys(Keys.ARROW_RIGHT)
    assert page.find("#snippet").text.startswith("import json")


def test_it_fits_a_phone(page):
    page.show(360, 780)
    page.find("#examples").click()
    page.settle(9)
    assert page.script("return document.documentElement.scrollWidth") == 360
    outside = """
      return [...document.querySelectorAll("main :is(button, h2, h3, li, p)")].filter(
        (element) => element.checkVisibility() && element.getBoundingClientRect().right > 360,
      ).map((element) => element.outerHTML)"""
    assert page.script(outside) == []


# Colours as the browser paints them, so that oklch() and transparency are its business.
CONTRASTS = """
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  function luminance(colour) {
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  function ground(element) {
    const colour = getComputedStyle(element).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" ? ground(element.parentElement) : colour;
  }
  return [...document.querySelectorAll("body *")]
    .filter((element) => element.checkVisibility())
    .filter((element) => [...element.childNodes].some((node) => node.data?.trim()))
    .map((element) => {
      const [a, b] = [getComputedStyle(element).color, ground(element)].map(luminance);
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML];
    });
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(page, files, scheme):
    """WCAG 2.2, 1.4.3: a contrast of 4.5 at least, on every cell of the table too."""
    files[0].write_bytes(b"damaged")
    page.show(1400, 900, scheme)
    page.choose(*files)
    page.settle(6)
    page.find("#examples").click()
    page.settle(15)
    contrasts = page.script(CONTRASTS)
    assert sum("<td" in html for _, html in contrasts) == 14 * 14
    assert [(ratio, html) for ratio, html in contrasts if ratio < 4.5] == []


@pytest.mark.parametrize("language", ["curl", "Python", "OpenAI SDK"])
def test_snippets_run(page, address, files, tmp_path, language):
    label = f"#languages input[value='{language}']"
    page.find(label).find_element(By.XPATH, "..").click()
    (tmp_path / "photo.jpg").write_bytes(files[0].read_bytes())
    text = page.find("#snippet").text
    commands = {
        "curl": ["sh", "-c", text],
        "Python": [sys.executable, "-c", text],
        "OpenAI SDK": [CLIENTS / "bin" / "python", "-c", text],
    }
    if language == "OpenAI SDK" and not CLIENTS.exists():
        pytest.skip("needs make setup-clients")
    done = subprocess.run(
        commands[language], cwd=tmp_path, capture_output=True, text=True, timeout=SOON
    )
    assert done.returncode == 0, done.stderr
    if language == "curl":
        (vector,) = json.loads(done.stdout)["embeddings"]
        assert np.float32(vector).tobytes() == vector_of(address, files[0]).tobytes()
    else:
        assert done.stdout == {"Python": "(128,)\n", "OpenAI SDK": "128\n"}[language]


def test_stages_are_timed_by_the_service(page, files):
    page.drop(files[0])
    page.settle(1)
    assert [text.split()[0] for text in page.texts(".timings li")] == [
        "decode",
        "queue",
        "inference",
    ]
    shares = page.script(
        "return [...document.querySelectorAll('.bar span')].map((part) => part.offsetWidth)"
    )
    assert sum(shares) > 0
    assert all(share > 0 for share in shares)


def test_a_server_with_keys_is_given_one(driver, artifact, files, tmp_path):
    with running(model=artifact, api_keys="secret") as (_, address):
        page = Page(driver, address, tmp_path)
        page.until(page.find("#key").is_displayed)
        page.drop(files[0])
        assert page.settle(1) == ["failed"]
        assert page.find(".card .state").text.startswith("invalid_api_key")
        assert not page.find("#key-refused").is_displayed()
        page.find("#key-field").send_keys("guess", Keys.ENTER)
        page.until(page.find("#key-refused").is_displayed)
        page.find("#key-field").clear()
        page.find("#key-field").send_keys("secret", Keys.ENTER)
        page.until(lambda: page.settle(1) == ["embedded"])
        assert not page.find("#key").is_displayed()
        page.until(lambda: "dimensions" in page.find("#model").text)
        assert "Authorization: Bearer $SWIN_API_KEY" in page.find("#snippet").text


def test_it_waits_while_the_service_is_busy(driver, artifact, tmp_path):
    one_by_one = {"streams": 1, "max_queue_size": 1, "max_images_per_request": 1}
    files = [tmp_path / f"large-{number}.png" for number in range(4)]
    for seed, file in enumerate(files):
        file.write_bytes(encode(noise(1500, 1500, seed)))
    with running(model=artifact, **one_by_one) as (_, address):
        page = Page(driver, address, tmp_path)
        page.drop(*files)
        assert page.settle(4) == ["embedded"] * 4
        with urllib.request.urlopen(f"{address}/metrics", timeout=SOON) as answer:
            rejected = re.search(
                r'swin_rejected_total{reason="queue_full"} (\S+)', answer.read().decode()
            )
    assert float(rejected[1]) > 0


def test_a_broken_connection_is_told_apart_and_can_be_tried_again(page, files):
    network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.command("Network.enable")
    page.command("Network.emulateNetworkConditions", offline=True, **network)
    try:
        page.drop(files[0])
        assert page.settle(1) == ["failed"]
        assert page.find(".card .state").text.startswith("no_answer")
    finally:
        page.command("Network.emulateNetworkConditions", offline=False, **network)
    page.find(".card .again").click()
    page.until(lambda: page.settle(1) == ["embedded"])


def test_a_file_over_the_limit_says_so(driver, artifact, files, tmp_path):
    file = tmp_path / "large.png"
    file.write_bytes(encode(noise(900, 900)))
    with running(model=artifact, max_request_bytes=1_000_000) as (_, address):
        page = Page(driver, address, tmp_path)
        page.drop(files[0], file)
        assert page.settle(2) == ["embedded", "failed"]
        assert page.card("large.png").find_element(By.TAG_NAME, "code").text == "request_too_large"
        assert page.card("large.png").find_element(By.TAG_NAME, "small").text.startswith("request ")


def test_a_folder_gives_its_files(page, files, tmp_path):
    folder = tmp_path / "album"
    inner = folder / "inner"
    inner.mkdir(parents=True)
    files[0].rename(folder / "a.jpg")
    files[1].rename(inner / "b.jpg")
    (folder / ".hidden").touch()
    page.drop(folder)
    page.settle(2)
    assert sorted(page.texts(".card .name")) == ["a.jpg", "b.jpg"]


def test_sorting_puts_alike_ones_side_by_side(page, files):
    mixed = [files[i] for i in (0, 2, 4, 1, 3, 5)]
    page.choose(*mixed)
    page.settle(6)
    page.find("#sort").click()
    names = [name.partition("-")[0] for name in page.texts("#heatmap tbody th")]
    assert names[0::2] == names[1::2]
    assert set(names) == {"china", "coffee", "flower"}


@pytest.fixture
def many(tmp_path) -> list[Path]:
    """Forty-two images: fourteen of noise, each followed by two that are nearly the same."""
    written = []
    for seed in range(14):
        image = noise(48, 48, seed)
        for number, side in enumerate((48, 47, 46)):
            written.append(tmp_path / f"noise-{seed:02}-{number}.png")
            written[-1].write_bytes(encode(image.resize((side, side))))
    return written


def names(page: Page) -> list[str]:
    return page.texts("#cards .name")


def middle_of_cell(page: Page, row: int, column: int, count: int) -> tuple[float, float]:
    """Where a cell of the matrix is, from the canvas's middle, as ActionChains counts."""
    width, height = page.script(
        "const c = document.querySelector('#matrix canvas'); return [c.clientWidth, c.clientHeight]"
    )
    assert width == pytest.approx(height, abs=1)  # square
    step = (width - 26) / count
    return 26 + (column + 0.5) * step - width / 2, 26 + (row + 0.5) * step - height / 2


def test_from_16_images_on_a_matrix_tells_both_images_and_opens_them(page, many):
    page.choose(*many[:18])
    page.settle(18)
    assert page.find("#matrix").is_displayed()
    assert not page.find("#heatmap").is_displayed()
    order = names(page)  # the cards follow the sorting of the matrix
    assert sorted(order) == sorted(file.name for file in many[:18])
    assert all(len({name[:8] for name in order[i : i + 3]}) == 1 for i in range(0, 18, 3))
    x, y = middle_of_cell(page, 2, 7, 18)
    mouse = ActionChains(page.driver, duration=0)
    mouse.move_to_element_with_offset(page.find("#matrix canvas"), round(x), round(y)).perform()
    page.until(lambda: page.find("#matrix .tip").is_displayed())
    assert page.texts("#matrix .tip figcaption") == [order[2], order[7]]
    told = page.find("#matrix .tip b").text
    mouse.click().perform()
    page.until(lambda: page.find(".viewer").is_displayed())
    assert page.texts(".viewer figcaption") == [order[2], order[7]]
    assert page.find(".viewer h2").text == f"{told} cosine similarity"
    page.press(Keys.ESCAPE)
    page.find("#sort").click()
    page.until(lambda: names(page) == [file.name for file in many[:18]])


def test_a_matrix_is_read_by_keyboard(page, many):
    page.choose(*many[:16])
    page.settle(16)
    page.script("document.querySelector('#matrix canvas').focus()")
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    order = names(page)
    page.until(
        lambda: page.texts("#matrix [aria-live]")[0].startswith(f"{order[0]} and {order[1]}: ")
    )


def test_beyond_40_images_a_map_shows_them_all(page, many):
    page.choose(*many)
    page.settle(42)
    assert page.find("#map").is_displayed()
    assert not page.find("#matrix").is_displayed()
    page.until(
        lambda: page.script(
            "const c = document.querySelector('#map canvas');"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "return d.some((value) => value > 0)"
        )
    )
    page.find("#views [value=matrix]").find_element(By.XPATH, "..").click()
    assert page.find("#matrix").is_displayed()


def test_the_similarities_are_saved(page, address, many):
    (many[0].parent / "=1+1.png").write_bytes(many[3].read_bytes())
    page.choose(*many[:15], many[0].parent / "=1+1.png")
    page.settle(16)
    page.find("#sort").click()
    page.find("#matrix-csv").click()
    rows = list(csv.reader(page.downloaded("similarity.csv").read_text().splitlines()))
    expected = ["", *(file.name for file in many[:15]), "'=1+1.png"]
    assert rows[0] == [row[0] for row in [[""], *rows[1:]]] == expected
    vectors = np.stack([vector_of(address, file) for file in many[:15]])
    assert np.float64([row[1:16] for row in rows[1:16]]) == pytest.approx(
        vectors @ vectors.T, abs=1e-5
    )
    page.find("#matrix-png").click()
    with Image.open(page.downloaded("similarity.png")) as saved:
        assert saved.width == saved.height == 2 * 26 + 16 * 24


def test_more_like_this_puts_likes_first(page, many):
    page.choose(*many[:18])
    page.settle(18)
    page.card("noise-03-1.png").find_element(By.CLASS_NAME, "picture").click()
    page.until(lambda: page.find(".viewer").is_displayed())
    assert page.find(".viewer .strip svg").is_displayed()
    page.find(".viewer .like").click()
    page.until(lambda: page.find("#liked").is_displayed())
    assert not page.find(".viewer").is_displayed()
    assert page.find("#liked-name").text == "Most like noise-03-1.png first"
    assert names(page)[0] == "noise-03-1.png"
    assert {name[:8] for name in names(page)[:3]} == {"noise-03"}
    values = [float(text) for text in page.texts("#cards .likeness")[1:]]
    assert values == sorted(values, reverse=True)
    page.find("#unlike").click()
    page.until(lambda: not page.find("#liked").is_displayed())


def test_what_is_not_1_is_not_shown_as_1(page):
    shown = page.driver.execute_async_script(
        "import('./playground/cosine.js').then(({ cosine, digitsFor }) => arguments[0]("
        "[cosine(0.996, 2), cosine(0.99996, 4), cosine(1 - 1e-9, 2), cosine(-0.001, 2),"
        " digitsFor(0.1, 0.996)]))"
    )
    assert shown == ["0.99", "0.9999", "1.00", "0.00", 3]


def test_a_drag_shows_where_it_lands_wherever_one_has_scrolled(page, many):
    page.choose(*many[:18])
    page.settle(18)
    page.script("scrollTo(0, document.body.scrollHeight)")
    data = {"items": [], "files": [str(many[20])], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver"):
        page.command("Input.dispatchDragEvent", type=kind, x=700, y=450, data=data)
    page.until(lambda: page.find(".drop").is_displayed())
    box = page.script("return document.querySelector('.drop').getBoundingClientRect().toJSON()")
    assert (box["top"], box["height"]) == (0, 900)
    page.command("Input.dispatchDragEvent", type="drop", x=700, y=450, data=data)
    assert page.settle(19) == ["embedded"] * 19
    assert not page.find(".drop").is_displayed()


def test_vectors_and_snippets_are_copied(page, address, files):
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    page.command("Browser.grantPermissions", permissions=permissions, origin=address)
    page.choose(files[0])
    page.settle(1)
    copied = "return navigator.clipboard.readText()"
    page.find(".card .copy").click()
    page.until(lambda: page.find(".card .copy").text == "Copied")
    vector = np.float32(json.loads(page.script(copied)))
    assert vector.tobytes() == vector_of(address, files[0]).tobytes()
    page.find("#copy-snippet").click()
    page.until(lambda: page.find("#copy-snippet").text == "Copied")
    assert page.script(copied) == page.find("#snippet").text
    page.until(lambda: page.find("#copy-snippet").text == "Copy")


def test_nothing_comes_from_elsewhere_and_nothing_is_complained_of(page, address, files):
    page.drop(*files)
    page.settle(6)
    loaded = page.script("return performance.getEntriesByType('resource').map(({name}) => name)")
    assert [name for name in loaded if not name.startswith((address, f"blob:{address}"))] == []
    log = page.driver.get_log("browser")
    assert [line for line in log if line["level"] != "DEBUG"] == []
