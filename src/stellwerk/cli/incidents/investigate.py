"""`stellwerk investigate`: follow it live, show the cause with its evidence, offer the remedy."""

import json
import secrets
import sys
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from stellwerk.cli.incidents.printing import result_lines
from stellwerk.cli.incidents.remedying import carry_out, offer
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption

PREFIX = "/api/v1/incident"
KINDS: Mapping[str, str] = {
    **dict.fromkeys(("pod", "pods", "po"), "Pod"),
    **dict.fromkeys(("deployment", "deployments", "deploy"), "Deployment"),
    **dict.fromkeys(("statefulset", "statefulsets", "sts"), "StatefulSet"),
    **dict.fromkeys(("daemonset", "daemonsets", "ds"), "DaemonSet"),
    **dict.fromkeys(("replicaset", "replicasets", "rs"), "ReplicaSet"),
    **dict.fromkeys(("job", "jobs"), "Job"),
    **dict.fromkeys(("cronjob", "cronjobs", "cj"), "CronJob"),
    **dict.fromkeys(("service", "services", "svc"), "Service"),
    **dict.fromkeys(("ingress", "ingresses", "ing"), "Ingress"),
    **dict.fromkeys(("persistentvolumeclaim", "persistentvolumeclaims", "pvc"), "PersistentVolumeClaim"),
    **dict.fromkeys(("configmap", "configmaps", "cm"), "ConfigMap"),
    **dict.fromkeys(("node", "nodes", "no"), "Node"),
    **dict.fromkeys(("namespace", "namespaces", "ns"), "Namespace"),
    **dict.fromkeys(("horizontalpodautoscaler", "hpa"), "HorizontalPodAutoscaler"),
}
"""As kubectl takes them; another word is taken as the kind itself."""
CLUSTER_WIDE = frozenset({"Node", "Namespace"})


def investigate(
    target: Annotated[str, typer.Argument(metavar="KIND/NAME", help="What to look at: deployment/frontend.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Where it is.")] = "default",
    message: Annotated[str, typer.Option("--message", "-m", help="What was noticed; a hint.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Carry the remedy out without asking.")] = False,
    no_remedy: Annotated[bool, typer.Option("--no-remedy", help="Only look; offer nothing.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and offer nothing.")
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Find out what is wrong, and why.

    The status is 0 when the cause is known or nothing is wrong, 1 when it is not known or a remedy did not
    help.

    Example: stellwerk investigate deployment/frontend -n shop
    """
    remote = Remote(server, api_key)
    session_id = remote.call("POST", f"{PREFIX}/analyze", request_of(target, namespace, message))[
        "session_id"
    ]
    try:
        _follow(remote, session_id)
    except KeyboardInterrupt:
        typer.echo(f"stopped looking; session {session_id} goes on", err=True)
        raise typer.Exit(130) from None
    result = _result(remote, session_id)
    if as_json:
        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        for line in result_lines(result):
            typer.echo(line)
    if result["investigation_outcome"] == "inconclusive":
        raise typer.Exit(1)
    if as_json or no_remedy or result["selected_workflow"] is None:
        return
    if offer(remote, session_id, yes=yes, interactive=sys.stdin.isatty()):
        raise typer.Exit(carry_out(remote, session_id))


def request_of(target: str, namespace: str, message: str) -> dict[str, str]:
    """Write the request for `kind/name`. Raises typer.BadParameter."""
    word, slash, name = target.partition("/")
    if not (word and slash and name):
        raise typer.BadParameter("expected KIND/NAME, as in deployment/frontend")
    kind = KINDS.get(word.lower(), word)
    identifier = f"cli-{secrets.token_hex(6)}"
    return {
        "incident_id": identifier,
        "remediation_id": identifier,
        "signal_name": "ManualInvestigation",
        "severity": "unknown",
        "signal_source": "stellwerk-cli",
        "resource_namespace": "" if kind in CLUSTER_WIDE else namespace,
        "resource_kind": kind,
        "resource_name": name,
        "error_message": message,
        "environment": "",
        "priority": "",
        "risk_tolerance": "",
        "business_category": "",
        "cluster_name": "",
    }


def _follow(remote: Remote, session_id: str) -> None:
    """Show what is being done until it has ended."""
    event = ""
    for line in remote.lines(f"{PREFIX}/session/{quote(session_id)}/stream"):
        name, _, value = line.partition(": ")
        if name == "event":
            event = value
        elif name == "data" and event == "reasoning_delta":
            frame = json.loads(value)
            text = frame["data"].get("text", "")
            if text and frame["data"].get("tool_call_count") == 0:
                typer.echo(f"… {text}", err=True)


def _result(remote: Remote, session_id: str) -> dict[str, Any]:
    path = f"{PREFIX}/session/{quote(session_id)}"
    status = remote.call("GET", path)
    if status["status"] != "completed":
        why = f": {status['error']}" if "error" in status else ""
        typer.echo(f"session {session_id} is {status['status']}{why}", err=True)
        raise typer.Exit(1)
    result: dict[str, Any] = remote.call("GET", f"{path}/result")
    return result
