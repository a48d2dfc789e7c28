"""Where a tracker is: `HOST`, `HOST:PORT`, `[IPV6]:PORT`, or nothing at all."""

from __future__ import annotations

from glasses_sdk.errors import ConfigError

__all__ = ["parse_address"]


def parse_address(text: str, host: str, port: int) -> tuple[str, int]:
    """Host and port as given, the tracker's own where they are not. Raises ConfigError."""
    name, digits = text, ""
    if text.startswith("["):
        name, _, digits = text[1:].partition("]")
        digits = digits.removeprefix(":")
    elif text.count(":") == 1:
        name, _, digits = text.partition(":")
    try:
        number = int(digits or port)
    except ValueError:
        number = 0
    if not 0 < number < 65536:
        raise ConfigError(f"a port lies in 1 to 65535, not {digits!r} as in {text!r}")
    return name or host, number
