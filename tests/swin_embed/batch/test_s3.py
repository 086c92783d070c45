"""Sources and outputs in a real S3-compatible server on this machine."""

import json
import re
import subprocess
import sys
import tarfile

import fsspec
import numpy as np
import pytest

from swin_embed.__main__ import main
from swin_embed.batch.collection import Collection

pytest.importorskip("s3fs", reason="needs make setup-scale")
pytest.importorskip("moto", reason="needs make setup-scale")


@pytest.fixture
def s3(monkeypatch):
    """A file system on a server of its own, with a bucket."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    address = next(
        found[1] for line in server.stderr if (found := re.search(r"on (http://[\d.:]+)", line))
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    fs.mkdir("bucket")
    yield fs
    server.kill()
    server.wait()
    server.stderr.close()


# botocore's and s3fs's own sessions are closed when they are collected, which tells of it.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_bucket_is_source_and_target(s3, photos, tmp_path, artifact, expected, capsys):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(photos / "b", "b")
    for file in sorted(photos.glob("*.png")):
        s3.pipe_file(f"bucket/in/deep/{file.name}", file.read_bytes())
    s3.pipe_file("bucket/shards/a.tar", (tmp_path / "a.tar").read_bytes())
    s3.pipe_file(
        "bucket/list.txt", b"in/deep/01.png\ns3://bucket/in/deep/02.png\nin/deep/gone.png\n"
    )
    run = [
        "embed",
        *("s3://bucket/list.txt", "s3://bucket/in", "s3://bucket/shards/*.tar"),
        *("--output=s3://bucket/out", f"--model={artifact}", "--part-rows=5", "--json"),
    ]
    assert main(run) == 3
    summary = json.loads(capsys.readouterr().out)
    assert (summary["embedded"], summary["failed"], summary["rows"]) == (11, 2, 13)
    assert sorted(s3.ls("bucket/out")) == [
        f"bucket/out/part-{number:06}.parquet" for number in range(3)
    ]
    rows = [
        row
        for table in Collection.at("s3://bucket/out").tables("id", "embedding", "error")
        for row in table.to_pylist()
    ]
    by_id = {row["id"]: row for row in rows}
    names = [f"s3://bucket/in/deep/{file.name}" for file in photos.glob("*.png")]
    names += [f"s3://bucket/shards/a.tar/b/{file.name}" for file in (photos / "b").glob("*.png")]
    assert sorted(by_id) == sorted([*names, "s3://bucket/in/deep/gone.png"])
    for name, row in by_id.items():
        if row["error"] is None:
            folder = photos / "b" if "a.tar" in name else photos
            (vector,) = expected((folder / name.rpartition("/")[2]).read_bytes())
            np.testing.assert_array_equal(np.array(row["embedding"], np.float32), vector)
    assert main(run) == 3
    assert json.loads(capsys.readouterr().out)["skipped"] == 15
