import io
import os
import shutil
import tarfile

import aiohttp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from swin_embed.batch import items as of_items
from swin_embed.batch import sources
from swin_embed.batch.errors import ItemError, SourceError


def listed(*names):
    broken = []
    found = sources.find(map(str, names))
    items = list(sources.listing(found, broken))
    assert not broken
    assert sources.total(found) in {None, len(items)}
    return items


def contents(items):
    return [item.read() for item in items]


@pytest.fixture
def shard(photos, tmp_path):
    def pack(name: str, mode: str):
        path = tmp_path / name
        with tarfile.open(path, mode) as tar:
            tar.add(photos, "photos")
        return path

    return pack


def test_a_folder_lists_its_images_in_order_at_any_depth(photos):
    names = [item.path.removeprefix(f"{photos}/") for item in listed(photos)]
    assert names == [
        *(f"{n:02}.png" for n in range(12) if n % 3),
        *(f"b/{n:02}.png" for n in range(0, 12, 3)),
    ]


def test_an_image_is_known_by_its_suffix(tmp_path):
    images = ["a.HEIC", "b.heif", "c.hif", "d.JPG", "e.webp", "f.jpe", "g.mpo", "h.apng", "i.dib"]
    for name in (*images, "j.txt", "k.heics", "l"):
        (tmp_path / name).touch()
    assert [item.path.rpartition("/")[2] for item in listed(tmp_path)] == images


def test_a_glob_lists_what_it_matches(photos):
    assert [item.id for item in listed(f"{photos}/0[12].png")] == [
        f"{photos}/01.png",
        f"{photos}/02.png",
    ]
    with pytest.raises(SourceError, match="matches no file"):
        sources.find([f"{photos}/*.jpeg"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "photos/01.png\n\nphotos/02.png\n"),
        ("list.csv", "n,path\n1,photos/01.png\n2,photos/02.png\n"),
        ("list.tsv", "url\tn\nphotos/01.png\t1\nphotos/02.png\t2\n"),
    ],
)
def test_a_manifest_lists_paths_relative_to_itself(photos, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    items = listed(tmp_path / name)
    assert [item.id for item in items] == [f"{photos}/01.png", f"{photos}/02.png"]
    assert contents(items) == [(photos / name).read_bytes() for name in ("01.png", "02.png")]


def test_a_manifest_may_name_its_images(photos, tmp_path):
    table = pa.table({"id": [7, 8], "image": [f"{photos}/01.png", f"file://{photos}/02.png"]})
    pq.write_table(table, tmp_path / "list.parquet")
    (tmp_path / "list.csv").write_text("id,image\n7,photos/01.png\n8,photos/02.png\n")
    for name in ("list.parquet", "list.csv"):
        items = listed(tmp_path / name)
        assert [item.id for item in items] == ["7", "8"]
        assert contents(items) == [(photos / name).read_bytes() for name in ("01.png", "02.png")]


def test_a_manifest_without_paths_is_refused(tmp_path):
    pq.write_table(pa.table({"label": ["cat"]}), tmp_path / "list.parquet")
    with pytest.raises(SourceError, match=r"it has label"):
        sources.find([str(tmp_path / "list.parquet")])


@pytest.mark.parametrize(
    ("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz")]
)
def test_a_shard_lists_its_images(photos, shard, name, mode):
    path = shard(name, mode)
    items = listed(path)
    there = sorted(file for file in photos.rglob("*.png"))
    assert sorted(item.id for item in items) == [
        f"{path}/photos/{file.relative_to(photos)}" for file in there
    ]
    by_name = {item.id: item.read() for item in items}
    assert [by_name[name] for name in sorted(by_name)] == [file.read_bytes() for file in there]
    assert sources.read(items[3].path) == items[3].read()


@pytest.mark.parametrize("nested", [False, True])
def test_a_table_may_hold_the_images(photos, tmp_path, nested):
    images = [(photos / "01.png").read_bytes(), (photos / "02.png").read_bytes()]
    column = [{"bytes": image, "path": None} for image in images] if nested else images
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"label": [1, 2], "image": column}), path)
    items = listed(path)
    assert [item.id for item in items] == [f"{path}#0", f"{path}#1"]
    assert contents(items) == images
    assert sources.read(f"{path}#1") == images[1]


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"nowhere is neither a file nor a folder"):
        sources.find([str(tmp_path / "nowhere")])
    with pytest.raises(SourceError, match=r"cannot read nope://x"):
        sources.find(["nope://x"])
    (tmp_path / "empty.tar").write_bytes(bytes(10240))
    with pytest.raises(SourceError, match=r"is not there any more"):
        sources.read(str(tmp_path / "empty.tar/gone.png"))


