"""Jobs that failed, were too slow or are held back, and schedules that do not run."""

from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.analyzers.quoting import condition_said, event_said, said
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.release.conditions import condition, part, status_of
from stellwerk.release.kinship import made_by
from stellwerk.release.objects import Body

_MISSED = frozenset(
    {
        "FailedNeedsStart",
        "MissSchedule",
        "TooManyMissedTimes",
        "UnparseableCronJobSchedule",
        "InvalidSchedule",
        "UnknownTimeZone",
    }
)


def examine(facts: Facts) -> Iterator[Clue]:
    """Find jobs and schedules that do not do their work."""
    for job in facts.of("Job"):
        yield from _of_job(facts, job)
    for schedule in facts.of("CronJob"):
        yield from _of_schedule(facts, schedule)


def _of_job(facts: Facts, job: Body) -> Iterator[Clue]:
    failed = condition(job, "Failed")
    if part(job, "spec").get("suspend"):
        yield Clue("JobSuspended", ref_of(job), f"{ref_of(job)} is suspended", (said(job, "suspend: true"),))
    if not failed.holds or _superseded(facts, job):
        return
    quoted = condition_said(job, "Failed", failed)
    if failed.reason == "DeadlineExceeded":
        limit = part(job, "spec").get("activeDeadlineSeconds")
        yield Clue(
            "JobDeadlineExceeded",
            ref_of(job),
            f"{ref_of(job)} did not end within its {limit} seconds",
            (quoted,),
            "effect",
            facts={"activeDeadlineSeconds": str(limit)},
            strength=0.85,
        )
    else:
        yield Clue(
            "JobFailed",
            ref_of(job),
            f"{ref_of(job)} has failed: {failed.message}",
            (quoted,),
            "effect",
            strength=0.6,
        )


def _superseded(facts: Facts, job: Body) -> bool:
    """Whether a later job of the same schedule has succeeded."""
    top = facts.top(job)
    later = [one for one in made_by(top, facts.of("Job")) if top is not job and _made_at(one) > _made_at(job)]
    return any(condition(one, "Complete").holds for one in later)


def _made_at(body: Body) -> str:
    return str(part(body, "metadata").get("creationTimestamp", ""))


def _of_schedule(facts: Facts, schedule: Body) -> Iterator[Clue]:
    spec = part(schedule, "spec")
    if spec.get("suspend"):
        yield Clue(
            "CronJobSuspended",
            ref_of(schedule),
            f"{ref_of(schedule)} is suspended: no job is begun",
            (said(schedule, "suspend: true"),),
        )
        return
    missed = [one for one in facts.events(schedule) if one.get("reason") in _MISSED]
    if missed:
        yield Clue(
            "ScheduleMissed",
            ref_of(schedule),
            f"{ref_of(schedule)} misses its times: {missed[-1].get('message')}",
            (event_said(missed[-1], schedule),),
            facts={"startingDeadlineSeconds": str(spec.get("startingDeadlineSeconds", ""))},
            strength=0.85,
        )
    waits = [one for one in facts.events(schedule) if one.get("reason") == "JobAlreadyActive"]
    if waits and status_of(schedule).get("active"):
        yield Clue(
            "JobStillActive",
            ref_of(schedule),
            f"{ref_of(schedule)} begins no job because the last one has not ended",
            (event_said(waits[-1], schedule),),
            strength=0.8,
        )
