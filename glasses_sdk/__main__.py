"""`python -m glasses_sdk` is the command `glasses`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """The command line; Ctrl-C is no error, not even while its modules are still loading."""
    try:
        from glasses_sdk.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
