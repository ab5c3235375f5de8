"""A reason is certain as soon as waiting is of no use, and not before."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stellwerk.release.objects import Body
from stellwerk.release.reasons import Reason, reason_of, with_log

BEGAN = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
WORKLOAD: Body = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop", "uid": "w"},
    "spec": {"replicas": 1},
}


def at(seconds: float) -> str:
    return (BEGAN + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(*containers: Body, conditions: list[Body] | None = None, **metadata: Any) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "p", **metadata},
        "spec": {"restartPolicy": "Always"},
        "status": {
            "phase": "Pending",
            "startTime": at(0),
            "conditions": conditions
            or [{"type": "PodScheduled", "status": "True", "lastTransitionTime": at(0)}],
            "containerStatuses": list(containers),
        },
    }


def waiting(code: str, message: str = "", **more: Any) -> Body:
    return {
        "name": "main",
        "ready": False,
        "state": {"waiting": {"reason": code, "message": message}},
        **more,
    }


def ended(exit_code: int, reason: str = "Error") -> Body:
    return {"terminated": {"exitCode": exit_code, "reason": reason, "startedAt": at(1), "finishedAt": at(2)}}


def event(reason: str, message: str, *, count: int = 1, uid: str = "p", **target: Any) -> Body:
    return {
        "reason": reason,
        "message": message,
        "count": count,
        "firstTimestamp": at(1),
        "lastTimestamp": at(5),
        "involvedObject": {"uid": uid, **target},
    }


def judge(
    *pods: Body, events: list[Body] | None = None, after_s: float = 5, workload: Body = WORKLOAD
) -> Reason | None:
    return reason_of(workload, pods, events or [], BEGAN + timedelta(seconds=after_s))


def told(reason: Reason | None) -> tuple[str, bool]:
    assert reason is not None
    return reason.code, reason.certain


@pytest.mark.parametrize("code", ["InvalidImageName", "ErrImageNeverPull"])
def test_an_image_that_no_pull_can_bring_is_certain_at_once(code: str) -> None:
    assert told(judge(pod(waiting(code)), after_s=0)) == (code, True)


def test_an_image_is_certain_at_the_second_failed_pull() -> None:
    failed = 'Failed to pull image "shop/web:9": rpc error'
    one = [event("Failed", failed), event("Failed", "Error: ErrImagePull", count=9)]
    two = [event("Failed", failed, count=2, fieldPath="spec.containers{main}")]

    assert told(judge(pod(waiting("ErrImagePull")), events=one)) == ("ErrImagePull", False)
    assert told(judge(pod(waiting("ImagePullBackOff")), events=one)) == ("ImagePullBackOff", False)
    assert told(judge(pod(waiting("ImagePullBackOff")), events=two)) == ("ImagePullBackOff", True)


def test_failed_pulls_of_another_container_do_not_count() -> None:
    other = [event("Failed", "Failed to pull image", count=5, fieldPath="spec.containers{beside}")]

    assert told(judge(pod(waiting("ImagePullBackOff")), events=other)) == ("ImagePullBackOff", False)


def test_without_events_a_pull_is_certain_after_twenty_seconds() -> None:
    assert told(judge(pod(waiting("ImagePullBackOff")), after_s=19)) == ("ImagePullBackOff", False)
    assert told(judge(pod(waiting("ImagePullBackOff")), after_s=20)) == ("ImagePullBackOff", True)


def test_a_crash_is_certain_at_the_second_time() -> None:
    first = {"name": "main", "ready": False, "restartCount": 0, "state": ended(3)}
    second = waiting("CrashLoopBackOff", restartCount=1, lastState=ended(3))

    assert told(judge(pod(first))) == ("Crashed", False)
    found = judge(pod(second))
    assert told(found) == ("CrashLoopBackOff", True)
    assert found is not None
    assert found.message == "container main ended 2 times, exit code 3"
    assert found.log is not None
    assert (found.log.pod, found.log.container, found.log.previous) == ("web-1", "main", True)


def test_a_program_that_just_ends_is_told_with_its_exit_code() -> None:
    found = judge(pod(waiting("CrashLoopBackOff", restartCount=1, lastState=ended(0, "Completed"))))

    assert told(found) == ("CrashLoopBackOff", True)
    assert "exit code 0" in str(found)


def test_a_signal_has_its_name() -> None:
    found = judge(pod(waiting("CrashLoopBackOff", restartCount=1, lastState=ended(139))))

    assert "exit code 139 (SIGSEGV)" in str(found)


def test_too_much_memory_is_told_apart_from_a_crash() -> None:
    found = judge(pod(waiting("CrashLoopBackOff", restartCount=1, lastState=ended(137, "OOMKilled"))))

    assert told(found) == ("OOMKilled", True)


def test_a_container_that_runs_again_is_not_given_up() -> None:
    again = {
        "name": "main",
        "ready": False,
        "restartCount": 4,
        "state": {"running": {}},
        "lastState": ended(1),
    }

    assert told(judge(pod(again))) == ("CrashLoopBackOff", False)


def test_a_ready_pod_has_no_reason_whatever_happened_before() -> None:
    container = {
        "name": "main",
        "ready": True,
        "restartCount": 4,
        "state": {"running": {}},
        "lastState": ended(1),
    }
    ready = [{"type": "Ready", "status": "True"}]

    assert judge(pod(container, conditions=ready)) is None


def test_a_pod_that_is_being_deleted_has_no_reason() -> None:
    assert judge(pod(waiting("InvalidImageName"), deletionTimestamp=at(1))) is None


def test_a_crash_within_a_job_is_left_to_the_job() -> None:
    crashed = pod(
        waiting("CrashLoopBackOff", restartCount=3, lastState=ended(1)), ownerReferences=[{"kind": "Job"}]
    )

    assert told(judge(crashed)) == ("CrashLoopBackOff", False)


def test_a_job_that_gave_up_is_certain() -> None:
    failed = [
        {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit reached"}
    ]
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "status": {"conditions": failed},
    }

    assert told(judge(workload=job)) == ("BackoffLimitExceeded", True)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('configmap "a" not found', "MissingConfigMap"),
        ('secret "a" not found', "MissingSecret"),
        ("couldn't find key k in ConfigMap shop/a", "MissingKey"),
        ("container has runAsNonRoot and image will run as root", "CreateContainerConfigError"),
    ],
)
def test_a_missing_reference_is_certain_after_twenty_seconds(message: str, code: str) -> None:
    stuck = pod(waiting("CreateContainerConfigError", message))

    assert told(judge(stuck, after_s=19)) == (code, False)
    assert told(judge(stuck, after_s=20)) == (code, True)


def test_a_volume_that_cannot_be_mounted_says_what_is_missing() -> None:
    mount = [event("FailedMount", 'MountVolume.SetUp failed for volume "keys" : secret "a" not found')]
    stuck = pod(waiting("ContainerCreating"))

    assert judge(stuck) is None
    assert told(judge(stuck, events=mount, after_s=19)) == ("MissingSecret", False)
    assert told(judge(stuck, events=mount, after_s=20)) == ("MissingSecret", True)


def test_a_node_that_is_only_late_is_no_reason() -> None:
    late = [event("FailedMount", "MountVolume.SetUp failed: failed to sync secret cache: timed out")]

    assert judge(pod(waiting("ContainerCreating")), events=late) is None


def test_no_node_is_certain_after_twenty_seconds() -> None:
    def stuck(message: str) -> Body:
        conditions = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": message,
                "lastTransitionTime": at(0),
            }
        ]
        return pod(conditions=conditions)

    full = stuck("0/1 nodes are available: 1 Insufficient cpu.")
    assert told(judge(full, after_s=19)) == ("Unschedulable", False)
    assert told(judge(full, after_s=20)) == ("Unschedulable", True)
    assert told(judge(stuck('persistentvolumeclaim "a" not found'), after_s=20)) == ("MissingClaim", True)


def test_a_probe_is_never_certain() -> None:
    running = {"name": "main", "ready": False, "restartCount": 0, "state": {"running": {}}}
    failed = [event("Unhealthy", "Readiness probe failed: connection refused", count=99)]

    found = judge(pod(running), events=failed, after_s=3600)

    assert told(found) == ("ProbeFailed", False)
    assert found is not None
    assert found.message == "Readiness probe failed: connection refused"


def test_a_restart_for_a_probe_names_the_probe() -> None:
    events = [
        event("Unhealthy", "Liveness probe failed: 500"),
        event("Killing", "Container main failed liveness probe, will be restarted"),
    ]

    found = judge(pod(waiting("CrashLoopBackOff", restartCount=1, lastState=ended(137))), events=events)

    assert told(found) == ("ProbeFailed", True)
    assert "Liveness probe failed: 500" in str(found)


@pytest.mark.parametrize(
    ("message", "code", "certain"),
    [
        ('pods "a" is forbidden: exceeded quota: few', "QuotaExceeded", True),
        ('admission webhook "p" denied the request: no owner', "WebhookRefused", True),
        ('pods "a" is forbidden: violates PodSecurity "restricted"', "AdmissionRefused", True),
        (
            'error looking up service account shop/a: serviceaccount "a" not found',
            "MissingServiceAccount",
            False,
        ),
        ("the server is on fire", "FailedCreate", False),
    ],
)
def test_pods_that_cannot_be_made_have_their_reason(message: str, code: str, certain: bool) -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "message": message, "lastTransitionTime": at(0)}
    workload = WORKLOAD | {"status": {"conditions": [failure]}}

    assert told(judge(workload=workload)) == (code, certain)


def test_a_stateful_set_tells_by_its_events_why_it_has_no_pods() -> None:
    refused = event(
        "FailedCreate", 'create Pod a-0 failed: pods "a-0" is forbidden: exceeded quota: q', uid="s"
    )
    workload = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "a", "uid": "s"}}

    assert told(judge(workload=workload | {"status": {"replicas": 0}}, events=[refused])) == (
        "QuotaExceeded",
        True,
    )
    assert judge(workload=workload | {"status": {"replicas": 1}}, events=[refused]) is None


def test_a_rollout_that_took_too_long_makes_its_pods_reason_certain() -> None:
    late = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": "timed out",
    }
    workload = WORKLOAD | {"status": {"conditions": [late]}}
    running = {"name": "main", "ready": False, "state": {"running": {}}}
    failed = [event("Unhealthy", "Readiness probe failed: 500")]

    assert told(judge(workload=workload)) == ("ProgressDeadlineExceeded", True)
    assert told(judge(pod(running), workload=workload, events=failed)) == ("ProbeFailed", True)


def test_events_of_an_earlier_pod_of_the_same_name_do_not_count() -> None:
    old = [event("Failed", "Failed to pull image", count=9, uid="another")]

    assert told(judge(pod(waiting("ImagePullBackOff")), events=old)) == ("ImagePullBackOff", False)


def test_a_certain_reason_goes_before_one_that_is_not() -> None:
    slow = pod(waiting("ErrImagePull"))
    broken = pod(waiting("InvalidImageName"), uid="q")

    assert told(judge(slow, broken)) == ("InvalidImageName", True)


def test_the_last_line_of_a_log_is_added() -> None:
    found = judge(pod(waiting("CrashLoopBackOff", restartCount=1, lastState=ended(3))))
    assert found is not None

    assert with_log(found, "starting\nno database\n\n").message.endswith(
        "exit code 3; last line: no database"
    )
    assert with_log(found, "\n") == found
