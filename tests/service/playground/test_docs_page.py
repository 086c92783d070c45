"""Swagger UI, in Chromium, under the policy that it is served with."""

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.browser import CHROMIUM, DRIVER, chromium
from tests.support.process import SOON, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver"
    ),
]


def test_the_policy_stops_nothing_of_the_page(artifact):
    with running(model=artifact) as (_, address), chromium() as driver:
        driver.get(f"{address}/docs")
        wait = WebDriverWait(driver, SOON)
        path = "//span[@data-path='/v1/models']"
        wait.until(lambda driver: driver.find_elements(By.XPATH, path))[0].click()
        wait.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, ".try-out__btn"))[0].click()
        wait.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, ".execute"))[0].click()
        wait.until(lambda driver: "embedding_dim" in driver.page_source)
        assert driver.get_log("browser") == []
