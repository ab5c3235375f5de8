"""Services on a real cluster: 300 objects beside `kubectl`, the same again, and reasons when they come."""

import asyncio
import os
import shutil
import subprocess
import threading
import time
import urllib.error
import uuid
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bench.counting import CountingProxy
from bench.figures import Goal, figure, skipped
from bench.measure import Bench, Refused
from bench.seeds import call
from bench.serving import Server
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.clusters.kubernetes.kubeconfig import from_kubeconfig
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from stellwerk.release.objects import Body, Key

OBJECTS = 300
FILES = 10
WRITES = ("DELETE", "PATCH", "POST", "PUT")
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - {{name: main, image: "{image}", imagePullPolicy: IfNotPresent, command: {command}}}
"""
BROKEN = {
    "image": DEPLOYMENT.format(name="image", image="UPPER//case", command='["true"]'),
    "crash": DEPLOYMENT.format(
        name="crash", image="localhost/busybox:1", command='["sh", "-c", "echo no database; exit 3"]'
    ),
}
"""What fails for a certain reason: a name that is no image's, and a second crash."""


def deploy(bench: Bench) -> None:
    """Everything that needs a cluster: that of KUBECONFIG, in namespaces of the bench's own."""
    kubeconfig = os.environ.get("KUBECONFIG")
    if not kubeconfig:
        bench.add(skipped("deploying to a cluster", "KUBECONFIG names none"))
        return
    manifests = write_manifests(bench.folder / "manifests")
    server = start(bench, "deploy", manifests, kubeconfig)
    try:
        new_objects(bench, server, kubeconfig, manifests / "many")
        reasons(bench, server, kubeconfig)
    finally:
        server.stop()
    unchanged(bench, manifests, kubeconfig)


def new_objects(bench: Bench, server: Server, kubeconfig: str, files: Path) -> None:
    """`up` of new ConfigMaps, and `kubectl apply --server-side` of the same files, in turn."""
    ours, theirs, ratios = [], [], []
    for _ in range(bench.rounds):
        with a_namespace(kubeconfig) as namespace:
            instance = new_instance(server, namespace)
            ours.append(timed(lambda: up(server, instance, "many")))  # noqa: B023  called at once
        if not shutil.which("kubectl"):
            continue
        with a_namespace(kubeconfig) as namespace:
            theirs.append(timed(lambda: kubectl_apply(kubeconfig, namespace, files)))
        ratios.append(theirs[-1] / ours[-1])
    bench.add(figure(f"up of {OBJECTS} new ConfigMaps", "s", ours, note="from the request to its answer"))
    case = f"up of {OBJECTS} new ConfigMaps, against kubectl"
    if not ratios:
        bench.add(skipped(case, "kubectl is not installed (Debian: kubernetes-client)"))
        return
    bench.add(figure(f"kubectl apply --server-side of {OBJECTS}", "s", theirs, note="the same files"))
    bench.add(figure(case, "times as fast", ratios, Goal(2), "in turn, in the same run"))


def unchanged(bench: Bench, manifests: Path, kubeconfig: str) -> None:
    """The same `up` again, with a proxy that counts what is sent to the cluster."""
    proxy = CountingProxy(from_kubeconfig(kubeconfig)).start()
    server = start(bench, "unchanged", manifests, str(proxy.kubeconfig(bench.folder / "counted")))
    try:
        with a_namespace(kubeconfig) as namespace:
            instance = new_instance(server, namespace)
            up(server, instance, "many")
            took, writes, reads = [], [], []
            for _ in range(bench.rounds):
                before = proxy.counted.copy()
                took.append(timed(lambda: up(server, instance, "many")))
                sent = proxy.counted - before
                writes.append(float(sum(sent[method] for method in WRITES)))
                reads.append(float(sent["GET"]))
    finally:
        server.stop()
        proxy.stop()
    bench.add(figure(f"unchanged up of {OBJECTS}", "s", took, note=f"{max(reads):.0f} reads"))
    bench.add(figure(f"unchanged up of {OBJECTS}, writes", "requests", writes, Goal(0, at_least=False)))


def reasons(bench: Bench, server: Server, kubeconfig: str) -> None:
    """From the kubelet's report, as a watch beside sees it, to the answer that has the reason."""
    for service, is_reported in (("image", names_no_image), ("crash", crashed_twice)):
        took = []
        for _ in range(bench.rounds):
            with a_namespace(kubeconfig) as namespace:
                instance = new_instance(server, namespace)
                report = Report(kubeconfig, namespace, is_reported)
                answer = fail(server, instance, service)
                answered_at = time.monotonic()
                took.append(answered_at - report.wait())
                code = answer["details"]["error"]
        note = f"{code}; below zero where the server's own watch was told first"
        case = f"certain reason to answer, {service}"
        bench.add(figure(case, "s", took, Goal(2, at_least=False), note))


