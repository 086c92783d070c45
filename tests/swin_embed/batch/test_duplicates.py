import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from swin_embed.batch import duplicates
from swin_embed.batch.collection import Collection
from swin_embed.batch.recipe import Recipe, Row
from swin_embed.cli.duplicates import command
from tests.support.images import encode, noise


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def at_angles(*degrees):
    """Vectors `[n, 128]` whose cosines are those of the angles between them."""
    angles = np.radians(degrees)
    vectors = np.zeros((len(degrees), 128), np.float32)
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    return vectors


@pytest.fixture
def written(tmp_path, embedder):
    """Write vectors `[n, 128]` with a digest each as a collection; image n has 100 - n pixels."""

    def write(vectors, sha256, name="out"):
        recipe = Recipe(embedder.card, embedder.model.digest)
        collection = Collection.at(str(tmp_path / name))
        rows = [
            Row(str(n), f"p/{n}", digest, 100 - n, 1, vector)
            for n, (vector, digest) in enumerate(zip(vectors, sha256, strict=True))
        ]
        half = len(rows) // 2
        bad = Row("bad", "p", error="x: y")
        collection.write(0, recipe.table([*rows[:half], bad], half + 1), "parquet")
        collection.write(1, recipe.table(rows[half:], len(rows)), "parquet")
        return collection

    return write


def groups(found):
    """The ids of each group, the one to keep first."""
    return [[it.keep.id, *(copy.picture.id for copy in it.copies)] for it in found.groups]


@pytest.mark.parametrize("block", [3, 16, 64])
def test_finds_the_pairs_that_a_full_product_finds(monkeypatch, block):
    monkeypatch.setattr(duplicates, "BLOCK", block)
    vectors = unit(np.random.default_rng(0).normal(size=(40, 4)))
    found = {
        (a, b): cosine
        for rows, columns, cosines in duplicates.pairs_above(0.9, vectors)
        for a, b, cosine in zip(rows.tolist(), columns.tolist(), cosines, strict=True)
    }
    product = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    assert set(found) == {
        (a, b) for a in range(40) for b in range(a + 1, 40) if product[a, b] >= 0.9
    }
    assert found
    for pair, cosine in found.items():
        assert cosine == pytest.approx(product[pair], abs=1e-6)


@pytest.mark.parametrize("block", [2, 5, 64])
def test_groups_do_not_chain(monkeypatch, written, block):
    """Each 20 degrees from the next: only what is near the kept one is its copy."""
    monkeypatch.setattr(duplicates, "BLOCK", block)
    collection = written(at_angles(0, 20, 40, 60, 80, 170), "abcdef")
    found = duplicates.find(collection, np.cos(np.radians(25)))
    assert groups(found) == [["0", "1"], ["2", "3"]]
    assert (found.images, found.copies) == (6, 2)


@pytest.mark.parametrize("block", [2, 64])
def test_every_copy_is_like_the_one_to_keep_and_none_before_is_more(monkeypatch, written, block):
    monkeypatch.setattr(duplicates, "BLOCK", block)
    vectors = unit(np.random.default_rng(1).normal(size=(90, 128)) * ([1] * 3 + [0.05] * 125))
    found = duplicates.find(written(vectors, map(str, range(90))), 0.8)
    kept = [n for n in range(90) if n not in {int(i) for g in groups(found) for i in g[1:]}]
    cosines = vectors @ vectors.T
    assert found.copies > 20
    for group in found.groups:
        for copy in group.copies:
            n = int(copy.picture.id)
            assert copy.cosine >= 0.8
            assert copy.cosine == pytest.approx(max(cosines[n, k] for k in kept if k < n), abs=1e-6)
    apart = cosines[np.ix_(kept, kept)] - 2 * np.eye(len(kept))
    assert apart.max() < 0.8


def test_a_copy_goes_to_the_kept_image_it_is_most_like(written):
    found = duplicates.find(written(at_angles(0, 32, 20), "abc"), np.cos(np.radians(25)))
    assert groups(found) == [["1", "2"]]


def test_exact_copies_are_found_at_any_threshold_and_told_apart(written):
    vectors = unit(np.eye(6, 128))
    vectors[[2, 3, 5]] = vectors[1]
    pairs = []
    found = duplicates.find(written(vectors, "abbbeb"), 2.0, each_pair=pairs.extend)
    assert groups(found) == [["1", "2", "3", "5"]]
    assert all(copy.exact for copy in found.groups[0].copies)
    assert [(pair.a.id, pair.b.id, pair.exact) for pair in pairs] == [
        ("1", "2", True),
        ("1", "3", True),
        ("1", "5", True),
    ]


def test_exact_copies_of_a_near_copy_go_with_it(written):
    found = duplicates.find(written(at_angles(0, 10, 10), "abb"), 0.9)
    assert groups(found) == [["0", "1", "2"]]
    assert [copy.exact for copy in found.groups[0].copies] == [False, False]


def test_a_collection_without_duplicates_has_none(written):
    found = duplicates.find(written(unit(np.eye(6, 128)), "abcdef"), 0.5)
    assert (found.groups, found.spare) == ([], 0)


