"""Masks on the wire: what the publisher sends for each frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, to_builtins
from msgspec.msgpack import Decoder

from glasses_sdk.errors import WireError
from glasses_sdk.types import Bits, Mask, Roi, RoiState, Size
from glasses_sdk.wire.message import (
    OVERHEAD,
    Count,
    Header,
    Model,
    Origin,
    Privacy,
    Share,
    Side,
    pack,
    unpack,
)

__all__ = ["StreamedMask", "decode_mask", "encode_mask", "mask_fields"]

_Cells = Annotated[int, Meta(ge=1, le=256)]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StreamedMask(Mask):
    """A mask that came over the wire, with who sent it and when.

    `time_ns` and `published_ns` are on the publisher's monotonic clock.
    """

    device: str
    session: str
    model: str
    privacy: Privacy
    published_ns: int


class _MaskMap(Header, frozen=True, kw_only=True):
    seq: Count
    t_capture_ns: Count
    t_publish_ns: Count
    width: _Cells
    height: _Cells
    encoding: Literal["bits"]
    data: bytes
    roi: tuple[Count, Count, Side, Side]
    sensor: tuple[Side, Side]
    roi_state: RoiState
    track: Count
    score: Share
    area: Count
    model: Model
    privacy: Privacy


_decoder = Decoder(_MaskMap)


def encode_mask(mask: Mask, origin: Origin, published_ns: int) -> tuple[bytes, bytes]:
    """Topic and payload. WireError where the region is not of whole pixels or a count negative."""
    message = _message(mask, origin, published_ns)
    return message.topic.encode(), pack(message)


def mask_fields(mask: StreamedMask) -> dict[str, Any]:
    """The payload that it came in, key for key, ready for JSON: `data` is base64."""
    return to_builtins(_message(mask, mask, mask.published_ns))


def _message(mask: Mask, origin: Origin | StreamedMask, published_ns: int) -> _MaskMap:
    height, width = mask.bits.shape
    if min(mask.seq, mask.time_ns, mask.track, published_ns) < 0:
        raise WireError(
            f"seq, track and times are not negative on the wire, not {mask.seq}, {mask.track}, "
            f"{mask.time_ns} and {published_ns}"
        )
    data = np.packbits(mask.bits, axis=1).tobytes()
    return _MaskMap(
        v=1,
        topic=f"g1.mask.{origin.device}",
        device=origin.device,
        session=origin.session,
        seq=int(mask.seq),
        t_capture_ns=int(mask.time_ns),
        t_publish_ns=published_ns,
        width=width,
        height=height,
        encoding="bits",
        data=data,
        roi=_whole_pixels(mask.roi),
        sensor=(int(mask.sensor.width), int(mask.sensor.height)),
        roi_state=mask.roi_state,
        track=int(mask.track),
        score=float(mask.score),
        area=int.from_bytes(data).bit_count(),  # packed rows end in zeros
        model=origin.model,
        privacy=origin.privacy,
    )


def _whole_pixels(roi: Roi) -> tuple[int, int, int, int]:
    whole = (int(roi.left), int(roi.top), int(roi.width), int(roi.height))
    if whole != (roi.left, roi.top, roi.width, roi.height):
        raise WireError(f"a mask's region has whole pixels on the wire, not {roi}")
    return whole


def decode_mask(frames: Sequence[bytes]) -> StreamedMask:
    """The mask in these two frames; WireError for anything else."""
    message = unpack(_decoder, frames, "mask")
    if len(frames[1]) > len(message.data) + OVERHEAD:
        raise WireError(
            f"a mask's payload is at most its data and {OVERHEAD} bytes, "
            f"not {len(frames[1])} for {len(message.data)}"
        )
    bits = _bits(message)
    try:
        return _streamed(message, bits)
    except ValueError as error:
        raise WireError(f"not a mask message: {error}") from error


def _bits(message: _MaskMap) -> Bits:
    stride = (message.width + 7) // 8
    if len(message.data) != message.height * stride:
        raise WireError(
            f"{message.width} x {message.height} cells are {message.height * stride} bytes, "
            f"not {len(message.data)}"
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, stride)
    bits = np.unpackbits(rows, axis=1, count=message.width).view(np.bool_)
    if np.count_nonzero(bits) != message.area:
        raise WireError(f"{np.count_nonzero(bits)} cells are set, but `area` is {message.area}")
    return bits


def _streamed(message: _MaskMap, bits: Bits) -> StreamedMask:
    return StreamedMask(
        bits=bits,
        roi=Roi(*message.roi),
        sensor=Size(*message.sensor),
        time_ns=message.t_capture_ns,
        seq=message.seq,
        score=message.score,
        track=message.track,
        roi_state=message.roi_state,
        device=message.device,
        session=message.session,
        model=message.model,
        privacy=message.privacy,
        published_ns=message.t_publish_ns,
    )
