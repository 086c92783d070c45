import pytest
from prometheus_client import Counter, Gauge, Histogram, Info
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import CollectorRegistry

from service.observability.metrics import Metrics
from service.server.workers.merging import COUNTS, RULES, kept, merge


class Collected:
    def __init__(self, families):
        self._families = families

    def collect(self):
        return self._families


def samples(families) -> dict[str, float]:
    return {
        sample.name + "".join(f",{value}" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def process(requests=0, seconds=(), depth=0, open_fds=0, runs=0, digest="new", ready=1) -> list:
    registry = CollectorRegistry()
    counter = Counter("swin_requests", "", ["door"], registry=registry)
    if requests:
        counter.labels(f"door {requests}").inc(requests)
        counter.labels("embed").inc(requests)
    histogram = Histogram("swin_seconds", "", buckets=[1, 2], registry=registry)
    for number, value in enumerate(seconds):
        histogram.observe(value, {"request_id": f"{value}-{number}"})
    Counter("swin_inference_runs", "", registry=registry).inc(runs)
    Gauge("swin_queue_depth", "", registry=registry).set(depth)
    Gauge("swin_ready", "", registry=registry).set(ready)
    Gauge("process_open_fds", "", registry=registry).set(open_fds)
    Info("swin_model", "", registry=registry).info({"digest": digest})
    return list(registry.collect())


def test_what_is_counted_adds_up():
    merged = samples(merge(process(), [process(2, [0.5, 1.5]), process(3, [3])], process(4, [0])))
    assert merged["swin_requests_total,embed"] == 9
    assert merged["swin_requests_total,door 2"] == 2
    assert merged["swin_seconds_count"] == 4
    assert merged["swin_seconds_sum"] == 5
    assert [merged[f"swin_seconds_bucket,{le}"] for le in ("1.0", "2.0", "+Inf")] == [2, 3, 4]


def test_what_the_engine_knows_is_the_engine_s():
    worker = process(runs=5, digest="old", depth=3)
    merged = samples(merge(process(runs=7, depth=100), [worker, worker], process(runs=9)))
    assert merged["swin_inference_runs_total"] == 7
    assert merged["swin_model_info,new"] == 1
    assert merged["swin_queue_depth"] == 6
    assert "swin_model_info,old" not in merged


def test_whoever_is_worst_off_tells():
    workers = [process(open_fds=5), process(open_fds=9, ready=0)]
    merged = samples(merge(process(open_fds=7), workers, []))
    assert merged["process_open_fds"] == 9
    assert merged["swin_ready"] == 0


def test_a_process_that_ended_goes_on_counting_and_no_more():
    gone = kept(kept([], process(2, [1], depth=3)), process(3, [1], depth=4))
    assert {family.type for family in gone} == set(COUNTS)
    merged = samples(merge(process(), [process(1)], gone))
    assert merged["swin_requests_total,embed"] == 6
    assert merged["swin_seconds_count"] == 2
    assert merged["swin_queue_depth"] == 0


def test_the_newest_exemplar_stays():
    merged = merge(process(), [process(1, [0.1]), process(1, [0.2])], process(1, [0.3]))
    (first, *_) = [s for family in merged for s in family.samples if s.name.endswith("_bucket")]
    assert first.exemplar.labels == {"request_id": "0.3-0"}
    assert b'# {request_id="0.3-0"}' in generate_latest(Collected(merged))


def test_every_gauge_of_ours_has_a_rule():
    gauges = {family.name for family in Metrics().registry.collect() if family.type == "gauge"}
    assert {name for name in gauges if name.startswith("swin_")} <= set(RULES)


def test_rules_are_of_families_that_there_are():
    known = {family.name for family in Metrics().registry.collect()}
    assert set(RULES) <= known


@pytest.mark.parametrize("workers", [1, 3])
def test_nothing_is_lost_or_doubled(workers):
    whole = list(Metrics().registry.collect())
    merged = merge(whole, [list(Metrics().registry.collect()) for _ in range(workers)], [])
    assert samples(merged).keys() == samples(whole).keys()
