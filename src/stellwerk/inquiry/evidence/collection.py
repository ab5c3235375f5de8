"""What one collecting has read so far."""

from collections.abc import Iterable

from stellwerk.inquiry.evidence.asking import webhook_services
from stellwerk.inquiry.evidence.changes import changes_of
from stellwerk.inquiry.evidence.meter import Meter
from stellwerk.inquiry.evidence.neighbourhood import Distances, neighbourhood
from stellwerk.inquiry.evidence.sealing import sealed
from stellwerk.inquiry.evidence.trimming import trimmed
from stellwerk.inquiry.facts.aiming import aims
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named
from stellwerk.inquiry.model import Bundle, Change, LogText, Series, Target
from stellwerk.release.objects import Body


class Collection:
    """One collecting; its objects grow from round to round."""

    def __init__(self, meter: Meter, target: Target, at: int, sealing_key: bytes | None) -> None:
        self.meter = meter
        self.target = target
        self.at = at
        self.objects: list[Body] = []
        self.changes: list[Change] = []
        self.logs: list[LogText] = []
        self.metrics: list[Series] = []
        self._sealing_key = sealing_key
        self._known: Facts | None = None

    def add(self, bodies: Iterable[Body | None]) -> None:
        """Take objects as they were read; values of Secrets end here."""
        for body in bodies:
            if body is None:
                continue
            self._known = None
            self.changes += changes_of(body)
            kept = sealed(body, self._sealing_key) if body.get("kind") == "Secret" else body
            self.objects.append(trimmed(kept))

    def replace(self, objects: list[Body]) -> None:
        """Keep these objects only."""
        self._known = None
        self.objects = objects

    def facts(self) -> Facts:
        """Return what is known until now; made anew only after something was added."""
        if self._known is None:
            self._known = Facts(
                Bundle(
                    target=self.target,
                    at=self.at,
                    objects=tuple(self.objects),
                    logs=tuple(self.logs),
                    gaps=tuple(self.meter.gaps),
                )
            )
        return self._known

    def keep_logs(self, logs: Iterable[LogText]) -> None:
        """Take logs as they were read."""
        self._known = None
        self.logs += logs

    def around(self) -> Distances:
        """Tell what is around the target now."""
        facts = self.facts()
        asked = [named("Service", namespace, name) for namespace, name in webhook_services(facts)]
        return neighbourhood(facts, [*aims(facts, self.target), *asked])
