"""The floor: the shortest honest program from a frame to a mask in another process.

Its messages are the protocol's own, every key: one without a region would be of no use to anybody.
It checks nothing, says nothing of itself, has no tracker, no control and no second kind of
message. Run as `python -m glasses_sdk.bench.bare camera FIFO MODEL`, `... ready FIFO` or
`... subscriber ADDRESS`; nothing of the SDK runs in it but its last will and the made picture.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (onnxruntime types only a part of itself)

from __future__ import annotations

import os
import struct
import sys
import time
from typing import Any

import msgspec
import numpy as np
import zmq


def publish(fifo: str, model: str | None) -> None:
    """A mask for each frame that comes out of the named pipe; without a model, always the same."""
    publisher = zmq.Context().socket(zmq.PUB)
    print(f"tcp://127.0.0.1:{publisher.bind_to_random_port('tcp://127.0.0.1')}", flush=True)
    logits = _network(model) if model else _ready()
    encode = msgspec.msgpack.Encoder().encode
    camera = os.open(fifo, os.O_RDONLY)
    print("ready", flush=True)
    while tick := os.read(camera, 16):
        seq, time_ns = struct.unpack("<qq", tick)
        bits = logits() > 0
        mask = {
            "v": 1,
            "topic": "g1.mask.bare",
            "device": "bare",
            "session": "0123456789abcdef",
            "seq": seq,
            "t_capture_ns": time_ns,
            "t_publish_ns": time.monotonic_ns(),
            "width": bits.shape[1],
            "height": bits.shape[0],
            "encoding": "bits",
            "data": np.packbits(bits, axis=1).tobytes(),
            "roi": (200, 120, 240, 240),
            "sensor": (640, 480),
            "roi_state": "stable",
            "track": 1,
            "score": 1.0,
            "area": int(np.count_nonzero(bits)),
            "model": "bare@00000000",
            "privacy": "fine",
        }
        publisher.send_multipart([b"g1.mask.bare", encode(mask)])


def _network(model: str) -> Any:
    """The middle of the picture through the network, as [H, W] logits."""
    import cv2
    import onnxruntime

    from glasses_sdk.bench.scene import picture

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    height, width = session.get_inputs()[0].shape[1:3]
    frame = picture()

    def logits() -> Any:
        view = cv2.resize(frame[120:360, 200:440], (width, height))
        rgb = cv2.cvtColor(view, cv2.COLOR_BGR2RGB)
        return session.run(None, {"rgb": rgb[None]})[0][0]

    return logits


def _ready() -> Any:
    from glasses_sdk.bench.scene import ready_logits

    tensor = ready_logits()
    return lambda: tensor


def subscribe(address: str) -> None:
    """Decode each mask, and print its number and age."""
    subscriber = zmq.Context().socket(zmq.SUB)
    subscriber.subscribe(b"g1.mask.")
    subscriber.connect(address)
    decode = msgspec.msgpack.Decoder().decode
    print("ready", flush=True)
    while True:
        _, payload = subscriber.recv_multipart()
        mask = decode(payload)
        rows = np.frombuffer(mask["data"], np.uint8).reshape(mask["height"], -1)
        np.unpackbits(rows, axis=1, count=mask["width"]).view(np.bool_)
        age_ns = time.monotonic_ns() - mask["t_capture_ns"]
        print(mask["seq"], age_ns, flush=True)


if __name__ == "__main__":
    from glasses_sdk.sensors import confine

    if confine.hide(os.getppid()):
        match sys.argv[1:]:
            case ["camera", fifo, model]:
                publish(fifo, model)
            case ["ready", fifo]:
                publish(fifo, None)
            case [_, address]:
                subscribe(address)
            case _:
                sys.exit("camera FIFO MODEL, ready FIFO or subscriber ADDRESS")
