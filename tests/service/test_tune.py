import pytest

from service.__main__ import main
from service.tune import Layout, Trial, advice, layouts


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, [Layout(1, 1)]),
        (2, [Layout(2, 1), Layout(1, 2)]),
        (6, [Layout(6, 1), Layout(3, 2), Layout(1, 6)]),
        (8, [Layout(8, 1), Layout(4, 2), Layout(2, 4), Layout(1, 8)]),
    ],
)
def test_layouts_use_all_cores(cores, expected):
    assert layouts(cores) == expected


def test_the_defaults_need_no_setting():
    assert advice([Trial(Layout(2, 1), 20, 0.1), Trial(Layout(1, 2), 15, 0.06)]) == {}


def test_one_core_needs_no_setting():
    assert advice([Trial(Layout(1, 1), 10, 0.1)]) == {}


def test_one_session_where_more_threads_do_not_help():
    trials = [Trial(Layout(2, 1), 20, 0.1), Trial(Layout(1, 2), 15, 0.11)]
    assert advice(trials) == {"SWIN_THREADS_PER_STREAM": 1}


def test_wider_streams_where_they_give_more():
    trials = [Trial(Layout(4, 1), 20, 0.2), Trial(Layout(2, 2), 25, 0.1)]
    assert advice(trials) == {"SWIN_STREAMS": 2, "SWIN_THREADS_PER_STREAM": 2}


def test_tries_a_model(artifact, capsys):
    assert main(["tune", "--model", str(artifact), "--seconds", "0.01"]) == 0
    assert "images/s, a lone image in" in capsys.readouterr().out


def test_the_model_is_the_one_that_is_set(artifact, monkeypatch, capsys):
    assert main(["tune"]) == 1
    assert "SWIN_MODEL is not set" in capsys.readouterr().err
    monkeypatch.setenv("SWIN_MODEL", str(artifact))
    assert main(["tune", "--seconds", "0.01"]) == 0


def test_a_model_that_is_not_there(tmp_path, capsys):
    assert main(["tune", "--model", str(tmp_path / "none.onnx")]) == 1
    assert "is not a file" in capsys.readouterr().err
