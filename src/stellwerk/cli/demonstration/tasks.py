"""The demo's tasks: several kinds, over real text."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from itertools import cycle, islice

from stellwerk.sdk import NewTask

PRIORITIES = ("normal", "normal", "normal", "high", "low")
CAPABILITY = {
    "fingerprint": "hashing",
    "word_count": "text",
    "unsteady": "text",
    "primes": "math",
    "report": "math",
}


def demo_tasks(count: int) -> Iterator[NewTask]:
    """Yield tasks: mostly hashes, word counts and primes; a few that fail once, a few that take long."""
    passages = cycle(real_texts())
    priorities = cycle(PRIORITIES)
    for number in range(count):
        text = next(passages)
        if number % 250 == 100:
            kind = "report"
        elif number % 100 == 50:
            kind = "unsteady"
        else:
            kind = ("fingerprint", "word_count", "primes")[number % 3]
        start = 1_000 + number % 500 * 20
        data: dict[str, dict[str, object]] = {
            "report": {"parts": 8},
            "unsteady": {"text": text},
            "fingerprint": {"text": text, "rounds": 200},
            "word_count": {"text": text},
            "primes": {"start": start, "end": start + 100},
        }
        yield NewTask(
            task_type=kind,
            data=data[kind],
            priority=next(priorities),
            requires={"capabilities": [CAPABILITY[kind]]},
        )


def real_texts(limit: int = 400, size: int = 1_500) -> list[str]:
    """Return passages of text that every Python brings along: its manual, else its docstrings."""
    try:
        from pydoc_data.topics import topics

        whole = "\n".join(topics.values())
    except ImportError:
        whole = "\n".join(str(getattr(builtins, name).__doc__) for name in dir(builtins))
    return list(islice((whole[start : start + size] for start in range(0, len(whole), size)), limit))
