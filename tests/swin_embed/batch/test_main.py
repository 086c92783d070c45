"""The command, in this process and, where it is killed, in one of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest

from swin_embed.__main__ import main
from swin_embed.batch.collection import Collection
from tests.support.images import encode, jpeg, noise
from tests.support.process import running

ROOT = Path(__file__).parents[3]


@pytest.fixture
def swin_embed(artifact, capsys):
    """Run the command; its exit status and its summary."""

    def run(*arguments, **options):
        given = {"model": artifact} | options
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
        status = main(["embed", *map(str, arguments), *flags, "--json"])
        out = capsys.readouterr().out
        return status, json.loads(out) if out else {}

    return run


def rows(output):
    return [
        row
        for table in Collection.at(str(output)).tables("id", "embedding", "error")
        for row in table.to_pylist()
    ]


def test_embeds_a_folder_and_tells_of_the_damaged_one(photos, tmp_path, swin_embed, expected):
    output = tmp_path / "out"
    status, summary = swin_embed(photos, output=output, part_rows=5)
    assert status == 3
    assert {name: summary[name] for name in ("embedded", "failed", "skipped", "rows")} == {
        "embedded": 11,
        "failed": 1,
        "skipped": 0,
        "rows": 12,
    }
    assert sorted(path.name for path in output.iterdir()) == [
        "_errors-000000.parquet",
        *(f"part-{number:06}.parquet" for number in range(3)),
    ]
    for row in rows(output):
        if row["error"] is None:
            (vector,) = expected(Path(row["id"]).read_bytes())
            np.testing.assert_array_equal(np.array(row["embedding"], np.float32), vector)
        else:
            assert row["id"].endswith("05.png")


def test_rows_are_what_the_service_answers(artifact, photos, tmp_path, swin_embed):
    """Over a real socket, one image a request and all in one, bit for bit."""
    (photos / "china.jpg").write_bytes(jpeg("china"))
    output = tmp_path / "out"
    swin_embed(photos, output=output, part_rows=5)
    found = rows(output)
    good = [row for row in found if row["error"] is None]
    raw = {"Accept": "application/octet-stream"}
    with running(model=artifact) as (_, address), httpx.Client(base_url=address) as client:
        for row in found:
            answer = client.post("/embed", content=Path(row["id"]).read_bytes(), headers=raw)
            if row["error"] is None:
                assert answer.content == np.array(row["embedding"], "<f4").tobytes()
            else:
                error = answer.json()["error"]
                assert row["error"] == f"{error['code']}: {error['message']}"
        files = [("files", (Path(row["id"]).name, Path(row["id"]).read_bytes())) for row in good]
        together = client.post("/embed", files=files, headers=raw)
    assert len(good) == 12
    assert together.content == np.array([row["embedding"] for row in good], "<f4").tobytes()


def test_goes_on_with_what_is_new(photos, tmp_path, swin_embed):
    output = tmp_path / "out"
    (photos / "05.png").unlink()
    assert swin_embed(photos, output=output)[0] == 0
    (photos / "00.png").write_bytes(encode(noise(50, 50)))
    status, summary = swin_embed(photos, photos / "00.png", output=output, format="npy")
    assert (status, summary["embedded"], summary["skipped"], summary["rows"]) == (0, 1, 12, 12)
    assert sorted(row["id"] for row in rows(output)) == sorted(map(str, photos.rglob("*.png")))


def test_another_model_is_not_mixed_in(photos, tmp_path, swin_embed, artifact, capsys):
    output, other = tmp_path / "out", tmp_path / "other.onnx"
    swin_embed(photos, output=output)
    other.write_bytes(artifact.read_bytes() + b"\x0a\x00")  # an empty producer's name more
    assert swin_embed(photos, output=output, model=other) == (1, {})


@pytest.mark.parametrize(
    ("options", "status"),
    [({"model": "nowhere.onnx"}, 1), ({"device": "abacus"}, 2)],
)
def test_tells_what_cannot_be_had(photos, tmp_path, swin_embed, options, status):
    assert swin_embed(photos, output=tmp_path / "out", **options)[0] == status
    assert swin_embed(tmp_path / "nowhere", output=tmp_path / "out")[0] == 1


def test_a_mistake_is_a_line(photos, tmp_path, artifact, capsys, monkeypatch):
    output, file = tmp_path / "out", tmp_path / "file"
    embed, search = ["embed", str(photos), f"--model={artifact}"], ["search", str(output)]
    file.touch()
    assert main([*embed, f"--output={file}"]) == 1
    monkeypatch.setenv("SWIN_STREAM", "2")
    assert main([*embed, f"--output={output}"]) == 3
    assert main([*search, "photo.jpg", "-k", "0"]) == 2
    assert main([*search, str(tmp_path / "nowhere.jpg"), f"--model={artifact}"]) == 1
    part = output / "part-000000.parquet"
    part.write_bytes(part.read_bytes()[:99])
    assert main([*embed, f"--output={output}"]) == 1
    told = capsys.readouterr().err
    assert f"error: {file}: File exists" in told
    assert "SWIN_STREAM is not a setting; is SWIN_STREAMS meant?" in told
    assert "error: Invalid value for '-k': 0 is not in the range x>=1" in told
    assert f"error: {tmp_path / 'nowhere.jpg'}: No such file or directory" in told
    assert f"error: {part} cannot be used: " in told


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_where_it_was(artifact, tmp_path, expected):
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for number in range(300):
        (photos / f"{number}.png").write_bytes(encode(noise(33, 33, seed=number)))
    command = [
        sys.executable,
        "-m",
        "swin_embed",
        "embed",
        photos,
        "--output",
        output,
        "--part-rows=7",
    ]
    environment = os.environ | {"SWIN_MODEL": str(artifact)}
    killed = 0
    dice = np.random.default_rng()
    for parts in sorted(dice.choice(43, 10, replace=False)):
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(output.glob("part-*"))) < parts:
            threading.Event().wait(0.002)
        threading.Event().wait(dice.uniform(0, 0.05))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
    assert killed >= 5
    subprocess.run(command, env=environment, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    found = {row["id"]: row["embedding"] for row in rows(output)}
    assert len(rows(output)) == len(found) == 300
    paths = sorted(photos.iterdir())
    assert sorted(found) == sorted(map(str, paths))
    vectors = expected(*(path.read_bytes() for path in paths))
    np.testing.assert_array_equal(
        np.array([found[str(path)] for path in paths], np.float32), vectors
    )
    assert not list(output.glob(".*"))


def test_finds_the_copies_in_what_it_embedded(photos, tmp_path, swin_embed, capsys):
    output = tmp_path / "out"
    (photos / "copy.png").write_bytes((photos / "07.png").read_bytes())
    swin_embed(photos, output=output)
    assert main(["duplicates", str(output), "--threshold=0.9999", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["copies"]) == (12, 1)
    ((kept, copied),) = told["members"]
    assert {Path(member["path"]).name for member in (kept, copied)} == {"07.png", "copy.png"}
    assert main(["duplicates", str(tmp_path / "nowhere")]) == 1
