"""Jobs: pods until enough have done their work, or too many have failed."""

from typing import Any

from stellwerk.release.clusters.sandbox.controllers.pods import make_pod, random_suffix
from stellwerk.release.clusters.sandbox.statuses import going, said, since
from stellwerk.release.clusters.sandbox.storage import written
from stellwerk.release.clusters.sandbox.world import World
from stellwerk.release.conditions import condition, part, status_of
from stellwerk.release.objects import Body


def control(world: World, body: Body) -> None:
    """Make the next pods, or say that it is over."""
    if condition(body, "Complete").holds or condition(body, "Failed").holds:
        return
    spec, pods = part(body, "spec"), world.table.made_by(body, "Pod")
    phases = [status_of(pod).get("phase") for pod in pods]
    done, failed, active = phases.count("Succeeded"), phases.count("Failed"), len(going(pods))
    status: dict[str, Any] = {
        "startTime": status_of(body).get("startTime", written(world.now)),
        "succeeded": done,
        "failed": failed,
    }
    name = body["metadata"]["name"]
    if done >= int(spec["completions"]):
        world.tell(body, "Completed", "Job completed")
        status |= {"completionTime": written(world.now), "conditions": [said("Complete")]}
    elif failed > int(spec["backoffLimit"]):
        text = "Job has reached the specified backoff limit"
        world.tell(body, "BackoffLimitExceeded", text, warns=True)
        status["conditions"] = [said("Failed", reason="BackoffLimitExceeded", message=text)]
    elif not spec.get("suspend"):
        for _ in range(min(int(spec["parallelism"]), int(spec["completions"]) - done) - active):
            marks = {"job-name": name, "controller-uid": body["metadata"]["uid"]}
            if make_pod(world, body, f"{name}-{random_suffix()}", marks):
                break
            active += 1
        status["active"] = active
    if "conditions" in status:
        status["conditions"] = since(body, status["conditions"], world.now)
    world.report(body, status, observed=False)
