"""Gaze of your own, here a circle, pushed into a running `glasses run --gaze inlet:circle`.

python examples/custom_gaze_source.py [ADDRESS OF THE STREAM]
"""

import math
import sys
import time

import zmq

from glasses_sdk import Gaze
from glasses_sdk.transport import addresses_of
from glasses_sdk.wire import encode_gaze_input

SECONDS_A_ROUND, HZ = 4.0, 60


def look(seconds: float) -> Gaze:
    """Where the eyes are: 0 to 1 of the picture, from its top left. Time 0: arrival counts."""
    angle = 2 * math.pi * seconds / SECONDS_A_ROUND
    return Gaze(0, 0.5 + 0.3 * math.cos(angle), 0.5 + 0.3 * math.sin(angle), confidence=1.0)


stream = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5570"
with zmq.Context() as context, context.socket(zmq.PUB) as eyes:
    eyes.linger = 0
    eyes.connect(addresses_of(stream).input)
    print("looking in a circle; Ctrl-C stops", flush=True)
    try:
        while True:
            eyes.send_multipart(encode_gaze_input("circle", look(time.monotonic())))
            time.sleep(1 / HZ)
    except KeyboardInterrupt:
        pass
