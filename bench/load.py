"""Load on an HTTP server: N connections, each sends its next request when the answer to the last one is whole.

    python -m bench.load HOST PORT CONNECTIONS SECONDS < request-bytes

Prints JSON: requests answered, seconds, 50th and 99th percentile in ms, answers by status. A process of its own, so that it does
not share the server's interpreter; raw sockets, so that it costs little beside the server.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from typing import cast

import uvloop


class Connection(asyncio.Protocol):
    def __init__(self, request: bytes, tally: "Tally") -> None:
        self._request = request
        self._tally = tally
        self._buffer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own, which is no subclass
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        if self._tally.over():
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().find(b"content-length: ")
        length = int(head[at + 16 :].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._tally.add(head[9:12].decode(), time.perf_counter() - self._sent)
        self._send()

    def connection_lost(self, _: Exception | None) -> None:
        self._tally.closed()


class Tally:
    def __init__(self, connections: int, seconds: float) -> None:
        self.times: list[float] = []
        self.statuses: Counter[str] = Counter()
        self._open = connections
        self._started = time.perf_counter()
        self._until = self._started + seconds
        self.done = asyncio.Event()
        self.took = 0.0

    def over(self) -> bool:
        return time.perf_counter() >= self._until

    def add(self, status: str, took: float) -> None:
        self.times.append(took)
        self.statuses[status] += 1
        self.took = time.perf_counter() - self._started

    def closed(self) -> None:
        self._open -= 1
        if not self._open:
            self.done.set()


async def main() -> None:
    host, port, connections, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    request = sys.stdin.buffer.read()
    tally = Tally(connections, seconds)
    loop = asyncio.get_running_loop()
    await asyncio.gather(
        *(loop.create_connection(lambda: Connection(request, tally), host, port) for _ in range(connections))
    )
    await tally.done.wait()
    times = sorted(tally.times)
    print(
        json.dumps(
            {
                "requests": len(times),
                "seconds": tally.took,
                "p50_ms": times[len(times) // 2] * 1000,
                "p99_ms": times[int(len(times) * 0.99)] * 1000,
                "statuses": tally.statuses,
            }
        )
    )


if __name__ == "__main__":
    uvloop.run(main())
