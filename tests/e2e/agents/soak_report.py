"""Writes what the long campaigns on agents counted to `bench/agent-kills.md`."""

from collections import Counter

from e2e.agents.evidence import AgentEvidence
from e2e.kills import soak_report
from e2e.kills.campaign import Report
from e2e.kills.checker import runs

FILE = soak_report.FILE.with_name("agent-kills.md")
INTRODUCTION = """\
# Kills of deployment agents

Written by `make soak`. Server and two agents are processes; the agents reach the server through relays, over
mutual TLS. A round begins when both have brought a task to its end and something runs; then the server or an
agent is killed with SIGKILL, or a connection reset, cut or deafened, at a seeded moment, and brought back
after a seeded while; one round in four fails a second thing in between. Afterwards each task must have ended
once or be reported lost, no command and no container may have begun twice, every end that an agent wrote down
must be the server's too, no container may be left half-way, and the journal, the tables and the API must tell
one legal story (`tests/e2e/agents/checker.py`). *Lost* is what the server gave up and what an agent could not
know the end of after its own death; *never begun* is what an agent had taken and could not begin any more.
"""
HEAD = """\
| seed | rounds | server kills | agent kills | connection faults | tasks | containers and commands begun | \
succeeded | cancelled | lost | never begun | faults | s |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


class Soak(soak_report.Table):
    """The campaigns; only those without a fault get here, the others end the test."""

    def __init__(self, *, with_engine: bool) -> None:
        section = "With a container engine" if with_engine else "Without a container engine"
        super().__init__(FILE, INTRODUCTION, HEAD, section)

    def add(self, seed: int, report: Report, evidence: AgentEvidence, seconds: float) -> None:
        """Count one campaign."""
        statuses = Counter(end.status for end in evidence.ends.values())
        errors = Counter(end.error_type for end in evidence.ends.values() if end.status == "failed")
        self.rows.append(
            [
                seed,
                report.rounds,
                report.kills["server"],
                report.kills["agent"],
                report.kills["connection"],
                len(evidence.ends),
                runs(evidence.shared.executions)["begin"],
                statuses["succeeded"],
                statuses["cancelled"],
                statuses["lost"] + errors["agent.lost"],
                errors["agent.restarted"],
                0,
                round(seconds),
            ]
        )
