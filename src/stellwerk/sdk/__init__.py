"""Write workers and clients of Stellwerk.

    from stellwerk.sdk import Client, Context, Worker

    worker = Worker(capabilities=["text"])

    @worker.task("word_count")
    def word_count(context: Context) -> dict[str, int]:
        return {"words": len(context.data["text"].split())}

Importing this package loads nothing of the server.
"""

from stellwerk.sdk.asynchronous import AsyncClient
from stellwerk.sdk.client import Client
from stellwerk.sdk.context import Context
from stellwerk.sdk.errors import (
    Conflict,
    NotAllowed,
    NotFound,
    PermanentFailure,
    Refused,
    StellwerkError,
    TaskCancelled,
    TaskNotSucceeded,
    TooLarge,
    Unreachable,
    WaitTimeout,
)
from stellwerk.sdk.options import WorkerOptions
from stellwerk.sdk.records import (
    Agent,
    AgentQuery,
    Event,
    EventPage,
    LogLine,
    NewTask,
    QueueStatus,
    Submitted,
    Task,
    TaskPage,
)
from stellwerk.sdk.worker import Worker

__all__ = [
    "Agent",
    "AgentQuery",
    "AsyncClient",
    "Client",
    "Conflict",
    "Context",
    "Event",
    "EventPage",
    "LogLine",
    "NewTask",
    "NotAllowed",
    "NotFound",
    "PermanentFailure",
    "QueueStatus",
    "Refused",
    "StellwerkError",
    "Submitted",
    "Task",
    "TaskCancelled",
    "TaskNotSucceeded",
    "TaskPage",
    "TooLarge",
    "Unreachable",
    "WaitTimeout",
    "Worker",
    "WorkerOptions",
]
