"""At which ports programs say that they listen."""

import re

from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.model import LogText
from stellwerk.release.objects import Body

_LISTENING = re.compile(
    r"\b(?:listen(?:ing|s)?|serving|started|bound|running|available|ready)\b[^\n]{0,40}?(?:\bport\b\D{0,3}|:)(\d{2,5})\b",
    re.IGNORECASE,
)


def ports_listened(facts: Facts, pod: Body, container: str | None = None) -> list[tuple[str, LogText, str]]:
    """List port, log and line where a container says that it listens; the latest last."""
    found = []
    for log in facts.logs(pod):
        if container is None or log.container == container:
            for line in log.text.splitlines():
                found += [(match[1], log, line) for match in _LISTENING.finditer(line)][:1]
    return found
