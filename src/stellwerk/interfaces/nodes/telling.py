"""Webhooks on the wire: what the receiver is sent, as the published interface describes it.

`X-AgentField-Signature` is `sha256=` and the HMAC-SHA256 of the body under the secret that the caller gave.
"""

import hashlib
import hmac

from stellwerk.http.endpoint import encode
from stellwerk.interfaces.nodes import rendering
from stellwerk.interfaces.nodes.dialler import OutboundDialler
from stellwerk.traffic.execution import Execution
from stellwerk.traffic.webhook import Address

SIGNATURE = "X-AgentField-Signature"


class WebhookTeller:
    """Calls webhooks. Redirects are answers like any other, so nothing leads elsewhere."""

    def __init__(self, dialler: OutboundDialler, timeout_s: float) -> None:
        self._dialler = dialler
        self._timeout_s = timeout_s

    async def tell(self, address: Address, execution: Execution, attempt: int) -> int:
        """Send it; return the status of the answer. Raises NotDialled, AnswerLost, DialForbidden."""
        body = encode(rendering.webhook_body(execution))
        headers = {
            **address.headers,
            "Content-Type": "application/json",
            "X-Execution-ID": execution.id,
            "X-Webhook-Attempt": str(attempt),
        }
        if address.secret is not None:
            headers[SIGNATURE] = sign(address.secret, body)
        return (await self._dialler.post(address.url, body, headers, self._timeout_s)).status


def sign(secret: str, body: bytes) -> str:
    """Return the signature of a body."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
