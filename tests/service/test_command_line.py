import pytest

from model_export.console import SettingsError
from service.__main__ import command, main
from service.command_line import misspelt, settings_from


def read(arguments):
    return settings_from(**command.make_context("service", arguments).params)


def test_an_option_counts_before_the_environment(monkeypatch):
    monkeypatch.setenv("SWIN_PORT", "9000")
    monkeypatch.setenv("SWIN_STREAMS", "3")
    settings = read(["--port", "9001"])
    assert (settings.port, settings.streams) == (9001, 3)


def test_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv("SWIN_STREAMS", "")
    monkeypatch.setenv("SWIN_MODEL", "")
    settings = read([])
    assert (settings.streams, settings.model) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--port", "70000"], "SWIN_PORT: Input should be less than or equal to 65535"),
        (["--device", "gpu"], "SWIN_DEVICE: auto, cpu, cuda or tensorrt; "),
        (["--protect-metrics"], "SWIN_PROTECT_METRICS needs SWIN_API_KEYS"),
        (["--allow-image-urls"], "SWIN_ALLOW_IMAGE_URLS needs SWIN_IMAGE_URL_HOSTS"),
        (
            ["--max-queue-size", "9", "--max-images-per-request", "10"],
            "SWIN_MAX_IMAGES_PER_REQUEST (10) exceeds SWIN_MAX_QUEUE_SIZE",
        ),
    ],
)
def test_a_problem_is_a_line_with_the_setting_s_name(arguments, problem):
    with pytest.raises(SettingsError) as caught:
        read(arguments)
    (line,) = caught.value.problems
    assert line.startswith(problem)


def test_every_problem_is_told():
    with pytest.raises(SettingsError) as caught:
        read(["--port=x", "--streams=0"])
    named = {line.partition(":")[0] for line in caught.value.problems}
    assert named == {"SWIN_PORT", "SWIN_STREAMS"}


def test_names_that_are_no_settings():
    links = ["SWIN_EMBED_PORT", "SWIN_EMBED_SERVICE_HOST", "SWIN_EMBED_SERVICE_PORT_HTTP"]
    links += ["SWIN_EMBED_PORT_8000_TCP_ADDR", "SWIN_EMBED_GPU_SERVICE_PORT"]
    fitting = ["SWIN_PORT", "SWIN_HOME", "swin_device", "SWINGING", "PATH"]
    wrong = ["SWIN_API_KEY", "SWIN_FOO", "SWIN_EMBED_MODEL", "swin_modle"]
    assert list(misspelt([*fitting, *links, *wrong])) == [
        "SWIN_API_KEY is not a setting; is SWIN_API_KEYS meant?",
        "SWIN_EMBED_MODEL is not a setting; is SWIN_MODEL meant?",
        "SWIN_FOO is not a setting",
        "swin_modle is not a setting; is SWIN_MODEL meant?",
    ]


def test_help_is_in_words(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "service doctor" in text
    assert "(default: 8000)" in text
    assert not any(word in text for word in ("null", "()", "tuple", "factory"))
