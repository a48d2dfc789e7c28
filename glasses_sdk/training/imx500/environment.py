"""The environment of quantizer and converter, and programs that run in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from glasses_sdk.errors import ConfigError, ModelError

__all__ = ["Environment", "prepare"]

_PACKAGE = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
# PyTorch without CUDA is in no other index; the rest is on PyPI.
_TORCH, _TORCH_INDEX = "torch==2.13.0+cpu", "https://download.pytorch.org/whl/cpu"
_PYTHONS = ("python3.12", "python3.11")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment in which quantizer and converter are installed."""

    folder: Path

    def quantize(self, method: str, work: Path) -> None:
        """`inside` on the folder `work`."""
        library = work / "library"
        library.mkdir(exist_ok=True)
        own = library / "glasses_sdk"  # of our library nothing but ourselves
        if not own.is_symlink():
            own.symlink_to(_PACKAGE)
        module = "glasses_sdk.training.imx500.inside"
        python = str(self.folder / "bin" / "python")
        run([python, "-W", "ignore", "-m", module, method, str(work)], work, library)

    def convert(self, network: Path, out: Path) -> None:
        """Sony's `imxconv-pt`. Raises ModelError with what it said."""
        converter = str(self.folder / "bin" / "imxconv-pt")
        run(
            [converter, "-i", str(network), "-o", str(out), "--no-input-persistency"],
            network.parent,
        )


def prepare(folder: Path, say: Say) -> Environment:
    """The environment in `folder`; what is missing there is installed, which takes a minute or two.

    Raises ConfigError without Java, without a Python that the converter knows, or when pip fails.
    """
    if shutil.which("java") is None:
        raise ConfigError(
            "the IMX500 converter runs on Java, and there is no `java` here: "
            "sudo apt install default-jre-headless"
        )
    wanted, installed = REQUIREMENTS.read_text(), folder / REQUIREMENTS.name
    if not installed.exists() or installed.read_text() != wanted:
        say(f"installing quantizer and converter in {folder}, once")
        _install(folder)
        installed.write_text(wanted)
    return Environment(folder)


def _install(folder: Path) -> None:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile"]
    index = ["--no-deps", "--extra-index-url", _TORCH_INDEX]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run([_python(), "-m", "venv", str(folder)], folder)
        run([*pip, *index, _TORCH], folder)
        run([*pip, "-r", str(REQUIREMENTS)], folder)
    except (ModelError, OSError) as error:
        raise ConfigError(f"the converter cannot be installed in {folder}: {error}") from error


def _python() -> str:
    """A Python that quantizer and converter have wheels for."""
    if sys.version_info[:2] <= (3, 12):
        return sys.executable
    for name in _PYTHONS:
        if found := shutil.which(name):
            return found
    raise ConfigError(
        f"the IMX500 converter runs on Python 3.11 or 3.12, this is {sys.version.split()[0]}; "
        f"install one of {', '.join(_PYTHONS)}"
    )


def run(command: list[str], folder: Path, library: Path | None = None) -> None:
    """Run a program to its end, its temporary files and what it says in `folder`.

    Raises ModelError with the last line it said when it fails. Whatever ends this ends the
    program and all that it has started.
    """
    said = folder / "said.txt"
    environment = os.environ | {"TMPDIR": str(folder)}
    environment.pop("PYTHONPATH", None)
    if library:
        environment["PYTHONPATH"] = str(library)
    with said.open("w") as output:
        code = _code(command, environment, output)
    if code:
        raise ModelError(f"{Path(command[0]).name} ended with {code}: {_last(said.read_text())}")


def _code(command: list[str], environment: dict[str, str], output: TextIO) -> int:
    # A signal that came while the program is being started would leave it to itself.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    process = None
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before),
        )
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return process.wait()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if process:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][-300:] if lines else "it said nothing"
