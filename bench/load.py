"""Load on an HTTP server: N connections, each sends its next request when the answer to the last one is whole.

    python -m bench.load HOST PORT CONNECTIONS SECONDS < request-bytes

Prints JSON: requests answered, seconds, 50th and 99th percentile in ms, answers by status. A process of its own, so that it does
not share the server's interpreter; sockets and epoll without more, so that it takes little of what the server could use.
"""

import json
import select
import socket
import sys
import time
from collections import Counter


class Connection:
    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = 0.0
        self.buffer = b""
        self.body = b""  #: of the last answer

    def send(self, request: bytes) -> None:
        self.sent = time.perf_counter()
        self.socket.sendall(request)

    def answer(self) -> str | None:
        """The status of the answer when it is whole. Raises ConnectionError when the server closes."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed a connection")
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        at = head.lower().index(b"content-length: ")
        if len(body) < int(head[at + 16 :].split(b"\r\n", 1)[0]):
            return None
        self.buffer, self.body = b"", body
        return head[9:12].decode()


def main() -> None:
    address, count, seconds = (sys.argv[1], int(sys.argv[2])), int(sys.argv[3]), float(sys.argv[4])
    request = sys.stdin.buffer.read()
    made = (Connection(address) for _ in range(count))
    connections = {connection.socket.fileno(): connection for connection in made}
    poll = select.epoll()
    for descriptor in connections:
        poll.register(descriptor, select.EPOLLIN)
    times: list[float] = []
    statuses: Counter[str] = Counter()
    started = time.perf_counter()
    until = started + seconds
    for connection in connections.values():
        connection.send(request)
    left = count
    while left:
        for descriptor, _ in poll.poll():
            connection = connections[descriptor]
            status = connection.answer()
            if status is None:
                continue
            now = time.perf_counter()
            times.append(now - connection.sent)
            statuses[status] += 1
            if now < until:
                connection.send(request)
            else:
                poll.unregister(descriptor)
                left -= 1
    took = time.perf_counter() - started
    times.sort()
    print(
        json.dumps(
            {
                "requests": len(times),
                "seconds": took,
                "p50_ms": times[len(times) // 2] * 1000,
                "p99_ms": times[int(len(times) * 0.99)] * 1000,
                "statuses": statuses,
            }
        )
    )


if __name__ == "__main__":
    main()
