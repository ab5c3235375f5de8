"""What it costs to watch what is deployed while nothing moves: 500 objects, in the sandbox and, if
KUBECONFIG names one, in a real cluster."""

import os
import time
from pathlib import Path

from bench.figures import Figure, Goal, failed, figure
from bench.measure import Bench
from bench.seeds import call
from bench.serving import Server

MIB = 1024 * 1024
SETTLE_S = 8.0
SHARE = Goal(5.0, at_least=False)
"""Per cent of a core."""
WORKLOADS = 20
OBJECTS = """\
{%% for number in range(%(configs)d) %%}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: "settings-{{ number }}"}
data: {colour: red, text: "{{ 'x' * 500 }}"}
{%% endfor %%}
{%% for number in range(%(workloads)d) %%}
---
apiVersion: v1
kind: Service
metadata: {name: "web-{{ number }}"}
spec: {selector: {app: "web-{{ number }}"}, ports: [{port: 80, protocol: TCP}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: "web-{{ number }}"}
spec:
  replicas: {{ 1 if number < %(running)d else 0 }}
  selector: {matchLabels: {app: "web-{{ number }}"}}
  template:
    metadata: {labels: {app: "web-{{ number }}"}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: localhost/busybox:1
          imagePullPolicy: IfNotPresent
          command: ["sh", "-c", "trap 'exit 0' TERM; sleep 36000 & wait"]
{%% endfor %%}
"""


def watching(bench: Bench) -> None:
    """Deploy, wait until nothing moves, and look what the server takes; then with somebody who asks."""
    count = 100 if bench.quick else 500
    _watch(bench, "sandbox", count, running=WORKLOADS, **{"conductor__cluster": "sandbox"})
    if os.environ.get("KUBECONFIG"):
        _watch(bench, "Kubernetes", count, running=5)
    else:
        bench.add(Figure("watching in Kubernetes", 0.0, "", 0.0, 0.0, note="not measured: no KUBECONFIG"))


def _watch(bench: Bench, where: str, count: int, *, running: int, **settings: object) -> None:
    namespace = f"bench-{os.getpid()}"
    manifests = _application(bench.folder / f"app-{where}", namespace, count, running)
    server = bench.server(f"watching-{where}", conductor__manifests=manifests, **settings)
    try:
        before = server.running.rss_bytes()
        operation = call(server, "POST", "/api/up", {"timeoutSeconds": 300}, within_s=330)["operation"]
        if operation["state"] != "succeeded":
            bench.add(failed(f"watching in {where}", str(operation["failure"])))
            return
        time.sleep(SETTLE_S)
        grown = (server.running.rss_bytes() - before) / MIB
        note = f"{grown:.0f} MiB more than before they were deployed"
        what = f"{count} objects watched in {where}"
        shares = [_share(server, bench.round_s * 5, ask=False) for _ in range(bench.rounds)]
        bench.add(figure(f"{what}, nothing moves", "% of a core", shares, SHARE, note))
        shares = [_share(server, bench.round_s * 5, ask=True) for _ in range(bench.rounds)]
        bench.add(figure(f"{what}, health asked each second", "% of a core", shares))
    finally:
        everything = {"all": True, "namespaces": True, "timeoutSeconds": 300}
        call(server, "POST", "/api/down", everything, within_s=330)
        server.stop()


def _application(folder: Path, namespace: str, count: int, running: int) -> Path:
    (folder / "many").mkdir(parents=True)
    rest = count - 2 * WORKLOADS - 1  # the namespace is one as well
    text = OBJECTS % {"configs": rest, "workloads": WORKLOADS, "running": running}
    (folder / "many" / "objects.yaml").write_text(text)
    (folder / "stellwerk.yaml").write_text("name: bench\n")
    parameters = f"global:\n  namespace: {namespace}\n  createNamespace: true\n"
    (folder / "parameters.yaml").write_text(parameters)
    return folder


def _share(server: Server, seconds: float, *, ask: bool) -> float:
    """Return how much of a core the server takes, in per cent."""
    began_at, spent = time.perf_counter(), server.running.cpu_s()
    while (left := began_at + seconds - time.perf_counter()) > 0:
        if ask:
            call(server, "GET", "/api/services/health")
        time.sleep(min(1.0, left))
    return 100 * (server.running.cpu_s() - spent) / (time.perf_counter() - began_at)
