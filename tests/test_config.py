"""Settings: what wins, where a value came from, and what is said about a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from glasses_sdk.config import Config, load_config, settings
from glasses_sdk.errors import ConfigError

Write = Callable[[str], Path]


@pytest.fixture
def toml(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "glasses.toml"
        path.write_text(text)
        return path

    return write


def test_with_nothing_set_everything_is_as_the_records_have_it():
    assert load_config(environment={}) == Config()


def test_a_flag_beats_the_environment_and_the_environment_beats_the_file(toml: Write):
    file = toml(
        '[sensor]\nsource = "video:file"\nmodel = "file"\nthreads = 2\n[gaze]\nsource = "centre"\n'
    )
    environment = {"GLASSES_SENSOR_SOURCE": "video:env", "GLASSES_SENSOR_MODEL": "env"}
    config = load_config(file, environment, {"sensor": {"source": "video:flag", "model": None}})
    assert config.sensor.source == "video:flag"
    assert config.sensor.model == "env"
    assert config.sensor.threads == 2
    assert config.gaze.source == "centre"


def test_every_setting_tells_where_its_value_came_from(toml: Write):
    file = toml('[sensor]\nthreads = 2\n[tracker]\ncoast_ms = 100\n[gaze]\nsource = "inlet"\n')
    environment = {"GLASSES_SENSOR_MODEL": "small", "GLASSES_TRACKER_COAST_MS": "120"}
    flags = {"sensor": {"source": "webcam:1"}, "gaze": {"source": "centre", "map": None}}
    found = {(s.section, s.key): (s.value, s.origin) for s in settings(file, environment, flags)}
    assert found["sensor", "threads"] == (2, str(file))
    assert found["sensor", "model"] == ("small", "GLASSES_SENSOR_MODEL")
    assert found["sensor", "source"] == ("webcam:1", "--sensor")
    assert found["gaze", "source"] == ("centre", "--gaze")
    assert found["gaze", "map"] == (None, "default")
    assert found["tracker", "coast_ms"] == (120, "GLASSES_TRACKER_COAST_MS")
    assert found["stream", "bind"] == (Config().stream.bind, "default")


def test_the_environment_sets_numbers_lists_and_texts(toml: Write):
    config = load_config(
        environment={
            "GLASSES_SENSOR_FRAMES": "12",
            "GLASSES_SENSOR_IMAGES_HZ": "4",
            "GLASSES_SENSOR_PACE": "every",
            "GLASSES_SENSOR_MODEL": "3",
            "GLASSES_TRACKER_START_SIZES": "[0.4, 0.8]",
            "GLASSES_STREAM_DEVICE": "42",
            "GLASSES_GAZE_MAP": "my map.toml",
        }
    )
    assert (config.sensor.frames, config.sensor.images_hz) == (12, 4.0)
    assert (config.sensor.pace, config.sensor.model) == ("every", "3")
    assert config.tracker.start_sizes == (0.4, 0.8)
    assert (config.stream.device, config.gaze.map) == ("42", "my map.toml")


def test_variables_that_are_no_settings_are_left_alone():
    environment = {"GLASSES_DATA": "/somewhere", "GLASSES": "1", "PATH": "/bin"}
    assert load_config(environment=environment) == Config()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[sensor]\nsuorce = 'auto'\n", r"no setting sensor\.suorce; known: source, model, pace"),
        ("[sensors]\nsource = 'auto'\n", r"no section \[sensors\]; known: sensor, gaze"),
        ("source = 'auto'\n", "`source` stands outside of a section; known: sensor, gaze"),
        ("[sensor]\nframes = 'many'\n", r"\[sensor\] frames = 'many' is of the wrong type: .*int"),
        ("[sensor]\nframes = 1.5\n", r"\[sensor\] frames = 1\.5 is of the wrong type"),
        ("[sensor]\nsource = 3\n", r"\[sensor\] source = 3 is of the wrong type: .*str"),
        ("[sensor]\npace = 'quick'\n", r"\[sensor\] pace is 'realtime' or 'every', not 'quick'"),
        ("[sensor]\npace = ['every']\n", r"pace is 'realtime' or 'every', not \['every'\]"),
        ("[sensor]\nframes = 0\n", r"\[sensor\] frames is 1 or more, not 0"),
        ("[sensor]\nimages_hz = nan\n", r"\[sensor\] images_hz lies in .*, not nan"),
        ("[tracker]\ncoast_ms = -1\n", r"\[tracker\] coast_ms is above 0, not -1"),
        ("[tracker]\nstart_sizes = []\n", r"\[tracker\] start_sizes are shares"),
        ("[stream]\nbind = 'tcp://0.0.0.0:5570'\n", r"\[stream\] .*no CURVE keys"),
        ("[stream]\ndevice = 'Anna'\n", r"\[stream\] a device is 1 to 32 of a-z"),
        ("[sensor\n", "is no TOML"),
        ("[sensor]\nframes = 1\nframes = 2\n", "is no TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_the_file_that_it_stands_in(
    toml: Write, text: str, fault: str
):
    file = toml(text)
    with pytest.raises(ConfigError, match=fault) as refused:
        load_config(file, {})
    assert str(file) in str(refused.value)


def test_a_wrong_setting_is_blamed_on_the_place_that_won_and_on_no_other(toml: Write):
    file = toml("[sensor]\nthreads = 2\nframes = 1\n")
    with pytest.raises(ConfigError, match=r"^GLASSES_SENSOR_FRAMES: ") as refused:
        load_config(file, {"GLASSES_SENSOR_FRAMES": "0"}, {"sensor": {"source": "webcam:0"}})
    assert str(file) not in str(refused.value)
    assert "--sensor" not in str(refused.value)


def test_an_unknown_variable_of_a_section_is_named():
    with pytest.raises(ConfigError, match=r"GLASSES_SENSOR_SUORCE: no setting sensor\.suorce"):
        load_config(environment={"GLASSES_SENSOR_SUORCE": "auto"})


@pytest.mark.parametrize(
    ("section", "key", "flag"),
    [("sensor", "source", "--sensor"), ("gaze", "map", "--gaze-map"), ("stream", "bind", "--bind")],
)
def test_a_wrong_flag_is_named_as_it_was_typed(section: str, key: str, flag: str):
    with pytest.raises(ConfigError, match=f"^{flag}: "):
        load_config(environment={}, flags={section: {key: 3}})


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        load_config(tmp_path / "none.toml", {})
    (tmp_path / "glasses.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"glasses\.toml is no TOML"):
        load_config(tmp_path / "glasses.toml", {})
