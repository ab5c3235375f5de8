"""A worker: two functions, one synchronous, one not.

Run it beside a control plane:

    stellwerk serve
    stellwerk worker examples/word_worker:app --agent-id words-1
"""

import asyncio
import hashlib
from collections import Counter
from typing import Any

from stellwerk.sdk import Context, PermanentFailure, Worker

app = Worker(capabilities=["text"], concurrency=4)


@app.task("word_count")
def word_count(context: Context) -> dict[str, Any]:
    """Count words. Synchronous functions run in threads, so they may block."""
    text = context.data.get("text")
    if not isinstance(text, str):
        # Another attempt would fail the same way, so the control plane makes none.
        raise PermanentFailure("the task needs a text")
    counted = Counter(text.lower().split())
    context.log(f"{len(counted)} different words")
    return {"words": counted.total(), "frequent": counted.most_common(5)}


@app.task("fingerprint")
async def fingerprint(context: Context) -> dict[str, str]:
    """Hash a text many times over, in steps that leave room for others and for cancellation."""
    digest = str(context.data.get("text", "")).encode()
    rounds = int(context.data.get("rounds", 100))
    for done in range(rounds):
        context.raise_if_cancelled()
        for _ in range(1_000):
            digest = hashlib.sha256(digest).digest()
        context.progress((done + 1) / rounds, f"{done + 1} of {rounds} rounds")
        await asyncio.sleep(0)
    return {"sha256": digest.hex()}


if __name__ == "__main__":
    app.run()
