"""Routes of callers: call a function and wait for it, or have it called."""

from msgspec import Raw

from stellwerk.http.endpoint import encode
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.http.operation import Raw as RawAnswer
from stellwerk.http.problem import Problem
from stellwerk.interfaces.nodes import rendering
from stellwerk.interfaces.nodes.callers import HEADERS, said_by
from stellwerk.interfaces.nodes.wire import executions as wire
from stellwerk.traffic import execution as traffic_values
from stellwerk.traffic.execution import Execution, Status
from stellwerk.traffic.refusals import TimedOut, Unreachable
from stellwerk.traffic.service import Traffic
from stellwerk.trust.scopes import Scope

TAG = "executions"
OURS = frozenset({401, 403, 407, 408, 413, 415, 429})
"""Client errors of an agent that would be read as refusals of the control plane; they are 502 here."""
TARGET = {"type": "string", "minLength": 1, "maxLength": 600, "description": "`agent.function`"}
NOTHING = (b"", b"null")


class ExecuteRoutes:
    """See the module."""

    def __init__(self, traffic: Traffic, input_bytes: int) -> None:
        self._traffic = traffic
        self._input_bytes = input_bytes

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="POST",
                path="/api/v1/execute/{target}",
                handle=self.execute,
                scope=Scope.TASKS_SUBMIT,
                summary="Call a function of an agent and wait for its end",
                tag=TAG,
                takes=wire.Execute,
                body_required=False,
                gives=wire.Executed,
                headers=HEADERS,
                path_schemas={"target": TARGET},
                refuses=(409,),
                also=dict.fromkeys((409, 502, 504), wire.NotExecuted),
                description="What the agent itself refuses (4xx) is answered with its status.",
            ),
            Operation(
                method="POST",
                path="/api/v1/execute/async/{target}",
                handle=self.begin,
                scope=Scope.TASKS_SUBMIT,
                summary="Have a function of an agent called",
                tag=TAG,
                takes=wire.Execute,
                body_required=False,
                gives=wire.Begun,
                status=202,
                headers=HEADERS,
                path_schemas={"target": TARGET},
                refuses=(409,),
            ),
        ]

    async def execute(self, call: Call[wire.Execute | None, None]) -> Answer:
        try:
            one = await self._traffic.execute(call.principal, self._call(call))
        except Unreachable as unreachable:
            return failed(unreachable.execution, 504, str(unreachable), "node_unreachable")
        except TimedOut as late:
            return failed(late.execution, 504, str(late), "timeout")
        if one.status is Status.SUCCEEDED:
            return RawAnswer(encode(rendering.executed(one)), headers=rendering.headers(one))
        return ended_badly(one)

    async def begin(self, call: Call[wire.Execute | None, None]) -> Answer:
        one = await self._traffic.begin(call.principal, self._call(call))
        webhook = call.body is not None and call.body.webhook is not None
        return RawAnswer(encode(rendering.begun(one, webhook)), status=202, headers=rendering.headers(one))

    def _call(self, call: Call[wire.Execute | None, None]) -> traffic_values.Call:
        said = said_by(call)
        body = call.body or wire.Execute()
        return traffic_values.Call(
            target=self._traffic.resolve(call.path["target"]),
            input=_input(body.input, self._input_bytes),
            run_id=said.run_id,
            parent_id=said.parent_id,
            session_id=said.session_id,
            actor_id=said.actor_id,
            caller=said.caller,
            pin=said.version,
            idempotency_key=said.idempotency_key,
            timeout_s=body.timeout_s,
            headers=said.handed_on,
        )


def ended_badly(one: Execution) -> RawAnswer:
    """Answer with an execution that did not succeed."""
    said = one.error or "the agent gave no reason"
    if one.status is Status.TIMEOUT:
        return failed(one, 504, said, "timeout")
    if one.status is Status.CANCELLED:
        return failed(one, 409, said if one.error else "the execution was cancelled", "cancelled")
    status = one.error_status
    if status is not None and 400 <= status < 500 and status not in OURS:
        return failed(one, status, f"agent error ({status}): {said}", "agent_error")
    return failed(one, 502, said, "agent_error")


def failed(one: Execution, status: int, error: str, category: str) -> RawAnswer:
    """Answer with an execution and what is wrong with it."""
    body = encode(rendering.not_executed(one, error, category))
    return RawAnswer(body, status=status, headers=rendering.headers(one))


def _input(given: Raw, limit_bytes: int) -> str:
    raw = bytes(given).strip()
    if raw in NOTHING:
        return "{}"
    if not raw.startswith(b"{"):
        raise Problem.invalid("`input` must be an object")
    if len(raw) > limit_bytes:
        raise Problem.too_large(limit_bytes)
    return raw.decode()
