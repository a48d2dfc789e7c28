"""What an app sees of a camera that stalls: a gap, the reason, and never a wrong mask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from glasses_sdk import pipeline
from glasses_sdk.backends import GazeConfig, SensorConfig
from glasses_sdk.config import Config
from glasses_sdk.errors import StaleStream
from glasses_sdk.pipeline import Pipeline
from glasses_sdk.sensors.imx500.sensor import Imx500Sensor
from glasses_sdk.transport import MaskSubscriber, StreamConfig
from glasses_sdk.wire import StreamedMask
from tests.imx500.driver import SQUARE
from tests.imx500.test_sensor import lies_on_the_square

STALL = 60  # the frame from which on no tensor comes


class App(threading.Thread):
    """Subscribes, and keeps every mask and each state that the status has."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.masks: list[StreamedMask] = []
        self.states: list[str] = []
        self.over = threading.Event()
        self._subscriber = MaskSubscriber(address, every=True)

    def run(self) -> None:
        with self._subscriber as subscriber:
            while not self.over.is_set():
                with suppress(TimeoutError, StaleStream):
                    self.masks.append(subscriber.recv(timeout=0.1))
                status = subscriber.status
                if status and status.state not in self.states[-1:]:
                    self.states.append(status.state)


def test_a_subscriber_sees_a_gap_and_why_and_no_mask_off_the_object(
    fake: Callable[..., Imx500Sensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(
        pipeline,
        "open_sensor",
        lambda _: fake(hold=True, faulty_lives=1, tensors_stop_after=STALL, upload_s=2.0),
    )
    stream = StreamConfig(f"ipc://{tmp_path}/s")
    config = Config(SensorConfig("imx500"), GazeConfig("centre"), stream=stream)
    with Pipeline(config, publish=True) as glasses:
        app = App(stream.bind)
        app.start()
        try:
            glasses.look(*SQUARE.centre, SQUARE.width, time.monotonic_ns())
            end_s = time.monotonic() + 40
            newest = gap = -1
            for mask in glasses:
                gap = mask.seq if newest >= 0 and mask.seq - newest > 20 else gap
                newest = mask.seq
                if (gap >= 0 and newest > gap + 40) or time.monotonic() > end_s:
                    break
        finally:
            app.over.set()
            app.join()
    seqs = [mask.seq for mask in app.masks]
    assert seqs == sorted(set(seqs))
    assert max(b - a for a, b in pairwise(seqs)) > 20
    shown = [mask for mask in app.masks if mask.area and mask.roi_state != "settling"]
    assert {mask.seq > gap for mask in shown} == {True, False}
    assert all(lies_on_the_square(mask) for mask in shown)
    assert {"stalled", "restarting"} & set(app.states)
    assert app.states[-1] == "streaming"
