"""The functions that the demo's workers run, each small and real.

They are plain as well (`expected`), so that the demo can check the results that came back.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from stellwerk.sdk import Context, Worker

app = Worker(concurrency=8)


def fingerprint(text: str, rounds: int) -> str:
    """Hash a text, and its hash, and so on."""
    digest = text.encode()
    for _ in range(rounds):
        digest = hashlib.sha256(digest).digest()
    return digest.hex()


def word_count(text: str) -> dict[str, Any]:
    """Count words."""
    counted = Counter(word.strip(".,:;()*`\"'").lower() for word in text.split())
    top = sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))[:3]
    return {"words": counted.total(), "frequent": [list(entry) for entry in top]}


def primes(start: int, end: int) -> int:
    """Count the primes in start..end-1."""
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(2, start), end))


def expected(task_type: str, data: Mapping[str, Any]) -> Any:
    """Compute the result that a task should bring."""
    match task_type:
        case "fingerprint":
            return fingerprint(data["text"], data["rounds"])
        case "word_count" | "unsteady":
            return word_count(data["text"])
        case "primes":
            return primes(data["start"], data["end"])
        case "report":
            return {"parts": data["parts"]}
        case _:
            raise ValueError(f"the demo has no tasks of the type {task_type!r}")


@app.task("fingerprint")
def do_fingerprint(context: Context) -> str:
    """See `fingerprint`."""
    return fingerprint(context.data["text"], context.data["rounds"])


@app.task("word_count")
def do_word_count(context: Context) -> dict[str, Any]:
    """See `word_count`."""
    return word_count(context.data["text"])


@app.task("primes")
def do_primes(context: Context) -> int:
    """See `primes`."""
    return primes(context.data["start"], context.data["end"])


@app.task("unsteady")
def do_unsteady(context: Context) -> dict[str, Any]:
    """Fail at the first attempt, as a flaky dependency makes one fail, and count words at the second."""
    if context.attempt == 1:
        raise ConnectionError("the dictionary did not answer")
    return word_count(context.data["text"])


@app.task("report")
def do_report(context: Context) -> dict[str, int]:
    """Take a while, and say how far it is."""
    parts = int(context.data["parts"])
    for part in range(parts):
        context.raise_if_cancelled()
        time.sleep(0.05)
        context.log(f"part {part + 1} of {parts} written")
        context.progress((part + 1) / parts)
    return {"parts": parts}
