"""Agents without anything but their calls: each leases a task and completes it, over and over, on a connection of its own.

    python -m bench.attempts < JSON of a Load

Prints the JSON of a Done. A process of its own that takes little of what masters and database could use: about 40 µs a call.
"""

import select
import sys
import time

import msgspec

from bench.load import Connection
from ffrtmp.protocol import agent
from ffrtmp.testing import factories

_ATTEMPT = b'"attempt_id":"'


class Node(msgspec.Struct, frozen=True):
    """A registered node, and the port of the master that it speaks with."""

    id: str
    incarnation: str
    port: int


class Load(msgspec.Struct, frozen=True):
    nodes: list[Node]
    seconds: float


class Done(msgspec.Struct, frozen=True):
    """Leases with their completion, the seconds that they took, and the CPU seconds of this process."""

    completed: int
    seconds: float
    cpu_seconds: float
    idle: int  #: leases that gave nothing


class Caller(Connection):
    def __init__(self, node: Node) -> None:
        super().__init__(("127.0.0.1", node.port))
        self._number = 0
        self._lease = f"/nodes/{node.id}/lease"
        self._asked = msgspec.json.encode(
            agent.LeaseRequest(incarnation=node.incarnation, request_id="#", free_slots=1, wait_seconds=1.0)
        )
        self._made = msgspec.json.encode(
            agent.Complete(node_id=node.id, incarnation=node.incarnation, result=factories.a_result())
        )

    def lease(self) -> None:
        self._number += 1
        self._post(self._lease, self._asked.replace(b'"#"', b'"%d-%d"' % (id(self), self._number)))

    def complete(self, attempt_id: str) -> None:
        self._post(f"/attempts/{attempt_id}/complete", self._made)

    def _post(self, path: str, body: bytes) -> None:
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.send(head.encode() + body)

    def granted(self) -> str | None:
        """The attempt in the last answer, if it is a grant."""
        _, found, rest = self.body.partition(_ATTEMPT)
        return rest[: rest.index(b'"')].decode() if found and b'"grants"' in self.body else None


def run(load: Load) -> Done:
    callers = {caller.socket.fileno(): caller for caller in (Caller(node) for node in load.nodes)}
    poll = select.epoll()
    for descriptor in callers:
        poll.register(descriptor, select.EPOLLIN)
    completed = idle = 0
    began, used = time.perf_counter(), time.process_time()
    until = began + load.seconds
    for caller in callers.values():
        caller.lease()
    left = len(callers)
    while left:
        for descriptor, _ in poll.poll():
            caller = callers[descriptor]
            status = caller.answer()
            if status is None:
                continue
            if status != "200":
                raise SystemExit(f"a master answered {status}: {caller.body.decode()}")
            attempt_id = caller.granted()
            if attempt_id is not None:
                caller.complete(attempt_id)
                continue
            if b'"grants"' in caller.body or b'"held_seconds"' in caller.body:
                idle += 1
            else:
                completed += 1
            if time.perf_counter() < until:
                caller.lease()
            else:
                poll.unregister(descriptor)
                left -= 1
    return Done(
        completed=completed,
        seconds=time.perf_counter() - began,
        cpu_seconds=time.process_time() - used,
        idle=idle,
    )


if __name__ == "__main__":
    done = run(msgspec.json.decode(sys.stdin.buffer.read(), type=Load))
    sys.stdout.buffer.write(msgspec.json.encode(done))
