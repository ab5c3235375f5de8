"""WebSocket connections that cost little, end even where the other side does not read, and tell of its pongs.

The server below takes some dozen steps a frame, and tells the kernel to stop reading after every message; for
the frames that agents send and get, that is more than all the rest of the way. So whole text frames take a
shorter way here, and reading stops only when much waits to be heard.

Closing a transport first writes out what is buffered, which takes for ever if nobody reads it. So once the
application is done with a connection, it is cut after a while in which an honest client has read the close
frame.
"""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from stellwerk.http.frames import FrameReader, text_frame
from stellwerk.http.peer import Application

CUT_AFTER_S = 2.0
UNHEARD_BYTES = 65_536
"""What may wait for the application before reading stops."""
ON_PONG = "on_pong"


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket."""

    def __init__(self, *args: Any, application: Application, **kwargs: Any) -> None:
        """`application` is that of the connection, which knows who is on the other side."""
        super().__init__(*args, **kwargs)
        self.app = application
        self._frames = FrameReader(self.config.ws_max_size)
        self._unheard = 0

    def data_received(self, data: bytes) -> None:
        """Take what arrived: first the handshake, then frames."""
        if not self.handshake_initiated:
            super().data_received(data)
            return
        for frame, is_text in self._frames.feed(data):
            if not is_text:
                super().data_received(frame)
            elif self.conn.state is State.OPEN:
                self._hear(frame)

    async def receive(self) -> Any:
        """Take the next message."""
        message = await self.queue.get()
        if self.queue.empty():
            self._unheard = 0
            if self.read_paused:
                self.read_paused = False
                self.transport.resume_reading()
        return message

    async def send(self, message: Any) -> None:
        """Send a message, or answer the handshake."""
        text = message.get("text")
        if text is None or self.conn.state is not State.OPEN or not self.writable.is_set():
            await super().send(message)
        else:
            self.transport.write(text_frame(text.encode()))

    def _hear(self, frame: bytes) -> None:
        try:
            text = frame.decode()
        except UnicodeDecodeError:
            self.conn.send_close(1007)
            self.handle_parser_exception()
            return
        self.queue.put_nowait({"type": "websocket.receive", "text": text})
        self._unheard += len(frame)
        if self._unheard > UNHEARD_BYTES and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

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
