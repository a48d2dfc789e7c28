"""Opens sensors and gaze sources by name: the only place that knows which there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import atan, degrees, radians, tan
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glasses_sdk import models, precision
from glasses_sdk.errors import ConfigError
from glasses_sdk.gaze.guard import MAX_AGE_MS
from glasses_sdk.gaze_map import GazeMap, load_gaze_map
from glasses_sdk.protocols import GazeSource, Sensor
from glasses_sdk.types import Size

if TYPE_CHECKING:
    from glasses_sdk.sensors.imx500.spec import Imx500Spec

__all__ = [
    "GazeConfig",
    "SensorConfig",
    "field_of_view",
    "gaze_clock",
    "has_imx500",
    "imx500_spec",
    "open_gaze",
    "open_gaze_map",
    "open_sensor",
    "resolve",
    "resolve_gaze",
]


@dataclass(frozen=True, slots=True)
class SensorConfig:
    """Where masks come from.

    source     `auto`, `imx500[:FILE.rpk]`, `picamera2:0`, `webcam:0`, `video:FILE`, `images:DIR`,
               `synthetic:SEED`
    model      a released model's name (its file that is faster here), as `picosam3/int8` one of its
               files, or an .onnx file
    pace       `realtime`, or `every`: each frame of a recording, however long it takes
    frames     stop after so many; a recording that is shorter is looped
    images_hz  pictures a second from a folder
    threads    of the network
    field_of_view_deg   of the camera, from left to right: what a turn of the head moves
    isolate    camera and network in a process of their own, which can open no socket
    roi_latency_frames  of an IMX500, as `glasses calibrate latency roi` measures it
    roi_jitter_frames   how many more it may take
    hold_settling       an IMX500 gives no mask of another place while its region is on the way
    """

    source: str = "auto"
    model: str = models.DEFAULT
    pace: Literal["realtime", "every"] = "realtime"
    frames: int | None = None
    images_hz: float = 2.0
    threads: int = 1
    field_of_view_deg: float = 66.0
    isolate: bool = True
    roi_latency_frames: int | None = None
    roi_jitter_frames: int = 1
    hold_settling: bool = True

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"frames is 1 or more, not {self.frames}")
        if not 0.01 <= self.images_hz <= 1000:
            raise ValueError(f"images_hz lies in 0.01 to 1000, not {self.images_hz}")
        if not 1 <= self.threads <= 64:
            raise ValueError(f"threads lies in 1 to 64, not {self.threads}")
        if not 1 <= self.field_of_view_deg <= 170:
            raise ValueError(f"field_of_view_deg lies in 1 to 170, not {self.field_of_view_deg}")
        if self.roi_latency_frames is not None and not 0 <= self.roi_latency_frames <= 30:
            raise ValueError(f"roi_latency_frames lies in 0 to 30, not {self.roi_latency_frames}")
        if not 0 <= self.roi_jitter_frames <= 30:
            raise ValueError(f"roi_jitter_frames lies in 0 to 30, not {self.roi_jitter_frames}")


@dataclass(frozen=True, slots=True)
class GazeConfig:
    """Where looks come from.

    source  `auto` (the made world's own eyes, else `centre`), `centre`, `none` (nobody's gaze is
            known: whatever there is to see is followed), `replay:FILE`,
            `inlet[:NAME]` (other programs push), `pointer` (the viewer page), `head[:NAME]` (other
            programs push the head's pose), `pupil[:HOST[:PORT]]` (Pupil Core), `lsl[:NAME]`,
            `neon[:HOST[:PORT]]` (Neon or Invisible), `tobii[:HOST[:PORT]]` (Tobii Pro Glasses 2)
    map     a gaze map's TOML file; without it the provider's 0 to 1 is the sensor's
    """

    source: str = "auto"
    map: str | None = None


def resolve(source: str) -> str:
    """The sensor that `auto` stands for on this machine. Raises ConfigError when there is none."""
    if source != "auto":
        return source
    if has_imx500():
        return "imx500"
    if Path("/dev/video0").exists():
        return "webcam:0"
    raise ConfigError(
        "no camera here: there is no IMX500 and no /dev/video0; try --sensor synthetic, "
        "--sensor video:FILE or --sensor images:DIR"
    )


def has_imx500(devices: Path = Path("/sys/class/video4linux")) -> bool:
    """Whether the kernel's driver has found one."""
    drivers = devices.glob("v4l-subdev*/device/driver/module")
    return any("imx500" in str(driver.readlink()) for driver in drivers if driver.is_symlink())


def imx500_spec(config: SensorConfig, rpk: str = "") -> Imx500Spec:
    """What an IMX500 is to open: this network, or the one of the model named.

    Raises ConfigError for what it cannot do.
    """
    from glasses_sdk.sensors.imx500.spec import Imx500Spec

    if config.pace != "realtime" or config.frames is not None:
        raise ConfigError("an IMX500 has its own pace and no end: leave pace and frames out")
    network = models.folder() / config.model.partition("/")[0] / "imx500" / "network.rpk"
    return Imx500Spec(
        rpk=rpk or str(network),
        latency_frames=config.roi_latency_frames,
        jitter_frames=config.roi_jitter_frames,
        hold_settling=config.hold_settling,
    )


def open_sensor(config: SensorConfig) -> Sensor:
    """Open what the configuration names. Raises ConfigError, ModelError or DeviceError."""
    source = resolve(config.source)
    kind, _, rest = source.partition(":")
    if kind == "imx500":
        from glasses_sdk.sensors.imx500.sensor import Imx500Sensor

        return Imx500Sensor(imx500_spec(config, rest))
    from glasses_sdk.sensors.spec import HostSpec

    spec = HostSpec(
        source=source,
        model=str(precision.faster(config.model, config.threads).resolve()),
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


def gaze_clock(sensor: Sensor, config: SensorConfig) -> Callable[[], int]:
    """Says what time it is for the gaze, monotonic ns.

    In a recording of which every frame is wanted, now is the time of the next frame.
    """
    return sensor.next_exposure_ns if config.pace == "every" else time.monotonic_ns


def field_of_view(
    config: GazeConfig, sensor_config: SensorConfig, sensor: Size
) -> tuple[float, float]:
    """How many degrees the plane is wide and high in which movements are judged.

    That of a scene camera which is known, where no gaze map leads out of it; else the sensor's.
    """
    kind = resolve_gaze(config.source, sensor_config.source).partition(":")[0]
    if kind in _SCENES_DEG and config.map is None:
        return _SCENES_DEG[kind]
    width = radians(sensor_config.field_of_view_deg)
    height = 2 * atan(tan(width / 2) * sensor.height / sensor.width)
    return sensor_config.field_of_view_deg, degrees(height)


_LIVE = ("inlet", "pointer", "head", "pupil", "lsl", "neon", "tobii")
_ALONE = ("centre", "none", "pointer", "synthetic")

# Scene cameras, width and height: Neon's by its own calibration, the others' as their makers say.
_SCENES_DEG = {"neon": (84.0, 68.0), "pupil": (99.0, 53.0), "tobii": (82.0, 52.0)}


def open_gaze(
    config: GazeConfig,
    sensor: Sensor,
    sensor_config: SensorConfig,
    max_age_ms: float = MAX_AGE_MS,
) -> GazeSource:
    """Open what the configuration names, on the clock of `gaze_clock`.

    max_age_ms  of a live sample at its arrival

    Raises ConfigError for what is unknown or does not go together, DataError for a recording that
    is damaged, DeviceError for an address that nobody knows.
    """
    clock = gaze_clock(sensor, sensor_config)
    kind, _, rest = resolve_gaze(config.source, sensor_config.source).partition(":")
    if kind in _LIVE and sensor_config.pace == "every":
        raise ConfigError(
            f"gaze {kind} comes now, and at the pace every a recording has a time of its own: "
            "leave --pace every out, or replay recorded gaze"
        )
    if kind in _ALONE and rest:
        raise ConfigError(f"gaze {kind} is all there is to say, not {config.source!r}")
    match kind:
        case "centre":
            from glasses_sdk.gaze.centre import Centre

            return Centre(clock)
        case "none":
            from glasses_sdk.gaze.nobody import Nobody

            return Nobody()
        case "replay":
            from glasses_sdk.gaze.replay import Replay

            if not rest:
                raise ConfigError("gaze replay needs a recording, as in replay:gaze.csv")
            return Replay(Path(rest), sensor.info.first_frame_ns, clock)
        case "inlet" | "pointer":
            from glasses_sdk.gaze.inlet import Inlet

            name = "pointer" if kind == "pointer" else rest or None
            return Inlet(name, clock, max_age_ms)
        case "head":
            from glasses_sdk.gaze.head import Head

            return Head(rest or None, clock, max_age_ms)
        case "pupil":
            from glasses_sdk.gaze.address import parse_address
            from glasses_sdk.gaze.pupil import HOST, PORT, Pupil

            return Pupil(*parse_address(rest, HOST, PORT), clock, max_age_ms)
        case "lsl":
            from glasses_sdk.gaze.lsl import Lsl

            return Lsl(rest or None, clock, max_age_ms)
        case "neon":
            from glasses_sdk.gaze.address import parse_address
            from glasses_sdk.gaze.neon import HOST, PORT, Neon

            return Neon(*parse_address(rest, HOST, PORT), clock, max_age_ms)
        case "tobii":
            from glasses_sdk.gaze.address import parse_address
            from glasses_sdk.gaze.tobii import HOST, PORT, Tobii

            return Tobii(*parse_address(rest, HOST, PORT), clock, max_age_ms)
        case "synthetic":
            from glasses_sdk.sensors.synthetic import WorldGaze, open_world

            if sensor_config.source.partition(":")[0] != "synthetic":
                raise ConfigError("gaze synthetic is the made world's: use --sensor synthetic")
            world = open_world(sensor_config.source.partition(":")[2])
            return WorldGaze(world, sensor.info.first_frame_ns, clock)
        case _:
            known = (
                "auto, centre, none, replay:FILE, inlet[:NAME], pointer, head[:NAME], "
                "pupil[:HOST[:PORT]], lsl[:NAME], neon[:HOST[:PORT]], "
                "tobii[:HOST[:PORT]], synthetic"
            )
            raise ConfigError(f"no gaze source {config.source!r}; known: {known}")


def open_gaze_map(config: GazeConfig, sensor: Size) -> GazeMap:
    """The map of the configuration, from the provider's plane to this sensor's pixels."""
    return load_gaze_map(Path(config.map), sensor) if config.map else GazeMap.scale(sensor)
