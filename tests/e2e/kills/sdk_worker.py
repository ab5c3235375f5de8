"""A worker on the SDK, as a user would write it, whose functions keep a ledger: `SERVER AGENT LEDGER`."""

import sys
import time
from pathlib import Path
from uuid import uuid4

from e2e.kills.ledger import Execution, Ledger
from stellwerk.sdk import Context, Worker, WorkerOptions


def main() -> None:
    server, agent, ledger_file = sys.argv[1:]
    ledger = Ledger(Path(ledger_file))
    options = WorkerOptions(
        server=server, agent_id=agent, capabilities=("kills",), concurrency=8, reconnect_cap_s=0.3
    )
    worker = Worker(options=options)

    @worker.task("*")
    def work(context: Context) -> dict[str, str]:
        nonce = uuid4().hex
        ledger.write(Execution("begin", context.task_id, context.attempt, nonce, agent))
        time.sleep(context.data["work_s"])
        ledger.write(Execution("end", context.task_id, context.attempt, nonce, agent))
        return {"nonce": nonce}

    worker.run()


if __name__ == "__main__":
    main()
