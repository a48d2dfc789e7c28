"""The whole thing inside your own program, nothing on the network.

python examples/embed.py [SENSOR]

SENSOR: auto (an IMX500 if there is one, else webcam:0, else one sentence on what to try),
synthetic:1 or video:FILE.
"""

import sys

from glasses_sdk import GlassesError, Pipeline, load_config

config = load_config(flags={"sensor": {"source": sys.argv[1] if len(sys.argv) > 1 else "auto"}})
try:
    with Pipeline(config) as glasses:
        for mask in glasses:
            roi = mask.roi
            where = f"{roi.left:.0f},{roi.top:.0f} {roi.width:.0f}x{roi.height:.0f}"
            print(f"track {mask.track}  area {mask.area:5}  region {where} of {mask.sensor}")
except GlassesError as error:
    sys.exit(f"embed: {error}")
except KeyboardInterrupt:
    pass
