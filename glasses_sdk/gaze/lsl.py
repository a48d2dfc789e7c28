"""Gaze from a Lab Streaming Layer stream of type `Gaze`, whichever tracker sends it.

Channels    by their meta-data (github.com/sccn/xdf/wiki/Gaze-Meta-Data): the types ScreenX and
            ScreenY, of both eyes where there are such, else the mean of the eyes that are seen,
            and Confidence
Plane       the stream's own: 0 to 1 where the unit is `normalized`, else its pixels, which need a
            gaze map; Pupil's `norm_pos_y`, which counts from below, is flipped
Clock       the stream's, corrected by LSL's own estimate of the offset
Confidence  the stream's; 1 where it has none
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (pylsl has no types)

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any, Self

from glasses_sdk.errors import ConfigError
from glasses_sdk.gaze.guard import MAX_AGE_MS, Guard, as_gaze
from glasses_sdk.types import Gaze

try:
    import pylsl
    from pylsl.info import XMLElement
    from pylsl.util import LostError
    from pylsl.util import TimeoutError as NotYet
except (ImportError, RuntimeError, OSError) as error:  # the last two: liblsl does not load
    raise ConfigError(
        f"LSL needs the package pylsl: pip install 'glasses-sdk[lsl]' ({error})"
    ) from error

__all__ = ["Lsl"]

_BUFFER_S = 2  # what is older is of no use
_AT_ONCE = 512  # samples a read
_PATIENCE_NS = 2_000_000_000  # to find the stream
_ANNOUNCED_NS = 3_000_000_000  # what is lost is announced for as long
_SILENT_NS = 5_000_000_000  # without a sample: the connection may be gone, and nobody says so


class Lsl:
    """A `GazeSource` that waits for the stream, and for its return.

    name  of the stream; None takes the first of type `Gaze` by name
    """

    def __init__(
        self,
        name: str | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        max_age_ms: float = MAX_AGE_MS,
    ) -> None:
        self._name = name
        self._clock = clock
        self._guard = Guard(clock, max_age_ms)
        self._resolver: pylsl.ContinuousResolver | None = None
        self._stream: pylsl.StreamInlet | None = None
        self._channels: _Channels | None = None
        self._fault: str | None = None
        self._uid = ""  # of the stream, which is another one at each start
        self._found_ns = self._heard_ns = clock()
        self._lost_ns: int | None = None

    def read(self) -> Sequence[Gaze]:
        if self._stream is None:
            self._connect()
        try:
            samples = list(self._samples())
        except NotYet:
            samples = []
        except LostError:
            self._lose()
            return []
        now_ns = self._clock()
        if samples:
            self._heard_ns = now_ns
        elif self._stream is not None and now_ns - self._heard_ns > _SILENT_NS:
            self._lose()
        return self._guard.admit_all(samples)

    @property
    def reason(self) -> str | None:
        if self._stream is None and self._clock() - self._found_ns > _PATIENCE_NS:
            which = f" called {self._name!r}" if self._name else ""
            return f"no-stream: no LSL stream of type Gaze{which} is seen in this network"
        return self._fault or self._guard.reason

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream = self._resolver = None  # pylsl closes what nobody holds

    def _lose(self) -> None:
        self._stream = self._channels = self._fault = None
        self._lost_ns = self._clock()

    def _connect(self) -> None:
        """To the first that is there. One that was lost is still announced for some seconds."""
        if self._resolver is None:
            self._resolver = pylsl.ContinuousResolver("type", "Gaze")
        now_ns = self._clock()
        lost = self._lost_ns is not None and now_ns - self._lost_ns < _ANNOUNCED_NS
        found = {
            info.name(): info
            for info in self._resolver.results()
            if not (lost and info.uid() == self._uid)
        }
        name = self._name or min(found, default="")
        if name in found:
            self._stream = pylsl.StreamInlet(found[name], max_buflen=_BUFFER_S, recover=False)
            self._uid = found[name].uid()
            self._found_ns = self._heard_ns = now_ns

    def _samples(self) -> Iterator[Gaze]:
        """Raises NotYet until the meta-data and the clock's offset have come."""
        if self._stream is None:
            return
        channels = self._known_channels(self._stream)
        ours_s = self._clock() / 1e9 - pylsl.local_clock() + self._stream.time_correction(0.0)
        chunk: tuple[Any, Any] = self._stream.pull_chunk(0.0, _AT_ONCE)  # waits for a first contact
        for row, stamp in zip(*chunk, strict=True):
            if channels:
                yield as_gaze((stamp + ours_s) * 1e9, *channels.read(row))

    def _known_channels(self, stream: pylsl.StreamInlet) -> _Channels | None:
        if self._channels is None and self._fault is None:
            info = stream.info(0.0)
            self._channels = _find_channels(info)
            if self._channels is None:
                self._fault = (
                    f"no-channels: the LSL stream {info.name()!r} names no channels of the types "
                    "ScreenX and ScreenY; its meta-data is needed"
                )
        return self._channels


@dataclass(frozen=True, slots=True)
class _Channels:
    """The places of what counts in a sample; a pair for each eye that is seen."""

    points: tuple[tuple[int, int], ...]
    confidence: int | None
    from_below: bool

    def read(self, row: Sequence[float]) -> tuple[float, float, float]:
        """x, y and confidence; NaN where no eye is seen."""
        points = [(row[x], row[y]) for x, y in self.points]
        seen = [point for point in points if all(map(isfinite, point))]
        if not seen:
            return nan, nan, 0.0
        x, y = (sum(values) / len(seen) for values in zip(*seen, strict=True))
        trust = 1.0 if self.confidence is None else row[self.confidence]
        return x, 1 - y if self.from_below else y, trust


def _find_channels(info: pylsl.StreamInfo) -> _Channels | None:
    """By the description of each channel; None where it does not say where the points are."""
    if info.channel_format() == pylsl.cf_string:
        return None
    described = [
        {key: channel.child_value(key) for key in ("label", "type", "eye")}
        for channel in _children(info.desc().child("channels"))
    ][: info.channel_count()]
    eyes = {channel["eye"] for channel in described}
    points = [
        (x, y)
        for eye in (["both"] if _pairs(described, "both") else sorted(eyes))
        for x, y in _pairs(described, eye)
    ]
    if not points:
        return None
    trust = [k for k, channel in enumerate(described) if channel["type"] == "Confidence"]
    from_below = described[points[0][1]]["label"] == "norm_pos_y"
    return _Channels(tuple(points), trust[0] if trust else None, from_below)


def _pairs(described: Sequence[dict[str, str]], eye: str) -> list[tuple[int, int]]:
    """The first ScreenX and the first ScreenY of this eye."""
    types = [channel["type"] if channel["eye"] == eye else "" for channel in described]
    if "ScreenX" in types and "ScreenY" in types:
        return [(types.index("ScreenX"), types.index("ScreenY"))]
    return []


def _children(channels: XMLElement) -> Iterator[XMLElement]:
    channel = channels.child("channel")
    while not channel.empty():
        yield channel
        channel = channel.next_sibling("channel")
