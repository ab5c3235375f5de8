"""What objects name in their own text: configuration, storage, accounts, classes, backends."""

from collections.abc import Iterator

from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.templates import containers, pod_spec, template_of
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.conditions import entries, part
from stellwerk.release.objects import Body

WORKLOADS = frozenset(
    {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob", "Pod"}
)
BUILT_IN_CLASSES = frozenset({"system-cluster-critical", "system-node-critical"})


def references_of(body: Body) -> Iterator[ObjectRef]:
    """List what an object names, in the order of its text; the same may come twice."""
    namespace = ref_of(body).namespace
    kind = body.get("kind")
    if kind in WORKLOADS and template_of(body):
        yield from _of_pods(body, namespace)
    spec = part(body, "spec")
    match kind:
        case "StatefulSet":
            if spec.get("serviceName"):
                yield named("Service", namespace, str(spec["serviceName"]))
        case "PersistentVolumeClaim":
            if spec.get("storageClassName"):
                yield named("StorageClass", "", str(spec["storageClassName"]))
            if spec.get("volumeName"):
                yield named("PersistentVolume", "", str(spec["volumeName"]))
        case "HorizontalPodAutoscaler":
            target = part(spec, "scaleTargetRef")
            yield named(str(target.get("kind")), namespace, str(target.get("name")))
        case "Ingress":
            yield from _of_ingress(body, namespace)
        case _:
            pass


def _of_pods(workload: Body, namespace: str) -> Iterator[ObjectRef]:
    spec = pod_spec(workload)
    if account := spec.get("serviceAccountName"):
        yield named("ServiceAccount", namespace, str(account))
    if (priority := spec.get("priorityClassName")) and priority not in BUILT_IN_CLASSES:
        yield named("PriorityClass", "", str(priority))
    for volume in entries(spec, "volumes"):
        yield from _of_volume(volume, namespace)
    for container in containers(workload):
        for one in entries(container, "envFrom"):
            yield from _named_in(one, {"configMapRef": "ConfigMap", "secretRef": "Secret"}, namespace)
        for one in entries(container, "env"):
            sources = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
            yield from _named_in(part(one, "valueFrom"), sources, namespace)
    for one in entries(spec, "imagePullSecrets"):
        yield named("Secret", namespace, str(one.get("name")))


def _of_volume(volume: Body, namespace: str) -> Iterator[ObjectRef]:
    if name := part(volume, "configMap").get("name"):
        yield named("ConfigMap", namespace, str(name))
    if name := part(volume, "secret").get("secretName"):
        yield named("Secret", namespace, str(name))
    if name := part(volume, "persistentVolumeClaim").get("claimName"):
        yield named("PersistentVolumeClaim", namespace, str(name))
    for source in entries(part(volume, "projected"), "sources"):
        yield from _named_in(source, {"configMap": "ConfigMap", "secret": "Secret"}, namespace)


def _named_in(body: Body, kinds: dict[str, str], namespace: str) -> Iterator[ObjectRef]:
    for field, kind in kinds.items():
        if name := part(body, field).get("name"):
            yield named(kind, namespace, str(name))


def _of_ingress(body: Body, namespace: str) -> Iterator[ObjectRef]:
    spec = part(body, "spec")
    if spec.get("ingressClassName"):
        yield named("IngressClass", "", str(spec["ingressClassName"]))
    for name, _ in ingress_backends(body):
        yield named("Service", namespace, name)
    for one in entries(spec, "tls"):
        if one.get("secretName"):
            yield named("Secret", namespace, str(one["secretName"]))


def ingress_backends(body: Body) -> list[tuple[str, object]]:
    """List the services of an Ingress with their ports (number or name), in either of its two spellings."""
    spec = part(body, "spec")
    found = [part(spec, "defaultBackend") or part(spec, "backend")]
    for rule in entries(spec, "rules"):
        found += [part(path, "backend") for path in entries(part(rule, "http"), "paths")]
    backends: list[tuple[str, object]] = []
    for one in found:
        if name := part(one, "service").get("name"):
            port = part(one, "service", "port")
            backends.append((str(name), port.get("number") or port.get("name")))
        elif one.get("serviceName"):
            backends.append((str(one["serviceName"]), one.get("servicePort")))
    return list(dict.fromkeys(backends))
