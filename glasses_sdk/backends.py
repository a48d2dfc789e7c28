"""Opens sensors and gaze sources by name: the only place that knows which there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glasses_sdk import models
from glasses_sdk.errors import ConfigError
from glasses_sdk.gaze_map import GazeMap, load_gaze_map
from glasses_sdk.protocols import GazeSource, Sensor
from glasses_sdk.types import Size

__all__ = [
    "GazeConfig",
    "SensorConfig",
    "open_gaze",
    "open_gaze_map",
    "open_sensor",
    "resolve",
    "resolve_gaze",
]


@dataclass(frozen=True, slots=True)
class SensorConfig:
    """Where masks come from.

    source     `auto`, `webcam:0`, `video:FILE`, `images:DIR`, `synthetic:SEED`
    model      a released model's name or an .onnx file
    pace       `realtime`, or `every`: each frame of a recording, however long it takes
    frames     stop after so many; a recording that is shorter is looped
    images_hz  pictures a second from a folder
    threads    of the network
    isolate    camera and network in a process of their own, which can open no socket
    """

    source: str = "auto"
    model: str = models.DEFAULT
    pace: Literal["realtime", "every"] = "realtime"
    frames: int | None = None
    images_hz: float = 2.0
    threads: int = 1
    isolate: bool = True

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"frames is 1 or more, not {self.frames}")
        if not 0.01 <= self.images_hz <= 1000:
            raise ValueError(f"images_hz lies in 0.01 to 1000, not {self.images_hz}")
        if not 1 <= self.threads <= 64:
            raise ValueError(f"threads lies in 1 to 64, not {self.threads}")


@dataclass(frozen=True, slots=True)
class GazeConfig:
    """Where looks come from.

    source  `auto` (the made world's own eyes, else `centre`), `centre`, `replay:FILE`,
            `inlet[:NAME]` (other programs push), `pointer` (the viewer page)
    map     a gaze map's TOML file; without it the provider's 0 to 1 is the sensor's
    """

    source: str = "auto"
    map: str | None = None


def resolve(source: str) -> str:
    """The sensor that `auto` stands for on this machine. Raises ConfigError when there is none."""
    if source != "auto":
        return source
    if Path("/dev/video0").exists():
        return "webcam:0"
    raise ConfigError(
        "no camera here: there is no /dev/video0; try --sensor synthetic, --sensor video:FILE or "
        "--sensor images:DIR"
    )


def open_sensor(config: SensorConfig) -> Sensor:
    """Open what the configuration names. Raises ConfigError, ModelError or DeviceError."""
    from glasses_sdk.sensors.spec import HostSpec

    spec = HostSpec(
        source=resolve(config.source),
        model=str(models.find(config.model).resolve()),
        pace=config.pace,
        frames=config.frames,
        images_hz=config.images_hz,
        threads=config.threads,
    )
    if config.isolate:
        from glasses_sdk.sensors.isolated import IsolatedSensor

        return IsolatedSensor("glasses_sdk.sensors.host:open_engine", spec)
    from glasses_sdk.sensors.host import HostSensor

    return HostSensor(spec)


def resolve_gaze(source: str, sensor: str) -> str:
    """What `auto` stands for with this sensor: the made world's own eyes, else the centre."""
    if source != "auto":
        return source
    return "synthetic" if sensor.partition(":")[0] == "synthetic" else "centre"


def open_gaze(config: GazeConfig, sensor: Sensor, sensor_config: SensorConfig) -> GazeSource:
    """Open what the configuration names, on the sensor's clock.

    In a recording of which every frame is wanted, now is the time of the next frame.
    """
    clock: Callable[[], int] = time.monotonic_ns
    if sensor_config.pace == "every":
        clock = sensor.next_exposure_ns
    kind, _, rest = resolve_gaze(config.source, sensor_config.source).partition(":")
    match kind:
        case "centre":
            from glasses_sdk.gaze.centre import Centre

            return Centre(clock)
        case "replay":
            from glasses_sdk.gaze.replay import Replay

            return Replay(Path(rest), sensor.info.first_frame_ns, clock)
        case "inlet" | "pointer":
            from glasses_sdk.gaze.inlet import Inlet

            return Inlet("pointer" if kind == "pointer" else rest or None)
        case "synthetic":
            from glasses_sdk.sensors.synthetic import WorldGaze, open_world

            if sensor_config.source.partition(":")[0] != "synthetic":
                raise ConfigError("gaze synthetic is the made world's: use --sensor synthetic")
            world = open_world(sensor_config.source.partition(":")[2])
            return WorldGaze(world, sensor.info.first_frame_ns, clock)
        case _:
            known = "auto, centre, replay:FILE, inlet[:NAME], pointer, synthetic"
            raise ConfigError(f"no gaze source {config.source!r}; known: {known}")


def open_gaze_map(config: GazeConfig, sensor: Size) -> GazeMap:
    """The map of the configuration, from the provider's plane to this sensor's pixels."""
    return load_gaze_map(Path(config.map), sensor) if config.map else GazeMap.scale(sensor)
