"""Texts of the cluster that speak to whoever reads them. They are told, and never followed."""

from collections.abc import Iterator

from stellwerk.inquiry.evidence.fencing import instructions
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.release.conditions import part


def suspicions(facts: Facts) -> list[str]:
    """Say where texts were found that look like instructions."""
    said = "text that looks like an instruction was found, and not followed"
    return [f"{said}: {place}" for place in dict.fromkeys(_places(facts))]


def _places(facts: Facts) -> Iterator[str]:
    for log in facts.bundle.logs:
        if any(instructions(log.text)):
            yield f"log of {log.container} in {log.pod}"
    for body in facts.bundle.objects:
        for name, value in part(body, "metadata", "annotations").items():
            if any(instructions(str(value))):
                yield f"annotation {name} of {ref_of(body)}"
    for event in facts.of("Event"):
        if any(instructions(str(event.get("message", "")))):
            yield f"event {event.get('reason')}"