def test_a_damaged_shard_is_noted_and_the_next_source_has_its_turn(photos, shard):
    path = shard("cut.tar", "w")
    with tarfile.open(path) as tar:
        images = [member for member in tar if member.isreg() and member.name.endswith("png")]
    whole = path.read_bytes()
    path.write_bytes(whole[: images[7].offset_data + 10])
    broken = []
    items = list(sources.listing(sources.find([str(path), str(photos / "01.png")]), broken))
    assert [item.id for item in items] == [
        *(f"{path}/{member.name}" for member in images[:7]),
        str(photos / "01.png"),
    ]
    assert broken == [f"{path}: it ends within {images[7].name}"]


def test_links_in_a_shard_are_told_of(photos, tmp_path):
    path = tmp_path / "links.tar"
    os.link(photos / "01.png", photos / "again.png")
    with tarfile.open(path, "w") as tar:
        tar.add(photos / "01.png", "01.png")
        tar.add(photos / "again.png", "again.png")
        tar.add(photos / "02.png", "02.png")
    broken = []
    items = list(sources.listing(sources.find([str(path)]), broken))
    assert [item.id for item in items] == [f"{path}/01.png", f"{path}/02.png"]
    assert len(broken) == 1
    assert "1 images in it are links" in broken[0]


def test_links_to_images_are_images_and_links_to_folders_are_not_followed(photos, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "a.png").symlink_to(photos / "01.png")
    (folder / "b.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "c.png").symlink_to(folder)
    broken = []
    (item,) = sources.listing(sources.find([str(folder)]), broken)
    assert broken == [f"{folder}/b.png is a link to nothing"]
    assert item.id == str(folder / "a.png")
    assert item.read() == (photos / "01.png").read_bytes()


NOT_UTF_8 = b"caf\xe9.png"


def test_a_name_that_is_no_text_is_written_out(photos, tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    name = os.fsdecode(NOT_UTF_8)
    shutil.copy(photos / "01.png", folder / name)
    with tarfile.open(tmp_path / "old.tar", "w") as tar:
        tar.add(folder / name, name)
    for source in (folder, tmp_path / "old.tar"):
        (item,) = listed(source)
        assert item.id == item.path == f"{source}/caf\\xe9.png"
        assert item.read() == (photos / "01.png").read_bytes()


@pytest.mark.parametrize("name", ["a[1].png", "b*.png", "c?.png", "d::e.png", "f#1.png"])
def test_a_file_is_known_by_the_name_it_has(photos, tmp_path, name):
    folder = tmp_path / "odd"
    folder.mkdir()
    shutil.copy(photos / "01.png", folder / name)
    for source in (folder, folder / name):
        (item,) = listed(source)
        assert item.id == str(folder / name)
        assert item.read() == (photos / "01.png").read_bytes()


def test_images_without_a_name_have_their_place_for_one(photos, tmp_path):
    image = (photos / "01.png").read_bytes()
    table, paths, lines = (tmp_path / name for name in ("t.parquet", "p.parquet", "p.csv"))
    pq.write_table(pa.table({"id": [None, 0], "image": [image, image]}), table)
    path = str(photos / "01.png")
    pq.write_table(pa.table({"id": [None, "x", None], "path": [path, None, None]}), paths)
    lines.write_text(f"path,id\n{path},\n,x\n{path}\n,\n")
    assert [item.id for item in listed(table)] == [f"{table}#0", "0"]
    assert [item.id for item in listed(paths)] == [path, "x", f"{paths}#2"]
    assert [item.id for item in listed(lines)] == [path, "x", path, f"{lines}#5"]
    with pytest.raises(ItemError, match="names no file"):
        listed(lines)[1].size()


def test_a_shard_is_listed_to_its_end(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number in range(50):
            info = tarfile.TarInfo(f"{number}.png")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    names = [item.path.rpartition("/")[2] for item in listed(tmp_path / "a.tar")]
    assert names == [f"{number}.png" for number in range(50)]


def broken_of(*names):
    """What a job lists, and what it tells of."""
    broken = []
    return list(sources.listing(sources.find(map(str, names)), broken)), broken


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), aiohttp.ClientPayloadError("it broke off")]
)
def test_an_unreadable_folder_costs_no_other(photos, monkeypatch, error):
    ls = LocalFileSystem.ls

    def refuse(fs, path, **options):
        if path.endswith("/closed"):
            raise error
        return ls(fs, path, **options)

    monkeypatch.setattr(LocalFileSystem, "ls", refuse)
    for name in ("a", "closed", "z"):
        (photos / name).mkdir()
        shutil.copy(photos / "01.png", photos / name / "1.png")
    found, broken = broken_of(photos)
    assert {item.id.removeprefix(f"{photos}/") for item in found} >= {"a/1.png", "z/1.png"}
    assert len(found) == 14
    assert len(broken) == 1
    assert broken[0].startswith(f"{photos}/closed: ")


