"""Why objects do not get well: pure rules over objects, pods and events."""

from stellwerk.release.reasons.pods import reasons_of_pod
from stellwerk.release.reasons.reason import LogPlace, Reason, with_log
from stellwerk.release.reasons.workloads import reason_of

__all__ = ["LogPlace", "Reason", "reason_of", "reasons_of_pod", "with_log"]
