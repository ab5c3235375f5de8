"""What somebody may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that looks most like this one, whatever its case; None if none does."""
    by_folded = {_folded(one): one for one in known}
    found = get_close_matches(_folded(word), by_folded, n=1, cutoff=0.7)
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return advice for a word that is not known: the nearest one, or all there are."""
    names = sorted(known)
    found = nearest(word, names)
    if found is not None:
        return f"did you mean {found}?"
    return f"known are {', '.join(names[:20])}" if names else "none is known"


def _folded(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
