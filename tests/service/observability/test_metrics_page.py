import asyncio
import threading

from prometheus_client import CollectorRegistry

from service.observability.metrics_page import MetricsPage

REGISTRY = CollectorRegistry()


def test_who_asks_while_a_page_is_written_shares_the_next():
    begun, may_go_on = threading.Event(), threading.Event()
    written = []

    def encode(_) -> bytes:
        written.append(None)
        begun.set()
        may_go_on.wait()
        return b"%d" % len(written)

    async def ask() -> list[bytes]:
        page = MetricsPage()
        first = asyncio.create_task(page.text(REGISTRY, "text/plain", encode))
        await asyncio.to_thread(begun.wait)
        others = [
            asyncio.create_task(page.text(REGISTRY, "text/plain", encode)) for _ in range(100)
        ]
        others.pop().cancel()
        await asyncio.sleep(0)
        may_go_on.set()
        return await asyncio.gather(first, *others)

    assert asyncio.run(ask()) == [b"1", *[b"2"] * 99]


def test_forms_are_not_mixed_up():
    async def ask() -> list[bytes]:
        page = MetricsPage()
        forms = {"one": lambda _: b"1", "other": lambda _: b"2"}
        return await asyncio.gather(*(page.text(REGISTRY, *form) for form in forms.items()))

    assert asyncio.run(ask()) == [b"1", b"2"]
