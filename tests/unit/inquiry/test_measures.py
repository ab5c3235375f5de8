"""What was measured explains slow probes and killed programs, and tells of errors that nothing else does."""

from typing import Any

import pytest

from stellwerk.inquiry.linking.concluding import conclude
from stellwerk.inquiry.model import Conclusion, Outcome, Series
from support.bundles import AT, bundle, event, measured, pod, ref, service, workload

MI = 1024.0 * 1024
LIMITED = {
    "containers": [
        {
            "name": "main",
            "image": "app:1",
            "readinessProbe": {"httpGet": {"port": 80}},
            "resources": {"limits": {"cpu": "50m", "memory": "64Mi"}},
        }
    ]
}
TIMED_OUT = "Readiness probe failed: Get http://10.1.0.9:80/: context deadline exceeded (Client.Timeout)"
ENDED_US = AT - 120_000_000
ENDED = "2026-09-21T14:11:20Z"
"""The same instant, two minutes before the bundle."""
RUNS = [{"name": "main", "ready": False, "state": {"running": {"startedAt": "2026-09-21T13:00:00Z"}}}]


def killed(reason: str) -> list[dict[str, Any]]:
    """A container that was killed and is held back now."""
    ended = {"reason": reason, "exitCode": 137, "startedAt": "2026-09-21T14:00:00Z", "finishedAt": ENDED}
    waits = {"waiting": {"reason": "CrashLoopBackOff"}}
    return [{"name": "main", "restartCount": 3, "state": waits, "lastState": {"terminated": ended}}]


def concluded(
    statuses: list[dict[str, Any]], *metrics: Series, told: str = "", ready: bool = False
) -> Conclusion:
    events = [event("Pod", "web-1-a", "Unhealthy", told)] if told else []
    return conclude(
        bundle(
            ref("Deployment", "web"),
            *workload("web", available=int(ready), template=LIMITED),
            pod("web-1-a", owner="web", ready=ready, spec=LIMITED, containerStatuses=statuses),
            *service("web", ready=ready),
            *events,
            metrics=metrics,
        )
    )


def cited(found: Conclusion) -> list[str]:
    """What was measured and stands in the chain."""
    ids = {one for step in found.causal_chain for one in step.evidence}
    return [one.excerpt for one in found.evidence if one.id in ids and one.source == "metric"]


def test_throttling_explains_probes_that_are_answered_too_late():
    found = concluded(RUNS, measured("web-1-a", "cpu_throttled", *[0.8] * 10), told=TIMED_OUT)

    assert (found.cause, [one.name for one in found.root_objects]) == ("CpuThrottled", ["web"])
    assert cited(found) == ["main was held back at 50m of CPU in 80% of the periods of 5 min"]


@pytest.mark.parametrize(
    ("shares", "told"),
    [([0.1] * 10, TIMED_OUT), ([0.8] * 10, "Readiness probe failed: HTTP probe failed with statuscode: 500")],
)
def test_little_throttling_or_probes_that_fail_at_once_are_not_explained_by_it(
    shares: list[float], told: str
):
    found = concluded(RUNS, measured("web-1-a", "cpu_throttled", *shares), told=told)

    assert found.cause != "CpuThrottled"


def test_throttling_of_what_is_well_is_told_and_accuses_nobody():
    found = concluded(
        [{**RUNS[0], "ready": True}], measured("web-1-a", "cpu_throttled", *[0.8] * 10), ready=True
    )

    assert (found.outcome, found.root_objects) == (Outcome.NOT_ACTIONABLE, ())
    assert [(one.code, one.severity) for one in found.findings] == [("CpuThrottled", "info")]


def test_memory_that_climbs_to_its_limit_is_evidence_of_a_leak():
    climb = [20 * MI + number * 2 * MI for number in range(20)]
    found = concluded(killed("OOMKilled"), measured("web-1-a", "memory_bytes", *climb, until=ENDED_US))

    assert found.cause == "OomKilled"
    assert cited(found) == ["memory of main climbed from 20Mi to 58Mi of 64Mi in 10 min"]


def test_program_that_was_killed_at_its_memory_limit_needs_more_whatever_its_status_says():
    used = [63 * MI] * 5
    found = concluded(killed("Error"), measured("web-1-a", "memory_bytes", *used, until=ENDED_US))
    unmeasured = concluded(killed("Error"))

    assert (found.cause, found.facts["limit"]) == ("OomKilled", "64Mi")
    assert unmeasured.cause != "OomKilled"


def test_how_often_a_program_began_again_lately_stands_beside_its_end():
    counted = [3.0] * 10 + [4.0] * 5 + [5.0] * 6
    found = concluded(killed("Error"), measured("web-1-a", "restarts", *counted))

    assert "main began again 2 times in 10 min" in [one.excerpt for one in found.evidence]


def test_requests_that_fail_keep_a_target_from_being_called_well_and_accuse_nobody():
    well = [{**RUNS[0], "ready": True}]
    found = concluded(well, measured("web-1-a", "failed_share", *[0.2] * 10), ready=True)
    noise = concluded(well, measured("web-1-a", "failed_share", *[0.01] * 10), ready=True)

    assert (found.outcome, found.root_objects) == (Outcome.INCONCLUSIVE, ())
    assert "20% of the requests to web-1-a fail" in found.summary
    assert noise.outcome is Outcome.NOT_ACTIONABLE
