"""Settings: defaults, then `glasses.toml`, then the environment, then the command line.

The sections are the records that live beside their users; an unknown key fails by name.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from glasses_sdk.backends import GazeConfig, SensorConfig
from glasses_sdk.errors import ConfigError
from glasses_sdk.gaze.events import EventConfig
from glasses_sdk.tracker import TrackerConfig
from glasses_sdk.transport import StreamConfig

__all__ = ["Config", "Setting", "load_config", "settings"]


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set, section by section."""

    sensor: SensorConfig = field(default_factory=SensorConfig)
    gaze: GazeConfig = field(default_factory=GazeConfig)
    events: EventConfig = field(default_factory=EventConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)


@dataclass(frozen=True, slots=True)
class Setting:
    """One value and where it came from: `default`, a file, an environment variable, a flag."""

    section: str
    key: str
    value: Any
    origin: str


_SECTIONS: dict[str, type] = {
    section.name: section.default_factory  # pyright: ignore[reportAssignmentType]
    for section in dataclasses.fields(Config)
}


def load_config(
    path: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """The configuration from a file, the environment and flags (section to key to value).

    Raises ConfigError that names the key, where it was set, and what is wrong with it.
    """
    sources = _sources(path, environment, flags or {})
    return Config(**{name: _section(name, sources) for name in _SECTIONS})


def settings(
    path: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Setting]:
    """Every setting with the place that it came from."""
    sources = _sources(path, environment, flags or {})
    config = load_config(path, environment, flags)
    found: list[Setting] = []
    for name in _SECTIONS:
        section = getattr(config, name)
        for key in dataclasses.fields(section):
            origin = sources.get((name, key.name), ("default", None))[0]
            found.append(Setting(name, key.name, getattr(section, key.name), origin))
    return found


_Sources = dict[tuple[str, str], tuple[str, Any]]

_FLAGS = {
    ("sensor", "source"): "--sensor",
    ("gaze", "source"): "--gaze",
    ("gaze", "map"): "--gaze-map",
}


def _sources(
    path: Path | None, environment: Mapping[str, str], flags: Mapping[str, Mapping[str, Any]]
) -> _Sources:
    """(section, key) to (where it was set, value); what comes later wins."""
    found: _Sources = {}
    if path is not None:
        for section, values in _read(path).items():
            for key, value in values.items():
                found[section, key] = (str(path), value)
    for name, text in environment.items():
        if (place := _environment_key(name)) is not None:
            found[place] = (name, _text_value(text, *place))
    for section, values in flags.items():
        for key, value in values.items():
            if value is not None:
                found[section, key] = (_FLAGS.get((section, key), f"--{key}"), value)
    return found


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise ConfigError(f"cannot read configuration {path}: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error
    for name, section in found.items():
        if not isinstance(section, dict):
            raise ConfigError(
                f"{path}: `{name}` stands outside of a section; known: {', '.join(_SECTIONS)}"
            )
    return found


def _environment_key(name: str) -> tuple[str, str] | None:
    """GLASSES_SENSOR_SOURCE is sensor.source; other GLASSES_ variables are not settings."""
    for section in _SECTIONS:
        prefix = f"GLASSES_{section.upper()}_"
        if name.startswith(prefix):
            return section, name.removeprefix(prefix).lower()
    return None


def _text_value(text: str, section: str, key: str) -> Any:
    """What an environment variable says: a TOML value, unless the setting is a text."""
    wanted = get_type_hints(_SECTIONS[section]).get(key)
    if wanted is str or str in get_args(wanted):
        return text
    try:
        return msgspec.toml.decode(f"value = {text}")["value"]
    except msgspec.DecodeError:
        return text


def _section(name: str, sources: _Sources) -> Any:
    kind = _SECTIONS[name]
    types = get_type_hints(kind)
    values: dict[str, Any] = {}
    for (section, key), (origin, value) in sources.items():
        if section not in _SECTIONS:
            raise ConfigError(f"{origin}: no section [{section}]; known: {', '.join(_SECTIONS)}")
        if section == name:
            if key not in types:
                raise ConfigError(f"{origin}: no setting {name}.{key}; known: {', '.join(types)}")
            values[key] = _checked(kind, key, value, types[key], f"{origin}: [{name}]")
    return kind(**values)


def _checked(kind: type, key: str, value: Any, type_: Any, where: str) -> Any:
    """The value as its record takes it, tried alone, so that the error names the right key."""
    if get_origin(type_) is Literal and value not in get_args(type_):
        known = " or ".join(map(repr, get_args(type_)))
        raise ConfigError(f"{where} {key} is {known}, not {value!r}")
    try:
        right = msgspec.convert(value, type_)
        kind(**{key: right})
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where} {key} = {value!r} is of the wrong type: {error}") from error
    except (ValueError, ConfigError) as error:
        raise ConfigError(f"{where} {error}") from error
    return right
