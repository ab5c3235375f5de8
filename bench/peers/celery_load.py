"""`python celery_load.py COUNT`: submit tasks one after the other; print when the first and the last went.

One thread, because more only wait for the interpreter: that is Celery's quickest way from one process.
"""

import sys
import time

from celery_app import trivial

DATA = {"task_type": "bench", "model": "llama2", "prompt": "test prompt"}


def main() -> None:
    count = int(sys.argv[1])
    trivial.delay(DATA)  # connects
    first = time.perf_counter()
    for _ in range(count - 1):
        trivial.delay(DATA)
    print(first, time.perf_counter())


main()
