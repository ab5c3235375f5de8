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
from stellwerk.traffic.webhook import Address, InvalidWebhook
from stellwerk.traffic.webhooks import Webhooks
from stellwerk.trust.scopes import Scope

TAG = "executions"
OURS = frozenset({401, 403, 407, 408, 413, 415, 429})
"""Client errors of an agent that would be read as refusals of the control plane; they are 502 here."""
TARGET = {"type": "string", "minLength": 1, "maxLength": 600, "description": "`agent.function`"}
NOTHING = (b"", b"null")


class ExecuteRoutes:
    """See the module."""

    def __init__(self, traffic: Traffic, webhooks: Webhooks, input_bytes: int) -> None:
        self._traffic = traffic
        self._webhooks = webhooks
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
        hook, wrong = self._hook(call.body)
        try:
            one = await self._traffic.execute(call.principal, self._call(call, hook))
        except Unreachable as unreachable:
            self._watch(unreachable.execution)
            return failed(unreachable.execution, 504, str(unreachable), "node_unreachable", wrong)
        except TimedOut as late:
            self._watch(late.execution)
            return failed(late.execution, 504, str(late), "timeout", wrong)
        self._watch(one)
        if one.status is Status.SUCCEEDED:
            return RawAnswer(encode(rendering.executed(one, wrong)), headers=rendering.headers(one))
        return ended_badly(one, wrong)

    async def begin(self, call: Call[wire.Execute | None, None]) -> Answer:
        hook, wrong = self._hook(call.body)
        one = await self._traffic.begin(call.principal, self._call(call, hook))
        self._watch(one)
        return RawAnswer(encode(rendering.begun(one, wrong)), status=202, headers=rendering.headers(one))

    def _hook(self, body: wire.Execute | None) -> tuple[traffic_values.Hook | None, str | None]:
        """Return the webhook of a call, or what is wrong with it: as published, the call goes on without."""
        if body is None or body.webhook is None:
            return None, None
        said = body.webhook
        try:
            return self._webhooks.seal(Address(said.url, said.secret or None, said.headers or {})), None
        except InvalidWebhook as invalid:
            return None, str(invalid)

    def _watch(self, one: Execution) -> None:
        if one.webhook is not None:
            self._webhooks.registered(one)

    def _call(
        self, call: Call[wire.Execute | None, None], hook: traffic_values.Hook | None
    ) -> traffic_values.Call:
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
            webhook=hook,
        )


def ended_badly(one: Execution, webhook_error: str | None) -> RawAnswer:
    """Answer with an execution that did not succeed."""
    said = one.error or "the agent gave no reason"
    if one.status is Status.TIMEOUT:
        return failed(one, 504, said, "timeout", webhook_error)
    if one.status is Status.CANCELLED:
        cancelled = said if one.error else "the execution was cancelled"
        return failed(one, 409, cancelled, "cancelled", webhook_error)
    status = one.error_status
    if status is not None and 400 <= status < 500 and status not in OURS:
        return failed(one, status, f"agent error ({status}): {said}", "agent_error", webhook_error)
    return failed(one, 502, said, "agent_error", webhook_error)


def failed(one: Execution, status: int, error: str, category: str, webhook_error: str | None) -> RawAnswer:
    """Answer with an execution and what is wrong with it, and with its webhook."""
    body = encode(rendering.not_executed(one, error, category, webhook_error))
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
