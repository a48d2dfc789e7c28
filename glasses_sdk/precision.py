"""Which file of a release runs faster on this machine: floats, or 8 bits.

Where a processor has instructions for bytes, 8 bits take half the time; where it has none, they
may take longer. So both are run, in turn, once on each machine.
"""

from __future__ import annotations

import hashlib
import platform
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median

import msgspec
import numpy as np

from glasses_sdk import models

__all__ = ["compare", "faster"]

_FOR_THE_HOST = ("fp32", "int8")
_ROUNDS = 20
_WARM_UP = 3


def faster(name: str, threads: int = 1) -> Path:
    """The file to run when a model is asked for by `name`.

    Of a release that has floats and 8 bits the one that is faster here with so many threads, which
    is measured once, in about half a second, and then remembered in the user's cache. Of anything
    else, as `picosam3/int8` or a file, `models.find`. Raises ModelError.
    """
    if name not in models.released():
        return models.find(name)
    here = models.precisions(name)
    files = {kind: here[kind] for kind in _FOR_THE_HOST if kind in here}
    if len(files) == 1:
        return models.find(name)
    key = _key(files, threads)
    known = _remembered().get(key)
    if known not in files:
        known = _quickest(compare(files, (threads,)))
        _remember(key, known)
    return files[known]


def compare(
    files: Mapping[str, Path], threads: tuple[int, ...], rounds: int = _ROUNDS
) -> dict[tuple[str, int], float]:
    """Milliseconds for one picture, the median of `rounds`, by file and number of threads.

    All are run in turn, so that whatever else the machine does in that time meets all of them.
    """
    from glasses_sdk.network import Network

    runners = {(name, n): Network(path, n) for name, path in files.items() for n in threads}
    times: dict[tuple[str, int], list[float]] = {key: [] for key in runners}
    random = np.random.default_rng(0)
    for _ in range(_WARM_UP + rounds):
        for key, network in runners.items():
            size = network.input
            picture = random.integers(0, 256, (1, size.height, size.width, 3), np.uint8)
            start = time.perf_counter()
            network.logits(picture)
            times[key].append(1e3 * (time.perf_counter() - start))
    return {key: median(each[_WARM_UP:]) for key, each in times.items()}


def _quickest(times: dict[tuple[str, int], float]) -> str:
    (name, _), _ = min(times.items(), key=lambda item: item[1])
    return name


def _key(files: dict[str, Path], threads: int) -> str:
    """This machine, these files."""
    parts = [_processor(), str(threads), *(models.sha256(path) for path in files.values())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return f"{platform.machine()} {platform.processor()}"


def _store() -> Path:
    return models.cache() / "faster.json"


def _remembered() -> dict[str, str]:
    """What was measured before; what cannot be read is measured again."""
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(_store().read_bytes(), type=dict[str, str])
    return {}


def _remember(key: str, name: str) -> None:
    """A cache that cannot be written costs half a second the next time, and is no error."""
    with suppress(OSError):
        _store().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=_store().parent, delete=False) as part:
            part.write(msgspec.json.encode(_remembered() | {key: name}))
        Path(part.name).replace(_store())
