"""A stand-in for the Companion app: its status over HTTP, its streams over RTSP and RTP, its Time
Echo, on real sockets, written from the documented protocol alone (RFC 2326, 3550; Pupil Labs'
"under the hood"). It sends what it is given.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter

RATE_HZ = 90_000
NTP_EPOCH_S = 2_208_988_800
GAZE, IMU = "gaze", "imu"
ENCODING = {GAZE: "com.pupillabs.gaze1", IMU: "com.pupillabs.imu1"}


@dataclass(eq=False)
class Listener:
    """Somebody who plays a stream: where their RTP and RTCP go."""

    stream: str
    rtp: tuple[str, int]
    rtcp: tuple[str, int]
    writer: Writer
    sequence: int = 0


@dataclass
class Companion:
    """Runs within `with`. `ports` of one that died gives its successor the same address.

    ahead_s   how far the phone's clock is ahead of this machine's
    hardware  1 Invisible, 2 Neon
    plugged   glasses are plugged into the phone
    echoes    it knows Time Echo
    """

    ahead_s: float = 37.0
    hardware: str = "2.0"
    plugged: bool = True
    echoes: bool = True
    ports: tuple[int, int, int] = (0, 0, 0)
    listeners: list[Listener] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._base_ns = self.now_ns()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._writers: set[Writer] = set()
        self._loop = asyncio.new_event_loop()
        self._up, self._down = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *exception: object) -> None:
        self.die()

    @property
    def port(self) -> int:
        return self.ports[0]

    def now_ns(self) -> int:
        """The phone's clock, Unix ns."""
        return time.time_ns() + round(self.ahead_s * 1e9)

    def playing(self, stream: str = GAZE) -> bool:
        return any(listener.stream == stream for listener in self.listeners)

    def gaze(
        self, x: float, y: float, *, worn: bool = True, at_ns: int | None = None, eyes: bytes = b""
    ) -> int:
        """Sends a sample, pixels; gives the phone's time of it. `eyes`: the eye state's floats."""
        at_ns = self.now_ns() if at_ns is None else at_ns
        self.send(GAZE, struct.pack("!ffB", x, y, 255 * worn) + eyes, at_ns)
        return at_ns

    def send(self, stream: str, payload: bytes, at_ns: int) -> None:
        for listener in [one for one in self.listeners if one.stream == stream]:
            listener.sequence += 1
            fields = (0x80, 96, listener.sequence & 0xFFFF, self._ticks(at_ns), 7)
            self._udp.sendto(struct.pack("!BBHII", *fields) + payload, listener.rtp)

    def die(self) -> None:
        """As when the app is closed."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._down.set)
            self._thread.join()
            self._loop.close()
            self._udp.close()

    def _ticks(self, at_ns: int) -> int:
        return round((at_ns - self._base_ns) * RATE_HZ / 1e9) + 1_000_000_000 & 0xFFFFFFFF

    async def _run(self) -> None:
        served = (self._http, self._rtsp, self._echo)
        servers = [
            await asyncio.start_server(self._held(serve), "127.0.0.1", port)
            for serve, port in zip(served, self.ports, strict=True)
        ]
        http, rtsp, echo = (int(server.sockets[0].getsockname()[1]) for server in servers)
        self.ports = (http, rtsp, echo)
        self._up.set()
        reports = asyncio.create_task(self._report_for_ever())
        await self._down.wait()
        reports.cancel()
        for server in servers:
            server.close()
        for writer in self._writers:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    def _held(
        self, serve: Callable[[Reader, Writer], Awaitable[None]]
    ) -> Callable[[Reader, Writer], Awaitable[None]]:
        async def held(reader: Reader, writer: Writer) -> None:
            self._writers.add(writer)
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await serve(reader, writer)
            self._writers.discard(writer)
            writer.close()

        return held

    # HTTP

    async def _http(self, reader: Reader, writer: Writer) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        known = request.startswith(b"GET /api/status ")
        answer = {"message": "Success", "result": self._status()} if known else {"message": "no"}
        body = json.dumps(answer).encode()
        writer.write(
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n" % (b"200 OK" if known else b"404 Not Found", len(body))
        )
        writer.write(body)
        await writer.drain()

    def _status(self) -> list[dict[str, Any]]:
        phone = {
            "battery_level": 80,
            "battery_state": "OK",
            "device_id": "d55a336183ed4d9e",
            "device_name": "OnePlus8",
            "ip": "127.0.0.1",
            "memory": 99_877_777_408,
            "memory_state": "OK",
            "time_echo_port": self.ports[2] if self.echoes else None,
        }
        hardware = {"version": self.hardware, "glasses_serial": "", "module_serial": "123456"}
        sensors = [
            {
                "sensor": stream,
                "conn_type": "DIRECT",
                "connected": self.plugged,
                "ip": "127.0.0.1",
                "params": f"camera={stream}",
                "port": self.ports[1],
                "protocol": "rtsp",
                "stream_error": False,
            }
            for stream in (GAZE, IMU)
        ]
        return [
            {"model": "Phone", "data": phone},
            {"model": "Hardware", "data": hardware},
            *({"model": "Sensor", "data": sensor} for sensor in sensors),
        ]

    # RTSP

    async def _rtsp(self, reader: Reader, writer: Writer) -> None:
        listener: Listener | None = None
        try:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, url, _ = request.split("\r\n")[0].split()
                stream = IMU if "camera=imu" in url else GAZE
                extra, body = "", ""
                if method == "OPTIONS":
                    extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n"
                elif method == "DESCRIBE":
                    body = (
                        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=Unnamed\r\nt=0 0\r\n"
                        "m=application 0 RTP/AVP 96\r\n"
                        f"a=rtpmap:96 {ENCODING[stream]}/{RATE_HZ}\r\n"
                    )
                    extra = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
                elif method == "SETUP":
                    rtp, rtcp = map(int, re.findall(r"client_port=(\d+)-(\d+)", request)[0])
                    host = writer.get_extra_info("peername")[0]
                    listener = Listener(stream, (host, rtp), (host, rtcp), writer)
                    transport = f"RTP/AVP;unicast;client_port={rtp}-{rtcp}"
                    extra = f"Transport: {transport}\r\nSession: 12345678;timeout=60\r\n"
                number = re.findall(r"CSeq: (\d+)", request)[0]
                writer.write(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{extra}\r\n{body}".encode())
                await writer.drain()
                if method == "PLAY" and listener:
                    self._report(listener)
                    self.listeners.append(listener)
                if method == "TEARDOWN":
                    return
        finally:
            if listener in self.listeners:
                self.listeners.remove(listener)

    async def _report_for_ever(self) -> None:
        while True:
            for listener in list(self.listeners):
                self._report(listener)
            await asyncio.sleep(0.2)

    def _report(self, listener: Listener) -> None:
        """RTCP's sender report: the same moment in NTP's time and in the stream's ticks."""
        now_ns = self.now_ns()
        seconds, rest = divmod(now_ns, 10**9)
        ntp = (seconds + NTP_EPOCH_S, (rest << 32) // 10**9)
        report = struct.pack("!BBHIIIIII", 0x80, 200, 6, 7, *ntp, self._ticks(now_ns), 0, 0)
        self._udp.sendto(report, listener.rtcp)

    # Time Echo

    async def _echo(self, reader: Reader, writer: Writer) -> None:
        while True:
            asked = await reader.readexactly(8)
            writer.write(asked + struct.pack("!Q", self.now_ns() // 1_000_000))
            await writer.drain()