def test_what_another_collection_has_is_found(written):
    mine = written(at_angles(0, 90, 200), "axc", "mine")
    there = written(at_angles(5, 300, 12), "efx", "there")
    for collection in (mine, there):  # other places
        assert collection.recipe()
    found = duplicates.against(mine, there, 0.95)
    told = {copy.picture.id: (it.keep.id, copy.exact) for it in found.groups for copy in it.copies}
    assert "2" not in told
    assert told == {"1": ("2", True)}  # image 0 has the same path as the one it is like


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three images, one of them twice, one also smaller; and a name that means something."""
    monkeypatch.setenv("SWIN_HOME", str(tmp_path / "home"))
    folder = tmp_path / "photos"
    folder.mkdir()
    images = [noise(64, 64, seed) for seed in range(3)]
    for number, image in enumerate(images):
        (folder / f"{number}.png").write_bytes(encode(image))
    (folder / "<b>copy\x1b[31m.png").write_bytes(encode(images[0]))
    (folder / "small.png").write_bytes(encode(images[1].resize((40, 40))))
    os.utime(folder / "0.png", (1, 1))
    return folder


@pytest.fixture
def run(artifact):
    def run(*arguments, status=0):
        given = [*map(str, arguments), f"--model={artifact}", "--threshold=0.98"]
        done = CliRunner().invoke(command, given, catch_exceptions=False)
        assert done.exit_code == status, done.output
        return done

    return run


def test_one_command_embeds_a_folder_and_prints_its_groups(folder, run):
    done = run(folder, "--json")
    told = json.loads(done.stdout)
    kinds = [
        [(row["path"].rpartition("/")[2], row["kind"]) for row in group]
        for group in told["members"]
    ]
    assert [("0.png", "keep"), ("<b>copy\x1b[31m.png", "exact")] in kinds
    assert [("1.png", "keep"), ("small.png", "near")] in kinds
    assert (told["images"], told["groups"], told["copies"]) == (5, 2, 2)
    assert told["bytes"] == sum(
        (folder / name).stat().st_size for name in ("<b>copy\x1b[31m.png", "small.png")
    )
    assert "2 copies in 2 groups" in done.stderr


def test_names_move_no_cursor_and_make_no_markup(folder, run, tmp_path):
    page = tmp_path / "page.html"
    done = run(folder, f"--html={page}")
    assert "\x1b[31m" not in done.stdout
    assert "<b>copy\\x1b[31m.png" in done.stdout
    text = page.read_text()
    assert "<b>copy" not in text
    assert "&lt;b&gt;copy" in text
    assert text.count("<img") == 4
    assert 'href="file://' in text


def test_redundant_paths_are_listed_for_xargs(folder, run, artifact):
    paths = run(folder, "--list-redundant", "--null").stdout_bytes.split(b"\0")
    assert {os.path.basename(path) for path in paths if path} == {  # noqa: PTH119 - bytes
        b"<b>copy\x1b[31m.png",
        b"small.png",
    }
    (folder / "a\nb.png").write_bytes((folder / "2.png").read_bytes())
    given = CliRunner().invoke(command, [str(folder), "--list-redundant", f"--model={artifact}"])
    assert "--null" in str(given.exception)


@pytest.mark.parametrize("form", ["--csv", "--list-redundant"])
def test_a_terminal_gets_no_control_characters_and_a_pipe_the_names_as_they_are(
    folder, run, monkeypatch, form
):
    assert "<b>copy\x1b[31m.png" in run(folder, form).stdout
    monkeypatch.setattr("model_export.console.watched", lambda: True)
    shown = run(folder, form).stdout
    assert "<b>copy\\x1b[31m.png" in shown
    assert "\x1b" not in shown


def test_a_folder_that_changes_is_followed(folder, run):
    run(folder)
    (folder / "small.png").unlink()
    (folder / "2.png").write_bytes((folder / "0.png").read_bytes())
    told = json.loads(run(folder, "--json").stdout)
    (group,) = told["members"]
    assert {row["path"].rpartition("/")[2] for row in group} == {
        "0.png",
        "2.png",
        "<b>copy\x1b[31m.png",
    }
    assert told["images"] == 4


def test_the_rule_says_which_is_kept(folder, run):
    """The copy is newer than the file of 1970."""
    told = json.loads(run(folder, "--json", "--keep=newest").stdout)
    assert "<b>copy\x1b[31m.png" in {
        group[0]["path"].rpartition("/")[2] for group in told["members"]
    }


def test_what_swin_embed_wrote_gets_its_files(written, tmp_path):
    collection = written(at_angles(0, 10, 90), "abc")
    done = CliRunner().invoke(command, [collection.folder.url], catch_exceptions=False)
    assert done.exit_code == 0
    pairs = pq.read_table(tmp_path / "out/duplicates/pairs.parquet").to_pylist()
    assert [(pair["a"], pair["b"], pair["exact"]) for pair in pairs] == [("0", "1", False)]
    rows = pq.read_table(tmp_path / "out/duplicates/groups.parquet").to_pylist()
    assert [(row["group"], row["id"], row["kind"]) for row in rows] == [
        (0, "0", "keep"),
        (0, "1", "near"),
    ]
    assert collection.recipe()  # what was found is no part of the collection


def test_files_that_are_gone_are_left_out_and_told_of(folder, run, artifact, tmp_path):
    from swin_embed.__main__ import main

    output = tmp_path / "vectors"
    main(["embed", str(folder), f"--output={output}", f"--model={artifact}"])
    (folder / "0.png").unlink()
    done = run(output)
    assert "1 files are not there any more" in done.stderr
    assert "/0.png" not in done.stdout
