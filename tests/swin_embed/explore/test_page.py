"""The explorer, end to end: Chromium on the command."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.browser import CHROMIUM, DRIVER, Page, chromium
from tests.support.process import ROOT

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
def address(collection, artifact):
    """Where the explorer is."""
    command = [sys.executable, "-m", "swin_embed", "explore", str(collection), "--no-browser"]
    process = subprocess.Popen(
        [*command, f"--model={artifact}"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if "images at" in line:
            break
    else:
        raise AssertionError("the explorer did not start")
    yield line.split()[3].rstrip("/")
    process.terminate()
    process.wait()
    process.stderr.close()


class Explorer(Page):
    """The explorer at `address`, freshly loaded."""

    def ready(self):
        return bool(self.find("#about").text and self.find("#status").text)

    def view(self, name):
        self.find(f"#views [value={name}]").find_element(By.XPATH, "..").click()

    def names(self):
        return self.texts("#content .tile .name")


@pytest.fixture
def page(driver, address, tmp_path):
    return Explorer(driver, address, tmp_path)


def test_a_query_is_dropped_likes_clicked_filtered_and_a_selection_exported(
    page, collection, tmp_path
):
    page.drop(collection.parent / "photos/odd/5-small.webp")
    page.view("images")
    page.until(lambda: page.find("#near-name").text == "Most like 5-small.webp first")
    page.until(lambda: page.names()[:1] == ["5-small.webp"])

    page.until(lambda: page.find(".tile[title$='/2.png'] button")).click()
    page.until(lambda: page.find(".viewer .like").is_displayed())
    page.find(".viewer .like").click()
    page.until(lambda: page.find("#near-name").text == "Most like 2.png first")
    page.until(lambda: set(page.names()[:2]) == {"2.png", "2-copy.png"})
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.find("#near").is_displayed())

    page.find("#text").send_keys("odd/")
    page.until(lambda: len(page.names()) == 12)
    page.find("#type").send_keys("webp")
    page.until(lambda: page.names() == [f"{n}-small.webp" for n in (1, 3, 5, 7)])
    assert page.find("#status").text == "4 of 26 images"

    page.find("#select-shown").click()
    page.until(lambda: page.find("#selected").text == "4 selected")
    for form, name in (("paths", "selection.txt"), ("parquet", "selection.parquet")):
        page.find(f"#selection [data-form={form}]").click()
        saved = page.downloaded(name)
        paths = (
            saved.read_text().splitlines()
            if form == "paths"
            else pq.read_table(saved)["path"].to_pylist()
        )
        assert [Path(path).name for path in paths] == page.names()


def test_a_group_of_duplicates_is_opened_side_by_side(page):
    page.view("duplicates")
    page.until(lambda: page.find("#threshold"))
    page.script(
        "const f = document.querySelector('#threshold'); f.value = 0.999999;"
        "f.dispatchEvent(new Event('change'))"
    )
    page.until(lambda: "exact" in page.texts("#content .likeness"))
    keep = page.find("#content .tile.keep")
    copy = keep.find_element(By.XPATH, "following-sibling::li")
    copy.find_element(By.TAG_NAME, "button").click()
    page.until(lambda: len(page.texts(".viewer figcaption")) == 2)
    assert "cosine similarity" in page.find(".viewer h2").text


def test_errors_missing_files_and_names_like_markup_are_text(page):
    page.view("errors")
    page.until(lambda: len(page.texts("#content .errors li")) == 2)  # once files were looked at
    damaged, gone = page.texts("#content .errors li")
    assert "damaged.png" in damaged
    assert "invalid_image" in damaged
    assert "gone.png" in gone
    page.until(lambda: page.find("#error-count").text == "2")
    page.view("images")
    page.find("#text").send_keys("onerror")
    name = "<img src=x onerror=document.title='hit'>.png"
    page.until(lambda: page.names() == [name])
    page.find("#content .tile button").click()
    page.until(lambda: page.find(".viewer h2").text == name)
    assert "hit" not in page.driver.title


def test_the_map_is_drawn_and_its_images_open(page):
    drawn = """
      const c = document.querySelector('#map canvas');
      const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);
      return data.some((value) => value > 0);
    """
    page.until(lambda: page.script(drawn))


def test_it_is_used_by_keyboard(page):
    page.press("2")
    page.until(lambda: len(page.names()) == 26)
    page.script("document.querySelector('.tile button').focus()")
    page.press(Keys.ARROW_RIGHT, Keys.SPACE)
    page.until(lambda: page.find("#selected").text == "1 selected")
    page.press("m")
    page.until(lambda: page.find("#near").is_displayed())
    page.press(Keys.ESCAPE)
    page.press("/")
    assert page.driver.switch_to.active_element.get_attribute("id") == "text"


@pytest.mark.parametrize("view", ["map", "images", "clusters", "apart", "duplicates", "errors"])
def test_every_view_fits_a_phone_and_nothing_is_complained_of(page, address, view):
    page.show(360, 780)
    page.view(view)
    page.until(lambda: page.find("#status").text)
    assert page.script("return document.documentElement.scrollWidth") <= 360
    loaded = page.script("return performance.getEntriesByType('resource').map(({name}) => name)")
    assert [name for name in loaded if not name.startswith((address, f"blob:{address}"))] == []
    log = [line["message"] for line in page.driver.get_log("browser") if line["level"] != "DEBUG"]
    assert [line for line in log if "/api/" not in line] == []  # what is still being computed
