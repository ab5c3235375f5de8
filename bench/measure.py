"""Runs rounds: the load in its own process, in turn with the bare ceiling, against a real server."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from bench.figures import Figure, Goal
from bench.load import LoadPlan, LoadResult
from bench.serving import Ceiling, SecureServer, Server
from bench.worker import WorkPlan, WorkResult

HOST = "127.0.0.1"


class Refused(RuntimeError):
    """The server answered otherwise than the case needs; the text is its first refusal."""


class Bench:
    """One run: its scale, its scratch folder, its ceiling, the rows so far."""

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick
        self.rounds = 1 if quick else 3
        self.round_s = 1.0 if quick else 4.0
        self.warm_s = 0.3 if quick else 1.0
        self.scratch = tempfile.TemporaryDirectory(prefix="stellwerk-bench-")
        self.folder = Path(self.scratch.name)
        self.ceiling = Ceiling(self.folder)
        self.figures: list[Figure] = []

    def close(self) -> None:
        self.ceiling.stop()
        self.scratch.cleanup()

    def server(self, name: str, **settings: object) -> Server:
        """Start a server on a fresh data directory; names with `__` mean a dot: `work__queue_limit`."""
        return Server(self.folder / name, settings=dotted(settings)).start()

    def secure_server(self, name: str, **settings: object) -> SecureServer:
        """Start one that speaks TLS too."""
        server = SecureServer(self.folder / name, settings=dotted(settings))
        server.start()
        return server

    def http(
        self,
        case: str,
        server: Server,
        requests: Sequence[bytes],
        connections: int = 32,
        goal: Goal | None = None,
    ) -> Figure:
        """Measure a saturated endpoint: rounds of the ceiling and of the case in turn, their median."""
        plan = LoadPlan(HOST, server.port, connections, list(requests), self.round_s, warm_s=self.warm_s)
        return self.saturated(case, server, plan, self.ceiling, goal)

    def saturated(
        self, case: str, server: Server, plan: LoadPlan, ceiling: Ceiling, goal: Goal | None = None
    ) -> Figure:
        """Run a plan and the same against a ceiling in turn."""
        bare = msgspec.structs.replace(
            plan, port=ceiling.port, seconds=self.round_s / 2, warm_s=self.warm_s / 2
        )
        results, shares, costs = [], [], []
        for _ in range(self.rounds):
            top = accepted(run_load(bare))
            before = server.running.cpu_s()
            result = accepted(run_load(plan))
            spent = server.running.cpu_s() - before
            results.append(result)
            shares.append(result.per_second / top.per_second)
            costs.append(spent / (result.per_second * (result.seconds + self.warm_s)) * 1e6)
        rates = [result.per_second for result in results]
        return Figure(
            case,
            median(rates),
            "/s",
            min(rates),
            max(rates),
            of_ceiling=median(shares),
            p50_ms=median(result.p50_us for result in results) / 1e3,
            p99_ms=median(result.p99_us for result in results) / 1e3,
            server_us=median(costs),
            goal=goal,
        )

    def add(self, figure: Figure) -> Figure:
        """Keep a row and say it at once, so that a long run can be watched."""
        self.figures.append(figure)
        share = f"  {figure.of_ceiling:.0%} of ceiling" if figure.of_ceiling is not None else ""
        tail = f"  p50 {figure.p50_ms:.2f} p99 {figure.p99_ms:.2f} ms" if figure.p99_ms is not None else ""
        print(f"{figure.case}: {figure.value:,.2f} {figure.unit}{share}{tail}  {figure.note}", flush=True)
        return figure


def dotted(settings: dict[str, object]) -> dict[str, object]:
    return {key.replace("__", "."): value for key, value in settings.items()}


class Hands:
    """A worker process with all its agents connected."""

    def __init__(self, plan: WorkPlan) -> None:
        command = [sys.executable, "-m", "bench.worker"]
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.stdin, self.stdout = self.popen.stdin, self.popen.stdout
        self.stdin.write(msgspec.json.encode(plan) + b"\n")
        self.stdin.flush()
        if self.stdout.readline().strip() != b"ready":
            self.popen.wait()
            raise Refused("the worker process could not connect its agents")

    def result(self) -> WorkResult:
        """Wait until the plan is fulfilled (or nothing moves any more)."""
        line = self.stdout.readline()
        self.end()
        if not line:
            raise Refused("the worker process ended without a result")
        return msgspec.json.decode(line, type=WorkResult)

    def end(self) -> None:
        self.stdin.close()
        self.popen.wait()
        self.stdout.close()


def run_load(plan: LoadPlan) -> LoadResult:
    """Run one plan in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=LoadResult)


def accepted(result: LoadResult) -> LoadResult:
    """Return the result if every answer was 2xx. Raise Refused otherwise: refusals are quick, not fast."""
    if not result.all_accepted or not result.answers:
        raise Refused(
            f"{result.statuses}, {result.lost_connections} connections lost; first refusal: {result.refusal}"
        )
    return result
