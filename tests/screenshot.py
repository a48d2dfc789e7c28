"""Photograph the viewer page over a real run: `python -m tests.screenshot OUT.png [--dark]`.

Needs Debian's chromium and chromium-driver. The picture in the README is its output.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

from glasses_sdk import Pipeline, StreamConfig
from glasses_sdk.backends import SensorConfig
from glasses_sdk.config import Config
from glasses_sdk.viewer.bridge import Bridge
from tests.test_viewer import start_chromium

WORLD = "synthetic:12"
AFTER_S = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    stream = StreamConfig(bind="tcp://127.0.0.1:*")
    config = Config(sensor=SensorConfig(WORLD), stream=stream)
    stop, opened, addresses = threading.Event(), threading.Event(), []

    def run() -> None:
        with Pipeline(config, publish=True) as glasses:
            addresses.append(glasses.addresses)
            opened.set()
            for _ in glasses:
                if stop.is_set():
                    return

    loop = threading.Thread(target=run)
    loop.start()
    opened.wait(30)
    where = addresses[0]
    try:
        with (
            Bridge(where.stream, where.control, where.input, port=0) as bridge,
            tempfile.TemporaryDirectory() as profile,
        ):
            photograph(bridge.url, arguments.out, Path(profile), arguments.dark)
    finally:
        stop.set()
        loop.join()


def photograph(url: str, out: Path, profile: Path, dark: bool) -> None:
    browser = start_chromium("/usr/bin/chromium", "/usr/bin/chromedriver", profile)
    try:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        screen = {"width": 1280, "height": 820, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        browser.get(url)
        time.sleep(AFTER_S)
        browser.save_screenshot(str(out))
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
