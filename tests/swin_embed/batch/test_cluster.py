"""Jobs on Ray clusters of three node processes on this machine."""

import json
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from swin_embed.batch import sources
from swin_embed.batch.collection import Collection
from tests.support.images import encode, noise

pytest.importorskip("ray", reason="needs make setup-scale")

from swin_embed.batch import bundles

ROOT = Path(__file__).parents[3]
ENVIRONMENT = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


class Nodes:
    def __init__(self, cpus, gpus):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.swin_embed.batch.nodes", str(cpus), str(gpus)],
            cwd=ROOT,
            env=ENVIRONMENT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.address = self.process.stdout.readline().strip()

    def kill_one(self):
        self.process.stdin.write("kill\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "killed\n"

    def close(self):
        self.process.communicate()


@pytest.fixture
def nodes():
    """Start clusters: call it with the CPUs and GPUs that each of three nodes offers."""
    started = []

    def start(cpus=2, gpus=0):
        started.append(Nodes(cpus, gpus))
        return started[-1]

    yield start
    for cluster in started:
        cluster.close()


def swin_embed(*arguments, **options):
    """Start the command in a process of its own: Ray's threads and signals stay out of this one."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return subprocess.Popen(
        [sys.executable, "-m", "swin_embed", "embed", *map(str, arguments), *flags, "--json"],
        cwd=ROOT,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def summary(process):
    out, err = process.communicate()
    return process.returncode, json.loads(out) if out else err


def rows(output):
    columns = ("id", "path", "sha256", "width", "height", "embedding", "error")
    found = [
        row for part in Collection.at(str(output)).tables(*columns) for row in part.to_pylist()
    ]
    return sorted(found, key=lambda row: row["id"])


@pytest.fixture
def table(tmp_path):
    """A table of 4000 images, each with an id of its own."""
    images = [encode(noise(33, 33, seed=seed)) for seed in range(100)]
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"image": [images[n % 100] for n in range(4000)]}), path)
    return path


def test_rows_and_bits_are_those_of_the_local_engine(photos, tmp_path, artifact, nodes):
    address = nodes().address
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(photos / "b", "b")
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "list.txt").write_text("photos/00.png\nphotos/gone.png\nphotos/01.png\n")
    sources = [tmp_path / name for name in ("photos", "a.tar", "cut.tar", "list.txt")]
    options = {"model": artifact, "part_rows": 7}
    here, there = tmp_path / "here", tmp_path / "there"
    status, local = summary(swin_embed(*sources, output=here, **options))
    cluster = {"engine": "ray", "address": address, "output": there}
    assert summary(swin_embed(*sources, **options, **cluster))[0] == status == 3
    assert rows(there) == rows(here)
    assert {row["error"].partition(":")[0] for row in rows(there) if row["error"]} == {
        "invalid_image",
        "unreadable",
    }
    status, again = summary(swin_embed(*sources, **options, **cluster))
    assert (status, again["embedded"], again["rows"]) == (3, 0, local["rows"])
    assert again["broken_sources"] == local["broken_sources"]
    assert again["skipped"] == local["rows"] + local["skipped"]


def test_a_job_survives_the_loss_of_a_node(tmp_path, artifact, nodes, table):
    cluster = nodes(cpus=1)
    here, there = tmp_path / "here", tmp_path / "there"
    assert summary(swin_embed(table, output=here, model=artifact))[0] == 0
    options = {"engine": "ray", "address": cluster.address, "output": there, "part_rows": 100}
    process = swin_embed(table, model=artifact, **options)
    while process.poll() is None and len(list(there.glob("part-*"))) < 3:
        threading.Event().wait(0.01)
    cluster.kill_one()
    assert process.poll() is None
    status, told = summary(process)
    assert (status, told["embedded"]) == (0, 4000)
    assert rows(there) == rows(here)


def test_a_glob_of_many_files_is_listed_in_a_few_tasks(tmp_path):
    for number in range(100):
        (tmp_path / f"{number}.png").touch()
    found = sources.find([str(tmp_path / "*.png")])
    assert len(found) == 100
    assert len(bundles.Listing(found, None).get_read_tasks()) == bundles.LISTINGS
    assert len(bundles.Listing(found[:1], None).get_read_tasks()) == 1


def test_what_cannot_be_had_is_told(photos, tmp_path, artifact, nodes):
    options = {"engine": "ray", "output": tmp_path / "out", "model": artifact}
    status, told = summary(swin_embed(photos, address="auto", **options))
    assert status == 1
    assert "swin-embed: no Ray cluster at auto" in told
    # Nodes with a GPU, and an onnxruntime that cannot use it: no silent fall back.
    status, told = summary(swin_embed(photos, address=nodes(gpus=1).address, **options))
    assert status == 1
    assert "swin-embed: the job failed on the cluster: SWIN_DEVICE=cuda" in told
