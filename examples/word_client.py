"""A client: give `word_worker.py` some work and follow it.

python examples/word_client.py [SERVER]
"""

import sys

from stellwerk.sdk import Client, NewTask, TaskNotSucceeded


def main() -> None:
    """Submit one task and follow it, then many, then one that fails."""
    with Client(sys.argv[1] if len(sys.argv) > 1 else None) as client:
        slow = client.submit(
            "fingerprint", {"text": "signal box", "rounds": 300}, priority="high", capabilities=["text"]
        )
        print("submitted", slow.task_id)
        for event in client.stream(slow.task_id):
            print(f"  {event.at:%H:%M:%S.%f}  {event.kind}")
        print("  result", client.result(slow.task_id))

        lines = (__doc__ or "").splitlines()
        taken = client.submit_many(
            NewTask(task_type="word_count", data={"text": line}, requires={"capabilities": ["text"]})
            for line in lines
        )
        for line, submitted in zip(lines, taken, strict=True):
            print(f"  {client.result(submitted.task_id)['words']:3} words in {line!r}")

        broken = client.submit("word_count", {"text": None}, capabilities=["text"])
        try:
            client.result(broken.task_id, timeout_s=30)
        except TaskNotSucceeded as fault:
            print("as expected:", fault)


if __name__ == "__main__":
    main()
