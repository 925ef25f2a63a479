"""The agent's side of the API. One try a call: the agent's session decides when to try again, because it must count its leases.
Each try asks all masters, and they share its time: one that is silent must not use up what a lease has left."""

import msgspec

from ffrtmp.client import http
from ffrtmp.protocol import agent

#: what a long-poll may take beyond the wait that it asked for
_POLL_MARGIN_SECONDS = 10.0
#: for the other calls
_CALL_SECONDS = 30.0


class WorkerCalls:
    """Mixed into `client.Client`."""

    _wire: http.Http

    async def register(self, node: agent.Register) -> agent.Registered:
        """From here on the node's own credential is used, if the master gave one."""
        registered = await self._wire.call(
            "POST",
            "/nodes/register",
            agent.Registered,
            body=node,
            as_node=False,
            timeout=self._wire.shared(_CALL_SECONDS),
        )
        self._wire.credential = registered.credential or ""
        return registered

    async def lease(self, node_id: str, request: agent.LeaseRequest) -> agent.LeaseReply:
        """Blocks until there is work or a command, or `wait_seconds` are over."""
        return await self._wire.call(
            "POST",
            f"/nodes/{node_id}/lease",
            agent.LeaseReply,
            body=request,
            body_again=msgspec.structs.replace(request, again=True),
            timeout=request.wait_seconds + _POLL_MARGIN_SECONDS,
        )

    async def beat(self, node_id: str, beat: agent.Beat, *, timeout: float | None = None) -> agent.BeatReply:
        return await self._wire.call(
            "POST",
            f"/nodes/{node_id}/heartbeat",
            agent.BeatReply,
            body=beat,
            timeout=self._wire.shared(_CALL_SECONDS if timeout is None else timeout),
        )

    async def publish(
        self, attempt_id: str, message: agent.Publish, *, timeout: float | None = None
    ) -> agent.AttemptReply:
        return await self._report(attempt_id, "publish", message, timeout)

    async def complete(
        self, attempt_id: str, message: agent.Complete, *, timeout: float | None = None
    ) -> agent.AttemptReply:
        return await self._report(attempt_id, "complete", message, timeout)

    async def fail(self, attempt_id: str, message: agent.Fail, *, timeout: float | None = None) -> agent.AttemptReply:
        return await self._report(attempt_id, "fail", message, timeout)

    async def give_back(
        self, attempt_id: str, message: agent.GiveBack, *, timeout: float | None = None
    ) -> agent.AttemptReply:
        return await self._report(attempt_id, "give-back", message, timeout)

    async def put_log(self, attempt_id: str, logs: agent.Logs) -> None:
        await self._wire.call(
            "POST", f"/attempts/{attempt_id}/logs", type(None), body=logs, timeout=self._wire.shared(_CALL_SECONDS)
        )

    async def _report(self, attempt_id: str, what: str, message: object, timeout: float | None) -> agent.AttemptReply:
        return await self._wire.call(
            "POST",
            f"/attempts/{attempt_id}/{what}",
            agent.AttemptReply,
            body=message,
            timeout=self._wire.shared(_CALL_SECONDS if timeout is None else timeout),
        )
