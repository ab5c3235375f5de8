"""Secrets without their values: names of keys, and for each a keyed hash that only tells equal from other."""

import hmac

from stellwerk.release.conditions import part
from stellwerk.release.objects import Body


def sealed(secret: Body, key: bytes | None) -> Body:
    """Return a Secret as it may be kept; without `key` the values are left out entirely."""
    values = part(secret, "data")
    kept = {name: value for name, value in secret.items() if name not in {"data", "stringData"}}
    data = {
        name: hmac.digest(key, str(text).encode(), "sha256").hex()[:16] if key else ""
        for name, text in values.items()
    }
    return kept | {"data": data}
