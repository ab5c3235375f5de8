"""WebSocket connections that end even where the other side does not read.

Closing a transport first writes out what is buffered, which takes for ever if nobody reads it. So once the
application is done with a connection, it is cut after a while in which an honest client has read the close
frame.
"""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

CUT_AFTER_S = 2.0


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket."""

    def on_task_complete(self, task: Any) -> None:
        """Cut the connection, if it is still there by then."""
        super().on_task_complete(task)
        if not self.disconnected:
            self.loop.call_later(CUT_AFTER_S, self.transport.abort)
