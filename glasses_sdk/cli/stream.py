"""`glasses run` and `glasses sub`: masks out, masks in."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from glasses_sdk.cli.app import (
    AsJson,
    Bind,
    ConfigFile,
    Frames,
    GazeName,
    ModelName,
    PaceName,
    SensorName,
    app,
    config_of,
    interruptible,
    say,
)
from glasses_sdk.errors import StaleStream

if TYPE_CHECKING:
    from glasses_sdk.config import Config
    from glasses_sdk.pipeline import Pipeline
    from glasses_sdk.transport import MaskSubscriber
    from glasses_sdk.types import Mask
    from glasses_sdk.wire import StreamedMask

__all__ = ["run", "sub"]


@app.command()
def run(
    sensor: SensorName = None,
    gaze: GazeName = None,
    gaze_map: Annotated[str | None, typer.Option(help="A gaze map's TOML file.")] = None,
    model: ModelName = None,
    bind: Bind = None,
    frames: Frames = None,
    pace: PaceName = None,
    view: Annotated[bool, typer.Option("--view", help="Serve the viewer page as well.")] = False,
    config: ConfigFile = None,
) -> None:
    """Look, segment, publish masks, until Ctrl-C."""
    from glasses_sdk.pipeline import Pipeline

    interruptible()
    flags = {
        "sensor": {"source": sensor, "model": model, "frames": frames, "pace": pace},
        "gaze": {"source": gaze, "map": gaze_map},
        "stream": {"bind": bind},
    }
    chosen = config_of(config, flags)
    try:
        with Pipeline(chosen, publish=True) as glasses, _viewer(glasses, view):
            _announce(chosen, glasses)
            count = _show(glasses)
            say(f"the recording has ended after {count} masks")
    except KeyboardInterrupt:
        say("stopped")


@contextmanager
def _viewer(glasses: Pipeline, wanted: bool) -> Generator[None]:
    """The page beside the stream; a client of it like any other."""
    addresses = glasses.addresses
    if not wanted or addresses is None:
        yield
        return
    from glasses_sdk.viewer.bridge import Bridge

    with Bridge(addresses.stream, addresses.control, addresses.input) as bridge:
        say(f"see them at {bridge.url}")
        yield


def _announce(config: Config, glasses: Pipeline) -> None:
    info, source = glasses.info, config.sensor.source
    found = f"{info.kind} (found by auto)" if source == "auto" else source
    say(f"sensor {found}, {info.size}; model {info.model}; gaze {glasses.gaze_source}")
    if glasses.addresses:
        stream = glasses.addresses.stream
        say(f"masks on {stream}; see them with: glasses sub {stream}")
    say("Ctrl-C stops")


def _show(masks: Iterable[Mask]) -> int:
    """On a terminal, the newest mask as it is published; elsewhere only the work. Their count."""
    if not sys.stderr.isatty():
        return sum(1 for _ in masks)
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=10, transient=True) as live:
        count = 0
        for count, mask in enumerate(masks, 1):  # noqa: B007 - counted for the caller
            live.update(_sketch(mask))
    return count


def _sketch(mask: Mask) -> str:
    """The whole sensor's plane as text, two rows of points a line."""
    from glasses_sdk.types import Size

    rows = max(2 * round(30 * mask.sensor.height / mask.sensor.width), 2)
    points = mask.full(Size(60, rows))
    pairs = zip(points[0::2], points[1::2], strict=True)
    lines = ["".join(" ▀▄█"[a + 2 * b] for a, b in zip(*pair, strict=True)) for pair in pairs]
    state = f"track {mask.track}  {mask.roi_state}  score {mask.score:.2f}  frame {mask.seq}"
    return "\n".join([*lines, state])


@app.command()
def sub(
    address: Annotated[str, typer.Argument(help="The stream.")] = "tcp://127.0.0.1:5570",
    as_json: AsJson = False,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many masks.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a first mask.")] = 10.0,
) -> None:
    """Subscribe to a stream: rate, age, drops, state of the region."""
    from glasses_sdk.transport import MaskSubscriber

    interruptible()
    try:
        with MaskSubscriber(address, every=as_json) as subscriber:
            recent: deque[int] = deque()
            for number, mask in enumerate(_patiently(subscriber, wait), 1):
                age = subscriber.age_ms(mask)
                rate = _rate(recent, mask.published_ns)
                dropped = subscriber.dropped
                print(_json_line(mask, age) if as_json else _line(mask, rate, age, dropped))
                sys.stdout.flush()
                if count is not None and number >= count:
                    return
    except KeyboardInterrupt:
        return


def _patiently(subscriber: MaskSubscriber, wait_s: float) -> Iterator[StreamedMask]:
    """Its masks; a stream that stays away or falls silent is said once, and waited for.

    Raises StaleStream when `wait_s` passed without a first mask.
    """
    given_up_s = time.monotonic() + wait_s
    streamed, said = False, ""
    while True:
        try:
            yield subscriber.recv()
            streamed, said = True, ""
        except StaleStream as stale:
            if not streamed and time.monotonic() >= given_up_s:
                raise
            if stale.reason != said:
                say(f"waiting: {stale}")
            said = stale.reason


def _rate(recent: deque[int], now_ns: int) -> float:
    """Masks a second, over the last second of the publisher's clock."""
    recent.append(now_ns)
    while now_ns - recent[0] > 1_000_000_000:
        recent.popleft()
    if len(recent) < 2:
        return 0.0
    return (len(recent) - 1) * 1e9 / max(now_ns - recent[0], 1)


def _json_line(mask: StreamedMask, age_ms: float) -> str:
    """The payload as the wire has it, `data` in base64, and the mask's age."""
    from glasses_sdk.wire import mask_fields

    return json.dumps({**mask_fields(mask), "age_ms": round(age_ms, 3)})


def _line(mask: StreamedMask, rate: float, age_ms: float, dropped: int) -> str:
    roi = mask.roi
    return (
        f"{mask.device}  frame {mask.seq}  {rate:4.1f}/s  age {age_ms:6.1f} ms  dropped {dropped}  "
        f"track {mask.track} {mask.roi_state:8}  score {mask.score:.2f}  area {mask.area:5d}  "
        f"region {roi.left:.0f},{roi.top:.0f} {roi.width:.0f}x{roi.height:.0f}"
    )
