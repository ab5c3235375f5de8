"""What is known without linking: every object that shows a symptom is reported."""

from stellwerk.inquiry.analyzers import clues
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.model import Bundle, ObjectRef


def symptoms(bundle: Bundle) -> set[ObjectRef]:
    """Return the objects with symptoms; what controllers made counts as theirs, which is to its favour."""
    facts = Facts(bundle)
    return {facts.unit(clue.object) for clue in clues(facts) if clue.role != "note"}
