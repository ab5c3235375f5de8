"""Images that cannot be had: a wrong name, a tag that is not there, a registry that does not answer."""

from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.analyzers.quoting import event_said, said
from stellwerk.inquiry.facts.facts import Facts, statuses
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.release.conditions import part
from stellwerk.release.objects import Body
from stellwerk.release.reasons.pods import FAILED_PULLS, HOPELESS_IMAGES

CODES = {"InvalidImageName": "ImageNameInvalid", "ErrImageNeverPull": "ImageNotOnNode"}


def examine(facts: Facts) -> Iterator[Clue]:
    """Find containers that wait for their image."""
    for pod in facts.of("Pod"):
        for status, _ in statuses(pod):
            waiting = part(status, "state", "waiting")
            if waiting.get("reason") in FAILED_PULLS | HOPELESS_IMAGES:
                yield _clue(facts, pod, status, waiting)


def _clue(facts: Facts, pod: Body, status: Body, waiting: Body) -> Clue:
    name, image = str(status.get("name")), str(status.get("image") or "")
    image = next(
        (
            str(one.get("image"))
            for field in ("containers", "initContainers")
            for one in part(pod, "spec").get(field) or []
            if one.get("name") == name
        ),
        image,
    )
    events = [
        one
        for one in facts.events(pod)
        if one.get("reason") in {"Failed", "InspectFailed"} and image in one.get("message", "")
    ]
    seen = [said(pod, f"container {name} waits: {waiting.get('reason')}: {waiting.get('message', '')}")]
    seen += [event_said(one, pod) for one in events[-1:]]
    return Clue(
        CODES.get(str(waiting.get("reason")), "ImagePullFailed"),
        ref_of(pod),
        f"the image {image} of container {name} cannot be had",
        tuple(seen),
        facts={"container": name, "image": image},
        strength=0.95,
    )
