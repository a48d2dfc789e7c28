"""Masks from a running `glasses run`, as text: how old, whose, how large, where.

python examples/subscribe.py [ADDRESS]
"""

import sys
from contextlib import suppress

from glasses_sdk import MaskSubscriber, StaleStream

address = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5570"
with suppress(KeyboardInterrupt), MaskSubscriber(address) as masks:
    while True:
        try:
            mask = masks.recv()
        except StaleStream as silence:  # again every 3 s; masks go on by themselves
            print(f"{silence.reason}: {silence}", flush=True)
            continue
        x, y = mask.roi.centre
        print(
            f"frame {mask.seq}  age {masks.age_ms(mask):.1f} ms  track {mask.track}  "
            f"{mask.roi_state}  area {mask.area}  around {x:.0f},{y:.0f} of {mask.sensor}",
            flush=True,
        )
