"""WebSocket frames at the least cost: whole frames are found in what arrives, text goes out as it is.

The protocol engine below (`websockets`) knows every rule, and parses a frame in some dozen small steps. What
agents send is nearly always one kind: a whole, masked, unfragmented text frame. That kind is taken here;
every other frame is handed to the engine as it came, which answers or refuses it.
"""

from collections.abc import Iterator

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the compiled part
    from websockets.utils import apply_mask

FIN_TEXT = 0x81
_FIN, _OPCODE, _CONTINUATION, _TEXT, _BINARY = 0x80, 0x0F, 0x0, 0x1, 0x2
_MASKED, _SIZE = 0x80, 0x7F


class FrameReader:
    """Cuts a stream of bytes into frames."""

    __slots__ = ("_limit", "_missing", "_rest", "_within")

    def __init__(self, limit: int) -> None:
        """Frames beyond `limit` bytes are handed on with their head, for the engine to refuse."""
        self._limit = limit
        self._rest = bytearray()
        self._missing = 0
        """Bytes before which it makes no sense to look again: a frame that dribbles in is copied once."""
        self._within = False
        """Whether a message in fragments has begun; what comes before its end is the engine's."""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield the frames that are complete: text with True, or whole frames for the engine with False."""
        if self._rest:
            self._rest += data
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = bytes(self._rest)
            self._rest.clear()
        at, end, missing = 0, len(data), 0
        while end - at >= 2:
            first, size, start = data[at], data[at + 1] & _SIZE, at + 2
            masked = bool(data[at + 1] & _MASKED)
            if size >= 126:
                width = 2 if size == 126 else 8
                if end < start + width:
                    break
                size = int.from_bytes(data[start : start + width], "big")
                start += width
            stop = start + 4 + size if masked else start + size
            if size > self._limit:
                stop = end  # The engine refuses it by its head.
            elif end < stop:
                missing = stop - end
                break
            if first == FIN_TEXT and masked and not self._within and size <= self._limit:
                yield apply_mask(data[start + 4 : stop], data[start : start + 4]), True
            else:
                self._note(first)
                yield data[at:stop], False
            at = stop
        self._rest += data[at:]
        self._missing = missing

    def _note(self, first: int) -> None:
        if first & _OPCODE in (_CONTINUATION, _TEXT, _BINARY):
            self._within = not first & _FIN


def text_frame(payload: bytes) -> bytes:
    """Return a server's text frame (RFC 6455, 5.2): unmasked, unfragmented."""
    size = len(payload)
    if size < 126:
        return bytes((FIN_TEXT, size)) + payload
    if size < 65_536:
        return bytes((FIN_TEXT, 126)) + size.to_bytes(2, "big") + payload
    return bytes((FIN_TEXT, 127)) + size.to_bytes(8, "big") + payload
