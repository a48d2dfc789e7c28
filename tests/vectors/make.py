"""Writes the golden vectors: `python tests/vectors/make.py` (needs the `msgpack` package).

Made from the protocol's page alone, without the SDK: bytes (.msgpack), the values expected (.json,
binary as hex), and the raster of each mask (.pbm, P4).
"""

from __future__ import annotations

import json
from pathlib import Path

import msgpack

HERE = Path(__file__).parent


def head(kind: str) -> dict[str, object]:
    return {
        "v": 1,
        "topic": f"g1.{kind}.glasses",
        "device": "glasses",
        "session": "0123456789abcdef",
    }


def mask(rows: list[str], **changes: object) -> dict[str, object]:
    """A mask message of rows drawn with # and dots."""
    width = len(rows[0])
    packed = bytearray()
    for row in rows:
        padded = row.ljust((width + 7) // 8 * 8, ".")
        for start in range(0, len(padded), 8):
            packed.append(int(padded[start : start + 8].replace("#", "1").replace(".", "0"), 2))
    message = {
        **head("mask"),
        "seq": 7,
        "t_capture_ns": 1_000_000_000,
        "t_publish_ns": 1_012_345_678,
        "width": width,
        "height": len(rows),
        "encoding": "bits",
        "data": bytes(packed),
        "roi": [100, 60, 200, 150],
        "sensor": [640, 480],
        "roi_state": "stable",
        "track": 3,
        "score": 0.875,
        "area": "".join(rows).count("#"),
        "model": "picosam3@89abcdef",
        "privacy": "fine",
    }
    return message | changes


def ring(side: int) -> list[str]:
    middle = (side - 1) / 2
    inside = [
        [side**2 / 16 < (x - middle) ** 2 + (y - middle) ** 2 < side**2 / 5 for x in range(side)]
        for y in range(side)
    ]
    return ["".join("#" if cell else "." for cell in row) for row in inside]


BIG = 2**63 - 1
VECTORS: dict[str, dict[str, object]] = {
    "mask-letter": mask(["#####.....", "#.........", "####......", "#.........", "#########."]),
    "mask-empty": mask(["." * 96] * 96, track=0, score=0.0, roi_state="held"),
    "mask-ring": mask(ring(96), roi_state="settling", roi=[0, 0, 640, 480]),
    "mask-one-cell": mask(["#"], roi=[639, 479, 1, 1], privacy="coarse"),
    "mask-largest": mask(
        ["#" * 256] * 256,
        seq=BIG,
        t_capture_ns=BIG - 1,
        t_publish_ns=BIG,
        track=BIG,
        score=1.0,
        roi=[0, 0, 4056, 3040],
        sensor=[4056, 3040],
    ),
    "status-streaming": {
        **head("status"),
        "t_publish_ns": 5_000_000_000,
        "state": "streaming",
        "reason": None,
        "progress": None,
        "fps": 29.5,
        "dropped": 2,
        "roi_latency_frames": 3,
        "sensor": {"kind": "imx500", "size": [4056, 3040], "mask": [96, 96]},
        "model": "picosam3@89abcdef",
        "privacy": "fine",
        "isolation": "silicon",
        "input_tensor": "off",
        "kpi": {"dnn_ms": 11.5, "dsp_ms": 1.25},
        "gaze": {"provider": "neon", "state": "tracking", "age_ms": 8.5},
        "sdk": "0.1.0",
        "clock": {"monotonic_ns": 5_000_000_000, "unix_ns": 1_800_000_000_000_000_001},
        "debug_pixels": False,
    },
    "status-stalled": {
        **head("status"),
        "t_publish_ns": 6_000_000_000,
        "state": "stalled",
        "reason": "no-frames: the camera has sent nothing for 2 s, look at its cable.",
        "progress": 0.5,
        "fps": 0.0,
        "dropped": 0,
        "roi_latency_frames": None,
        "sensor": {"kind": "webcam", "size": [640, 480], "mask": [96, 96]},
        "model": "picosam3@89abcdef",
        "privacy": "coarse",
        "isolation": "process",
        "input_tensor": "absent",
        "kpi": None,
        "gaze": {"provider": "none", "state": "none", "age_ms": None},
        "sdk": "0.1.0",
        "clock": {"monotonic_ns": 6_000_000_000, "unix_ns": 1_800_000_001_000_000_001},
        "debug_pixels": False,
    },
    "calibration-none": {
        **head("calibration"),
        "sensor": [640, 480],
        "gaze_map": None,
        "camera": None,
        "mount_rotation_deg": 0.0,
    },
    "calibration-full": {
        **head("calibration"),
        "sensor": [640, 480],
        "gaze_map": {
            "model": "homography",
            "matrix": [1.0, 0.0, 12.5, 0.0, 1.0, -3.25, 0.0, 0.0, 1.0],
            "accuracy_deg": 0.75,
            "precision_deg": None,
            "created": "2025-06-01T12:30:00Z",
        },
        "camera": {
            "matrix": [500.0, 0.0, 319.5, 0.0, 500.0, 239.5, 0.0, 0.0, 1.0],
            "distortion": [0.1, -0.2, 0.0, 0.0, 0.05],
        },
        "mount_rotation_deg": 90.0,
    },
    "gaze-fixation": {
        **head("gaze"),
        "t_ns": 1_000_000_000,
        "x": 320.25,
        "y": 240.5,
        "state": "fixation",
        "confidence": 0.9,
    },
}


def main() -> None:
    for name, message in VECTORS.items():
        (HERE / f"{name}.msgpack").write_bytes(msgpack.packb(message))
        text = json.dumps(message, indent=1, default=bytes.hex)
        (HERE / f"{name}.json").write_text(text + "\n")
        if name.startswith("mask"):
            header = f"P4\n{message['width']} {message['height']}\n".encode()
            (HERE / f"{name}.pbm").write_bytes(header + bytes(message["data"]))


if __name__ == "__main__":
    main()
