"""Dialling agents within the outbound policy, as traffic wants it."""

from collections.abc import Mapping

from stellwerk.http import outbound_policy
from stellwerk.http.outbound import Outbound
from stellwerk.traffic.dialling import Answer, AnswerLost, DialForbidden, NotDialled


class OutboundDialler:
    """Calls agents. Redirects are answers like any other, so nothing leads elsewhere."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Send one request. Raises NotDialled, AnswerLost, DialForbidden."""
        return await self._call("POST", url, body, headers, timeout_s)

    async def get(self, url: str, timeout_s: float) -> Answer:
        """Ask for something. Raises as `post` does."""
        return await self._call("GET", url, None, None, timeout_s)

    async def prepare(self) -> None:
        """Load what the first call would have to wait for."""
        await self._outbound.prepare()

    async def _call(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str] | None, timeout_s: float
    ) -> Answer:
        try:
            answer = await self._outbound.call(method, url, body, headers, timeout_s)
        except outbound_policy.OutboundRefused as error:
            raise DialForbidden(str(error)) from error
        except outbound_policy.DialFailed as error:
            raise NotDialled(str(error), refused=error.refused) from error
        except outbound_policy.AnswerLost as error:
            raise AnswerLost(str(error), late=error.late) from error
        return Answer(answer.status, answer.body)
