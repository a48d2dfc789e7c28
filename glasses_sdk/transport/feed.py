"""What a subscriber knows, without sockets and clocks: it is fed frames and events."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Literal

from glasses_sdk.errors import StaleStream, WireError
from glasses_sdk.wire import Calibration, Status, StreamedMask, decode

__all__ = ["PATIENCE_NS", "Feed", "Link"]

PATIENCE_NS = 3_000_000_000
"""A stream that has shown nothing for so long is stale."""
_SILENCE_NS = 2_000_000_000  # a status comes every second: after two without, nobody speaks

Link = Literal["never", "up", "down", "refused"]


class Feed:
    """Masks in, the newest (or each) out; gaps counted, staleness told with its reason."""

    def __init__(self, address: str, device: str | None, every: bool, now_ns: int) -> None:
        self._address = address
        self._device = device
        self._masks: deque[StreamedMask] = deque(maxlen=None if every else 1)
        self._last: dict[str, tuple[str, int]] = {}
        self._link: Link = "never"
        self._since_ns = now_ns
        self._heard_ns: int | None = None
        self._clock_ns: int | None = None
        self.status: Status | None = None
        self.calibration: Calibration | None = None
        self.dropped = 0
        self.malformed = 0

    @property
    def waiting(self) -> int:
        """Masks that nobody has taken."""
        return len(self._masks)

    @property
    def reboot_ns(self) -> int | None:
        """The publisher's Unix time minus its monotonic time, by its last status."""
        clock = self.status and self.status.clock
        return clock and clock.unix_ns - clock.monotonic_ns

    def frames(self, frames: Sequence[bytes], now_ns: int) -> None:
        """A message came; what is malformed is counted and otherwise as if it had not come."""
        try:
            message = decode(frames)
        except WireError:
            self.malformed += 1
            return
        if self._device not in (None, message.device):
            return
        self._heard_ns = now_ns
        match message:
            case StreamedMask():
                self._take(message, now_ns)
            case Status():
                self.status = message
            case Calibration():
                self.calibration = message
            case _:
                pass

    def link(self, link: Link) -> None:
        """The connection changed; what was refused or never up is not merely down."""
        if link != "down" or self._link == "up":
            self._link = link

    def take(self) -> StreamedMask | None:
        """The next mask, None where there is none."""
        return self._masks.popleft() if self._masks else None

    def due_ns(self) -> int:
        """When the stream will be stale if nothing comes."""
        return self._last_sign_ns() + PATIENCE_NS

    def stale(self, now_ns: int) -> StaleStream | None:
        """Why nothing has come for 3 s; None where something has, or where the sensor loads."""
        return self._reason(now_ns) if now_ns >= self.due_ns() else None

    def wait_again(self, now_ns: int) -> None:
        """The staleness was told: be patient once more."""
        self._since_ns = now_ns

    def _take(self, mask: StreamedMask, now_ns: int) -> None:
        session, seq = self._last.get(mask.device, ("", -1))
        if session != mask.session:
            self.dropped = 0
        elif mask.seq <= seq:
            return  # came twice, as after a second connection
        else:
            self.dropped += mask.seq - seq - 1
        self._last[mask.device] = mask.session, mask.seq
        self._masks.append(mask)
        self._since_ns = now_ns

    def _last_sign_ns(self) -> int:
        """The last mask, or the last status of a sensor that is only starting."""
        busy = self.status is not None and self.status.state in ("starting", "loading")
        if busy and self._heard_ns is not None:
            return max(self._since_ns, self._heard_ns)
        return self._since_ns

    def _reason(self, now_ns: int) -> StaleStream:
        heard = self._heard_ns is not None and now_ns - self._heard_ns < _SILENCE_NS
        if heard and self.status is not None:
            return StaleStream("stalled-sensor", self._stalled(self.status))
        match self._link:
            case "refused":
                return StaleStream("refused-key", f"{self._address} refused our key")
            case "never":
                sentence = f"never connected to {self._address}: is a publisher running there?"
                return StaleStream("never-connected", sentence)
            case _:
                return StaleStream("publisher-silent", self._silent())

    def _stalled(self, status: Status) -> str:
        why = f" ({status.reason})" if status.reason else ""
        return f"no mask for 3 s: the sensor of {status.device} is {status.state}{why}"

    def _silent(self) -> str:
        who = f" of {self._device}" if self._device else ""
        junk = f", {self.malformed} malformed messages" if self.malformed else ""
        return f"nothing{who} for 3 s from {self._address}, which was connected{junk}"
