"""Amounts as Kubernetes writes them."""

import re
from decimal import Decimal, InvalidOperation

_QUANTITY = re.compile(r"\s*([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*\Z")
_SUFFIXES: dict[str, Decimal] = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
} | {
    suffix: Decimal(base**power)
    for base, suffixes in (
        (1000, ("k", "M", "G", "T", "P", "E")),
        (1024, ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")),
    )
    for power, suffix in enumerate(suffixes, 1)
}


def quantity(text: str) -> Decimal:
    """Read an amount as Kubernetes writes it: `500m`, `4Gi`, `2`. Raises ValueError."""
    found = _QUANTITY.match(text)
    if not found or found[2] not in _SUFFIXES:
        raise ValueError(f"{text!r} is no quantity: write 2, 500m or 4Gi")
    try:
        return Decimal(found[1]) * _SUFFIXES[found[2]]
    except InvalidOperation:
        raise ValueError(f"{text!r} is no quantity: write 2, 500m or 4Gi") from None
