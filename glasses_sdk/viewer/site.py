"""Where the viewer is served, to whom, and its page over HTTP."""

from __future__ import annotations

import socket
from http import HTTPStatus
from importlib.resources import files
from ipaddress import ip_address

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response
from websockets.typing import Origin

from glasses_sdk.errors import StreamError

__all__ = ["answer", "listen", "origins"]

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
    "/drawing.js": ("drawing.js", "text/javascript; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/vendor/msgpack.min.js": ("vendor/msgpack.min.js", "text/javascript; charset=utf-8"),
}


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on loopback; StreamError when that cannot be."""
    if not _is_loopback(host):
        raise StreamError(
            f"the viewer is served on loopback only, not on {host!r}; use 127.0.0.1, and a tunnel"
            " (ssh -L) from elsewhere"
        )
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise StreamError(
            f"cannot serve the viewer on {host} port {port} ({error}); choose another port"
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def origins(port: int) -> list[Origin | None]:
    """Who may speak to us: our own page, and programs that are no browser (no Origin at all)."""
    hosts = ("127.0.0.1", "localhost", "[::1]")
    return [*(Origin(f"http://{host}:{port}") for host in hosts), None]


def answer(browser: ServerConnection, request: Request) -> Response | None:
    """One of the page's files over HTTP; None for a WebSocket, which goes on."""
    if "Upgrade" in request.headers:
        return None
    name, kind = _FILES.get(request.path.partition("?")[0], ("", ""))
    if not name:
        return browser.respond(HTTPStatus.NOT_FOUND, "There is only the viewer, at /.\n")
    port = browser.local_address[1]
    page = files("glasses_sdk.viewer") / "page" / name
    response = browser.respond(HTTPStatus.OK, page.read_text("utf-8"))
    del response.headers["Content-Type"]
    response.headers.update(
        {
            "Content-Type": kind,
            # Not every browser counts a WebSocket to the same host as 'self'.
            "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; "
            f"connect-src 'self' ws://127.0.0.1:{port} ws://localhost:{port}",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
    )
    return response
