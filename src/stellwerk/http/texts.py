"""Patterns of whole texts, for decoders and descriptions alike.

In Python `$` matches in front of a last line end, too: `^[a-z]+$` lets one pass. `\\Z` does not, but is no
end in ECMA 262, whose patterns descriptions are written in. A `$` behind which no line end follows is an end
in both.
"""

END = r"(?!\n)$"


def whole(pattern: str) -> str:
    """Return the pattern of texts that are nothing but this."""
    return f"^{pattern}{END}"


PLAIN = whole(r"[^\x00-\x1f\x7f]*")
"""Texts without control characters."""
STORABLE = whole(r"[^\x00]*")
"""Texts of any lines; PostgreSQL keeps no zero byte."""
PRINTABLE = whole(r"[ -~]*")
"""What a header can hold."""
NAMED = whole(r"[!-~]([ -~]*[!-~])?")
"""Names for people: printable, not blank at the ends."""
