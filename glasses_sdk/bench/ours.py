"""The SDK's own contenders: what `glasses run` does, around a camera that is told when to look.

Run as `python -m glasses_sdk.bench.ours host FIFO MODEL`, `isolated FIFO MODEL`, `ready FIFO`
or `subscriber ADDRESS`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from glasses_sdk import pipeline
from glasses_sdk.backends import SensorConfig
from glasses_sdk.bench.still import ReadySensor, StillSensor, StillSpec
from glasses_sdk.config import Config
from glasses_sdk.errors import StaleStream
from glasses_sdk.protocols import Sensor
from glasses_sdk.sensors import confine
from glasses_sdk.sensors.isolated import IsolatedSensor
from glasses_sdk.transport import MaskSubscriber, StreamConfig
from glasses_sdk.wire import StreamedMask

_STREAM = StreamConfig(bind="tcp://127.0.0.1:*")


def _say(*words: object) -> None:
    print(*words, flush=True)


def _run(sensor: Sensor) -> None:
    """The loop of `glasses run`, with this sensor in the place of the configured one."""

    def opened(config: SensorConfig) -> Sensor:
        return sensor

    pipeline.open_sensor = opened
    with pipeline.Pipeline(Config(stream=_STREAM), publish=True) as glasses:
        assert glasses.addresses is not None
        _say(glasses.addresses.stream)
        _say("ready")
        for _ in glasses:
            pass


def _subscribe(address: str) -> None:
    with MaskSubscriber(address) as subscriber:
        _say("ready")
        for mask in _patiently(subscriber):
            _say(mask.seq, time.monotonic_ns() - mask.time_ns)


def _patiently(subscriber: MaskSubscriber) -> Iterator[StreamedMask]:
    """Each mask; a pause of the camera is not an error here."""
    while True:
        try:
            yield subscriber.recv()
        except StaleStream:
            continue


def _main(role: str, place: str, model: str = "") -> None:
    match role:
        case "host":
            _run(StillSensor(StillSpec(place, model)))
        case "isolated":
            _run(IsolatedSensor("glasses_sdk.bench.still:open_still", StillSpec(place, model)))
        case "ready":
            _run(ReadySensor(Path(place)))
        case _:
            _subscribe(place)


if __name__ == "__main__":
    if confine.hide(os.getppid()):
        _main(*sys.argv[1:])
