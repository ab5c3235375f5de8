"""WebSocket connections that end even where the other side does not read, and tell of its pongs.

Closing a transport first writes out what is buffered, which takes for ever if nobody reads it. So once the
application is done with a connection, it is cut after a while in which an honest client has read the close
frame.
"""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from stellwerk.http.peer import Application

CUT_AFTER_S = 2.0
ON_PONG = "on_pong"


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket."""

    def __init__(self, *args: Any, application: Application, **kwargs: Any) -> None:
        """`application` is that of the connection, which knows who is on the other side."""
        super().__init__(*args, **kwargs)
        self.app = application

    def on_task_complete(self, task: Any) -> None:
        """Cut the connection, if it is still there by then."""
        super().on_task_complete(task)
        if not self.disconnected:
            self.loop.call_later(CUT_AFTER_S, self.transport.abort)

    def handle_pong(self, event: Any) -> None:
        """Take a pong; only one that answers the ping under way counts."""
        asked = self.pending_ping_payload
        super().handle_pong(event)
        if asked is not None and self.pending_ping_payload != asked:
            told = self.scope["state"].get(ON_PONG)
            if told is not None:
                told()
