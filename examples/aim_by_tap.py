"""A tap in your app: track what is there, until `release` gives the region back to the eyes.

python examples/aim_by_tap.py X Y [ADDRESS OF THE STREAM]     X and Y: 0 to 1 of the display
"""

import sys
import time

from glasses_sdk import Control, GlassesError
from glasses_sdk.transport import addresses_of

x, y = (float(number) for number in sys.argv[1:3]) if len(sys.argv) > 2 else (0.5, 0.5)
stream = sys.argv[3] if len(sys.argv) > 3 else "tcp://127.0.0.1:5570"
try:
    with Control(addresses_of(stream).control) as control:
        width, height = control.hello().sensor
        control.aim(x * width, y * height)  # full-sensor pixels
        print(f"tracking what is at {x * width:.0f},{y * height:.0f} of {width}x{height}")
        time.sleep(3)
        control.release()
        print("back to gaze")
except GlassesError as error:
    sys.exit(f"aim_by_tap: {error}")
