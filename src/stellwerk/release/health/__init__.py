"""Whether objects do what they are there for: pure rules over objects and what is around them."""

from stellwerk.release.health.judging import health
from stellwerk.release.health.state import HEALTHY, MISSING, Health, Related, Status, worst

__all__ = ["HEALTHY", "MISSING", "Health", "Related", "Status", "health", "worst"]
