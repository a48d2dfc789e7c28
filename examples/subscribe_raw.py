"""Masks without the SDK: pip install pyzmq msgpack. The model for a client in any language.

python examples/subscribe_raw.py [ADDRESS]
"""

import sys

import msgpack
import zmq

address = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5570"
context = zmq.Context()
stream = context.socket(zmq.SUB)
stream.setsockopt(zmq.RCVHWM, 8)  # newest wins: keep no long queue
stream.setsockopt(zmq.HEARTBEAT_IVL, 1000)  # find out when the network went away
stream.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3000)
stream.connect(address)
stream.subscribe("g1.mask.")


def is_object(mask: dict, u: int, v: int) -> bool:
    """Cell u from the left, v from the top: rows of whole bytes, most significant bit first."""
    row = (mask["width"] + 7) // 8
    return bool(mask["data"][v * row + u // 8] >> (7 - u % 8) & 1)


while True:
    topic, payload = stream.recv_multipart()
    mask = msgpack.unpackb(payload)
    left, top, width, height = mask["roi"]
    middle = is_object(mask, mask["width"] // 2, mask["height"] // 2)
    print(
        f"{topic.decode()}  frame {mask['seq']}  track {mask['track']}  area {mask['area']}  "
        f"region {left},{top} {width}x{height}  middle {'object' if middle else 'background'}",
        flush=True,
    )