class Report:
    """When the kubelet reported something about a pod of a namespace, seen by a watch in a thread."""

    def __init__(self, kubeconfig: str, namespace: str, is_it: Callable[[Body], bool]) -> None:
        self._at = 0.0
        self._watching = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._watch(kubeconfig, namespace, is_it)), daemon=True
        )
        self._thread.start()
        if not self._watching.wait(10):
            raise Refused("no watch of pods")

    def wait(self) -> float:
        """Return the monotonic time of the report."""
        self._thread.join(10)
        if not self._at:
            raise Refused("the kubelet reported nothing")
        return self._at

    async def _watch(self, kubeconfig: str, namespace: str, is_it: Callable[[Body], bool]) -> None:
        cluster = KubernetesCluster(from_kubeconfig(kubeconfig))
        async with asyncio.timeout(120), aclosing(cluster.watch(Kind("Pod"), namespace=namespace)) as told:
            async for change in told:
                if change.type == "listed":
                    self._watching.set()
                if change.object and is_it(change.object):
                    self._at = time.monotonic()
                    break
        await cluster.close()


def names_no_image(pod: Body) -> bool:
    """Whether the kubelet says that an image has no name that could be one."""
    return any(one["state"].get("waiting", {}).get("reason") == "InvalidImageName" for one in containers(pod))


def crashed_twice(pod: Body) -> bool:
    """Whether a container ended for the second time."""
    return any(one["restartCount"] >= 1 and "terminated" in one["state"] for one in containers(pod))


def containers(pod: Body) -> list[dict[str, Any]]:
    return pod.get("status", {}).get("containerStatuses") or []


def write_manifests(folder: Path) -> Path:
    """Write the application: 300 ConfigMaps in ten files, and what fails."""
    each = OBJECTS // FILES
    for file in range(FILES):
        texts = [config_map(file * each + number) for number in range(each)]
        path = folder / "many" / f"part-{file}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("---\n".join(texts))
    for service, text in BROKEN.items():
        (folder / service).mkdir()
        (folder / service / "deployment.yaml").write_text(text)
    return folder


def config_map(number: int) -> str:
    data = f'  colour: "red"\n  number: "{number}"\n'
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: many-{number:03}\ndata:\n{data}"


def start(bench: Bench, name: str, manifests: Path, kubeconfig: str) -> Server:
    return bench.server(
        name,
        conductor__manifests=manifests,
        conductor__cluster="kubeconfig",
        conductor__kubeconfig=kubeconfig,
        conductor__application=f"bench-{uuid.uuid4().hex[:8]}",
    )


def new_instance(server: Server, namespace: str) -> str:
    """Make an instance of the application in a namespace."""
    call(server, "POST", "/api/parameters/instances", {"name": namespace})
    call(server, "POST", f"/api/parameters?instance={namespace}", {"global": {"namespace": namespace}})
    return namespace


def up(server: Server, instance: str, service: str) -> None:
    answer = call(server, "POST", f"/api/up?instance={instance}&timeoutSeconds=55", {"services": [service]})
    if answer["operation"]["state"] != "succeeded":
        raise Refused(f"up: {answer['operation']['state']}")


def fail(server: Server, instance: str, service: str) -> dict[str, Any]:
    """Ask for what fails, and return the answer that says so."""
    try:
        call(server, "POST", f"/api/up?instance={instance}&timeoutSeconds=55", {"services": [service]})
    except urllib.error.HTTPError as answer:
        found: dict[str, Any] = msgspec.json.decode(answer.read())
        return found
    raise Refused(f"{service} did not fail")


def kubectl_apply(kubeconfig: str, namespace: str, files: Path) -> None:
    command = [
        "kubectl",
        "--kubeconfig",
        kubeconfig,
        "-n",
        namespace,
        "apply",
        "--server-side",
        "-f",
        str(files),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def timed(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


@contextmanager
def a_namespace(kubeconfig: str) -> Iterator[str]:
    """A namespace of this round's own; nobody waits for its end."""
    name = f"bench-{uuid.uuid4().hex[:8]}"

    async def run(*, make: bool) -> None:
        cluster = KubernetesCluster(from_kubeconfig(kubeconfig))
        try:
            if make:
                space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                await cluster.apply(space, manager="bench")
            else:
                await cluster.delete(Key("", "Namespace", name))
        finally:
            await cluster.close()

    asyncio.run(run(make=True))
    try:
        yield name
    finally:
        asyncio.run(run(make=False))
