"""Masks beside other work in one asyncio program.

python examples/subscribe_async.py [ADDRESS]
"""

import asyncio
import sys
from contextlib import suppress

from glasses_sdk import AsyncMaskSubscriber, StaleStream

address = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5570"


async def other_work() -> None:
    while True:
        await asyncio.sleep(1)
        print("the rest of the program goes on", flush=True)


async def main() -> None:
    work = asyncio.create_task(other_work())
    async with AsyncMaskSubscriber(address) as masks:
        while not work.done():
            try:
                mask = await masks.recv()
            except StaleStream as silence:
                print(f"{silence.reason}: {silence}", flush=True)
                continue
            age = masks.age_ms(mask)
            print(f"track {mask.track}  area {mask.area}  age {age:.1f} ms", flush=True)


with suppress(KeyboardInterrupt):
    asyncio.run(main())
