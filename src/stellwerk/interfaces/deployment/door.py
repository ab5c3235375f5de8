"""The door to registration: who tries bad tokens is slowed down, by address.

A good token always passes, so that nobody is locked out by a neighbour's guessing; and it is not used up by
a refusal of its neighbour's.
"""

from typing import Any

from stellwerk.clock import Clock
from stellwerk.http.gate import AsgiApplication
from stellwerk.http.limits import Rate
from stellwerk.http.problem import Problem

REGISTER = "/api/v1/agents/register"


class Door:
    """Stands before the interface's routes. `per_min` bad tokens a minute are answered with their reason."""

    def __init__(self, application: AsgiApplication, per_min: float, clock: Clock) -> None:
        self._application = application
        self._clock = clock
        self._failures = Rate(per_min / 60.0, per_min)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or serve one WebSocket."""
        if scope["path"] != REGISTER:
            await self._application(scope, receive, send)
            return
        peer = (scope.get("client") or ("",))[0]
        wait_s = 0.0

        async def pass_on(message: Any) -> None:
            nonlocal wait_s
            if message["type"] == "http.response.start" and message["status"] == 401:
                wait_s = self._failures.take(peer, self._clock.now_us())
            if not wait_s:
                await send(message)

        await self._application(scope, receive, pass_on)
        if wait_s:
            raise Problem.too_many("Too many bad registration tokens from this address", wait_s)
