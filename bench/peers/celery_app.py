"""Celery's side, in the environment of the peers: one trivial task.

With `LASTING` in the environment it keeps what we keep: a task is acknowledged when it has ended, and its
result is stored. Without it Celery is as fast as it gets: acknowledged on arrival, results forgotten.
"""

import os

from celery import Celery

LASTING = os.environ.get("LASTING") == "1"
BROKER = os.environ["BROKER"]

app = Celery("bench", broker=BROKER, backend=BROKER if LASTING else None)
app.conf.update(
    task_acks_late=LASTING,
    task_ignore_result=not LASTING,
    task_serializer="json",
    # As many at once for a consumer as an agent of ours takes.
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="trivial")
def trivial(_data: dict[str, str]) -> dict[str, bool]:
    """Do nothing, as our worker does."""
    return {"ok": True}
