"""One module a subject; each case is a function of the run that adds its rows."""

from collections.abc import Callable

from bench.cases.delivery import delivery
from bench.cases.deploy import deploy
from bench.cases.execute import execute
from bench.cases.fleet import fleet
from bench.cases.idle import idle
from bench.cases.machines import machines
from bench.cases.peers import peers
from bench.cases.replicas import replicas
from bench.cases.submit import crowded_queue, submit
from bench.cases.watching import watching
from bench.measure import Bench

CASES: dict[str, Callable[[Bench], None]] = {
    "idle": idle,
    "submit": submit,
    "fleet": fleet,
    "delivery": delivery,
    "execute": execute,
    "million": crowded_queue,
    "replicas": replicas,
    "peers": peers,
    "machines": machines,
    "watching": watching,
    "deploy": deploy,
}
