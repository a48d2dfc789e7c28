"""`glasses calibrate`: what differs from device to device, measured once."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated

import typer

from glasses_sdk.cli.app import (
    AsJson,
    ConfigFile,
    calibrate_app,
    config_of,
    interruptible,
    progress,
    say,
)

__all__ = ["roi"]

latency_app = typer.Typer(help="How late something takes effect.", no_args_is_help=True)
calibrate_app.add_typer(latency_app, name="latency")


@latency_app.command()
def roi(
    sensor: Annotated[str, typer.Option(help="imx500 or imx500:FILE.rpk.")] = "imx500",
    jumps: Annotated[int, typer.Option(min=4, help="How often the region jumps.")] = 20,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """How many frames late a region takes effect in an IMX500; nothing may move meanwhile."""
    from glasses_sdk.backends import imx500_spec
    from glasses_sdk.errors import ConfigError
    from glasses_sdk.sensors.imx500 import latency
    from glasses_sdk.sensors.imx500.camera import open_camera

    interruptible()
    kind, _, rpk = sensor.partition(":")
    if kind != "imx500":
        raise ConfigError(f"only an IMX500's region is late, not that of {sensor!r}")
    spec = imx500_spec(config_of(config, {}).sensor, rpk)
    camera = open_camera(spec)
    try:
        say("the network is uploaded; that may take minutes")
        camera.start()
        with progress("jumps") as step:
            found = latency.measure(camera, spec, time.monotonic_ns, jumps, progress=step)
    finally:
        camera.close()
    if as_json:
        print(json.dumps(asdict(found)))
        return
    print("[sensor]")
    print(f"roi_latency_frames = {found.frames}")
    print(f"roi_jitter_frames = {max(found.jitter, 1)}")
