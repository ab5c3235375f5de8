"""Pods that fail because somebody wants them to, or because their image can surely not be had.

The annotation `sandbox.stellwerk.dev/fail` of a template asks for it: `image-pull`, `crash`, `oom` or
`probe`; `sandbox.stellwerk.dev/exit-code` and `sandbox.stellwerk.dev/log` say how a crash ends and what it
wrote. There is no registry here, so every other image is taken as present, but for names that are none and
for registries below `.invalid`, a domain that exists nowhere (RFC 2606).
"""

import re
from collections.abc import Mapping
from typing import Any

from stellwerk.release.conditions import part
from stellwerk.release.objects import Body

PREFIX = "sandbox.stellwerk.dev"
FAIL, EXIT_CODE, LOG = f"{PREFIX}/fail", f"{PREFIX}/exit-code", f"{PREFIX}/log"
OUT_OF_MEMORY = 137
_IMAGE = re.compile(
    r"([a-zA-Z0-9.-]+(:\d+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?\Z"
)


def asked_for(pod: Body) -> str:
    """Return how a pod is wanted to fail; empty if it is not."""
    return str(_notes(pod).get(FAIL, ""))


def is_no_image(container: Mapping[str, Any]) -> bool:
    """Whether the name of the image is none."""
    return not _IMAGE.match(str(container.get("image", "")))


def why_not_pulled(pod: Body, container: Mapping[str, Any]) -> str:
    """Say why an image cannot be pulled; empty if it can."""
    image = str(container.get("image", ""))
    host = image.partition("/")[0].partition(":")[0]
    if host.endswith(".invalid"):
        return f'failed to resolve reference "{image}": dial tcp: lookup {host}: no such host'
    if asked_for(pod) == "image-pull":
        return f'failed to resolve reference "{image}": {image}: not found'
    return ""


def exit_code(pod: Body) -> int:
    """Return how the containers of a pod end that is wanted to crash."""
    if asked_for(pod) == "oom":
        return OUT_OF_MEMORY
    text = str(_notes(pod).get(EXIT_CODE, "1"))
    return int(text) if text.isdigit() else 1


def log_of(pod: Body, *, previous: bool) -> str:
    """Return what a container wrote."""
    text = _notes(pod).get(LOG)
    if text is not None:
        return f"{text}\n"
    if asked_for(pod) == "crash":
        return f"simulated: ends with exit code {exit_code(pod)}, as {FAIL} asks for\n"
    return "" if previous or asked_for(pod) else "simulated: nothing runs here\n"


def _notes(pod: Body) -> dict[str, Any]:
    return part(pod, "metadata", "annotations")
