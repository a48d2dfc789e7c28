"""What crosses the wire, version 1: records to bytes and back, nothing that opens a socket.

A message is two frames, a topic and one msgpack map. Every reader here refuses what is malformed
with a WireError and ignores keys that it does not know.
"""

from __future__ import annotations

from glasses_sdk.wire.inputs import decode_input, encode_gaze_input, encode_head_input
from glasses_sdk.wire.masks import StreamedMask, decode_mask, encode_mask, mask_fields
from glasses_sdk.wire.message import VERSION, Origin, Privacy
from glasses_sdk.wire.news import (
    Calibration,
    CameraCard,
    ClockReading,
    GazeMapCard,
    GazeMessage,
    GazeState,
    Kpi,
    SensorCard,
    Status,
    decode,
    encode,
)
from glasses_sdk.wire.requests import (
    AimRequest,
    Done,
    HelloReply,
    HelloRequest,
    PointerRequest,
    Refusal,
    ReleaseRequest,
    Request,
    TimeReply,
    TimeRequest,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    request_id,
)

__all__ = [
    "VERSION",
    "AimRequest",
    "Calibration",
    "CameraCard",
    "ClockReading",
    "Done",
    "GazeMapCard",
    "GazeMessage",
    "GazeState",
    "HelloReply",
    "HelloRequest",
    "Kpi",
    "Origin",
    "PointerRequest",
    "Privacy",
    "Refusal",
    "ReleaseRequest",
    "Request",
    "SensorCard",
    "Status",
    "StreamedMask",
    "TimeReply",
    "TimeRequest",
    "decode",
    "decode_input",
    "decode_mask",
    "decode_reply",
    "decode_request",
    "encode",
    "encode_gaze_input",
    "encode_head_input",
    "encode_mask",
    "encode_reply",
    "encode_request",
    "mask_fields",
    "request_id",
]
