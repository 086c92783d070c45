"""Both pages behind a reverse proxy that serves them below a prefix, in Chromium."""

import pytest
from selenium.webdriver.common.by import By

from tests.support.browser import CHROMIUM, DRIVER, Page, chromium
from tests.support.images import jpeg
from tests.support.process import running
from tests.support.proxy import proxy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver"
    ),
]


@pytest.mark.parametrize(
    ("root_path", "keeps"),
    [("", False), ("/swin", False), ("/swin", True)],
    ids=["stripped", "stripped and told", "kept"],
)
def test_the_pages_find_the_service_below_a_prefix(artifact, tmp_path, root_path, keeps):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg("chelsea"))
    with (
        running(model=artifact, root_path=root_path) as (_, address),
        proxy(address, "/swin", keeps=keeps) as outside,
        chromium() as driver,
    ):
        page = Page(driver, f"{outside}/swin", tmp_path)
        page.choose(photo)
        assert page.settle(1) == ["embedded"]
        assert f"{outside}/swin/embed" in page.find("#snippet").text
        page.find("nav a[href=docs]").click()
        for selector in ("[data-path='/v1/models']", ".try-out__btn", ".execute"):
            page.until(lambda at=selector: driver.find_elements(By.CSS_SELECTOR, at))[0].click()
        page.until(lambda: "embedding_dim" in driver.page_source)
        assert f"{outside}/swin/v1/models" in driver.page_source
        assert [line for line in driver.get_log("browser") if line["level"] == "SEVERE"] == []
