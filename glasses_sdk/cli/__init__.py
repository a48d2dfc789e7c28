"""The command line: `glasses run`, `sub`, `evaluate`, `bench`, `doctor`, `models` and more."""

from __future__ import annotations

import os
import sys

import typer

from glasses_sdk.cli import stream, measure, keep, models, calibrate  # isort: skip - their order is the help's
from glasses_sdk.cli.app import app, say
from glasses_sdk.errors import GlassesError

__all__ = ["app", "calibrate", "keep", "main", "measure", "models", "stream"]


def main() -> None:
    """The entry point: an error of ours is one sentence on standard error and exit code 1."""
    try:
        code = app(standalone_mode=False)
    except typer.Exit as done:
        code = done.exit_code
    except GlassesError as error:
        say(f"glasses: {error}")
        code = 1
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # `glasses sub | head`: whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        code = _usage(error)
    sys.exit(code if isinstance(code, int) else 0)


def _usage(error: Exception) -> int:
    """A wrong flag, as click says it; anything else is a defect of ours and keeps its trace."""
    show = getattr(error, "show", None)
    if show is None:
        raise error
    show()
    return int(getattr(error, "exit_code", 2))
