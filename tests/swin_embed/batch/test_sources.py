import io
import os
import shutil
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from swin_embed.batch import sources
from swin_embed.batch.errors import SourceError


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
    images = ["a.HEIC", "b.heif", "c.hif", "d.JPG", "e.webp"]
    for name in (*images, "f.txt", "g.heics", "h"):
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
    (item,) = listed(folder)
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
    with pytest.raises(OSError, match="names no file"):
        listed(lines)[1].size()


def test_a_shard_is_listed_to_its_end(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number in range(50):
            info = tarfile.TarInfo(f"{number}.png")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    names = [item.path.rpartition("/")[2] for item in listed(tmp_path / "a.tar")]
    assert names == [f"{number}.png" for number in range(50)]
