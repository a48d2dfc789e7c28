"""`python -m glasses_sdk` is the command `glasses`."""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """The command line. While modules load, Ctrl-C ends the process by the signal itself.

    An exception could get lost in a library that is just being imported; a command asks for
    exceptions (`glasses_sdk.cli.app.interruptible`) once it has something to clean up.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from glasses_sdk.cli import main as run

    run()


if __name__ == "__main__":
    main()