def test_a_source_without_images_is_told_of(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.md").touch()
    (tmp_path / "empty.csv").write_text("path\n")
    (tmp_path / "empty.txt").touch()
    names = [tmp_path / name for name in ("texts", "empty.csv", "empty.txt")]
    assert broken_of(*names) == ([], [f"{name}: there is no image in it" for name in names])


def test_companions_of_macos_are_left_out_and_told_of(photos, shard, tmp_path, caplog):
    (photos / "._01.png").write_bytes(b"\0\5\x16\7")
    assert len(listed(photos)) == 12
    assert "1 files ._* of macOS" in caplog.text
    assert len(listed(shard("a.tar", "w"))) == 12


def test_datasets_tables_name_files_where_they_hold_no_bytes(photos, tmp_path):
    image = (photos / "01.png").read_bytes()
    column = [{"bytes": None, "path": "photos/02.png"}, {"bytes": image, "path": "x.png"}]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": pa.array(column, kind)}), path)
    first, second = listed(path)
    assert (first.id, second.id) == (f"{photos}/02.png", f"{path}#1")
    assert contents([first, second]) == [(photos / "02.png").read_bytes(), image]
    both = pa.array([column, [], None], pa.list_(kind))
    pq.write_table(pa.table({"images": both, "id": ["a", "b", "c"]}), path)
    items, broken = broken_of(path)
    assert ([item.id for item in items[:2]], broken) == (["a[0]", "a[1]"], [])
    assert contents(items[:2]) == [(photos / "02.png").read_bytes(), image]
    assert sources.read(f"{path}#0[1]") == image


@pytest.mark.parametrize(
    "kind", [pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary())]
)
def test_bytes_are_images_however_a_table_keeps_them(photos, tmp_path, kind):
    image = (photos / "01.png").read_bytes()
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": pa.array([image, image], kind)}), path)
    assert contents(listed(path)) == [image, image]


@pytest.mark.parametrize("column", [[[1, 2]], [1], [{"a": 1}]])
def test_a_column_of_something_else_is_named(column, tmp_path):
    pq.write_table(pa.table({"image": column}), tmp_path / "t.parquet")
    with pytest.raises(SourceError, match="column image holds"):
        sources.find([str(tmp_path / "t.parquet")])


def test_a_table_that_inflates_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(of_items, "MOST_BYTES", 1 << 20)
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"image": [bytes(8 << 20)]}), path, compression="zstd")
    assert path.stat().st_size < 10_000
    items, broken = broken_of(path)
    assert items == []
    assert "inflates" in broken[0]


def test_few_bytes_may_stand_for_many_images(tmp_path):
    """A dictionary of one value: what is held is one row at a time."""
    path = tmp_path / "same.parquet"
    image = np.random.default_rng(0).bytes(4 << 20)
    pq.write_table(pa.table({"image": [image] * 64}), path, row_group_size=64)
    assert path.stat().st_size < 2 * len(image)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in sources.find([str(path)])[0].items(print)]
    assert len(held) == 64
    assert max(held) < 8 * len(image)


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz")])
def test_a_member_that_is_too_large_is_not_read(name, mode, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(of_items, "MOST_BYTES", 1 << 20)
    with tarfile.open(tmp_path / name, mode) as tar:
        info = tarfile.TarInfo("bomb.png")
        info.size = 4 << 20
        tar.addfile(info, io.BytesIO(bytes(info.size)))
        tar.add(photos / "01.png", "01.png")
    bomb, image = listed(tmp_path / name)
    with pytest.raises(ItemError, match="larger than"):
        bomb.read()
    assert image.read() == (photos / "01.png").read_bytes()


def test_a_header_that_is_too_large_is_not_read(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("x" * (2 << 20) + ".png")
        tar.addfile(info, io.BytesIO())
    items, broken = broken_of(tmp_path / "a.tar")
    assert items == []
    assert "a header in it has" in broken[0]


def test_only_regular_files_are_read(tmp_path):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    (tmp_path / "list.txt").write_text(f"/dev/zero\n{pipe}\n{tmp_path}\n")
    for item in listed(tmp_path / "list.txt"):
        with pytest.raises(ItemError, match="no file but"):
            item.read()


def test_a_file_that_does_not_end_is_read_to_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(of_items, "MOST_BYTES", 10)
    (tmp_path / "list.txt").write_text("/proc/self/status\n")  # says to have no bytes
    (item,) = listed(tmp_path / "list.txt")
    with pytest.raises(ItemError, match="larger than"):
        item.read()


def test_a_manifest_from_elsewhere_names_no_file_of_this_machine(photos):
    fs = MemoryFileSystem()
    fs.pipe("/lists/a.txt", f"{photos}/01.png\nfile://{photos}/02.png\nb.png\n".encode())
    fs.pipe("/lists/b.png", (photos / "01.png").read_bytes())
    *local, beside = listed("memory://lists/a.txt")
    for item in local:
        with pytest.raises(ItemError, match="not on this machine"):
            item.read()
    assert beside.read() == (photos / "01.png").read_bytes()
