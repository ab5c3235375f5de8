"""Whether a cluster meets what an application asks of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from stellwerk.release.application.application import Application
from stellwerk.release.application.judging import Judged, Verdict, judge, overall
from stellwerk.release.application.reading import REQUIREMENTS
from stellwerk.release.application.requirements import Requirement
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.surveying import survey


class RequirementsNotMet(Exception):
    """The cluster lacks what the application requires; nothing was changed."""

    def __init__(self, judged: Sequence[Judged]) -> None:
        super().__init__("the cluster does not meet what the application requires")
        self.judged = tuple(judged)
        """Those that fail."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Every requirement, and what follows."""

    judged: tuple[Judged, ...]
    overall: Verdict

    def check(self) -> None:
        """Raise RequirementsNotMet if anything that is required fails."""
        if self.overall is Verdict.FAIL:
            raise RequirementsNotMet(
                [one for one in self.judged if one.verdict is Verdict.FAIL and one.requirement.required]
            )


async def assess(application: Application, cluster: Cluster) -> Assessment:
    """Compare. A file of which nothing can be read fails, for nobody knows what it requires.

    Raises ClusterUnavailable, NotSelected.
    """
    facts = await survey(cluster)
    judged = [judge(one, facts) for one in application.requirements]
    faults = [fault for fault in application.faults if fault.file in REQUIREMENTS]
    lost = bool(faults) and not judged
    judged += [
        Judged(
            Requirement(fault.file, "The file itself", required=lost),
            Verdict.FAIL if lost else Verdict.WARNING,
            str(fault),
        )
        for fault in faults
    ]
    return Assessment(tuple(judged), overall(judged))
