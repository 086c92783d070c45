import pytest

from swin_embed.batch.errors import OutputError
from swin_embed.batch.folder import UNFINISHED, Folder


@pytest.fixture(params=["{tmp}/out", "memory://{tmp}/out"])
def folder(request, tmp_path):
    return Folder.at(request.param.format(tmp=tmp_path))


def test_what_is_put_is_there(folder):
    assert folder.names() == []
    with folder.alone():
        folder.put("b", b"first")
        folder.put("b", memoryview(b"second"))
        folder.put("a", b"")
    assert folder.names() == ["a", "b"]
    with folder.open("b") as file:
        assert file.read() == b"second"


def test_two_jobs_cannot_write_to_a_local_folder(tmp_path):
    folder = Folder.at(str(tmp_path / "out"))
    with folder.alone(), pytest.raises(OutputError, match="another job"), folder.alone():
        pass
    with folder.alone():
        pass


def test_what_a_killed_job_left_is_cleared_up(tmp_path):
    left = tmp_path / f".part-000000.parquet.123{UNFINISHED}"
    left.touch()
    with Folder.at(str(tmp_path)).alone():
        assert not left.exists()


def test_an_unknown_protocol_is_refused():
    with pytest.raises(OutputError, match="cannot use nope://out"):
        Folder.at("nope://out")
