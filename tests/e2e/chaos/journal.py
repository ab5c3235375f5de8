"""Reads the journal over the wire: one reader follows it through every fault, one reads all at the end."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

PAGE = 500
PAUSE_S = 0.1
FINISH_LIMIT_S = 60.0


class Told(msgspec.Struct, frozen=True):
    """An event as a reader is told it."""

    cursor: str
    kind: str
    task_id: str
    group: str | None = None
    instance: str | None = None
    fence: int | None = None
    attempt: int | None = None


class Follower:
    """Reads on from the last cursor, whatever happens, as whoever bills or alarms by the journal does."""

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url).netloc
        self.told: list[Told] = []
        self.after = ""
        self.interruptions = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self) -> None:
        while True:
            last = self.stopping.is_set()
            try:
                page = read_page(self.address, self.after)
            except (OSError, http.client.HTTPException, ValueError):
                self.interruptions += 1
                page = None
            if page is not None:
                events, self.after = page
                self.told += events
                if last and not events:
                    return
            if not page or not page[0]:
                time.sleep(PAUSE_S)

    def finish(self) -> list[Told]:
        """Read what is left, and return all that was told."""
        self.stopping.set()
        self.thread.join(FINISH_LIMIT_S)
        return self.told


def read_page(address: str, after: str) -> tuple[list[Told], str]:
    """Read one page of tasks' events, and where the next one begins; raises what networks raise."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        at = f"&after={after}" if after else ""
        connection.request("GET", f"/events?kind=task.*&limit={PAGE}{at}")
        answer = connection.getresponse()
        body = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(f"{answer.status}: {body}")
    return [told(event) for event in body["events"]], body["next"] or after


def told(event: dict[str, Any]) -> Told:
    data = event["data"]
    return Told(
        event["cursor"],
        event["kind"],
        event["task"],
        event.get("group"),
        data.get("instance_id", data.get("instance")),
        data.get("fence"),
        data.get("attempt"),
    )


def read_journal(url: str) -> Iterator[Told]:
    """Read the whole journal of tasks."""
    address, after = urlsplit(url).netloc, ""
    while True:
        events, after = read_page(address, after)
        if not events:
            return
        yield from events
