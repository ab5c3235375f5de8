"""Bring an image onto the machine and prove that it is the one that was asked for.

A pull is believed only if its stream names no error *and* the engine lists `name@digest` afterwards: both
engines answer 200 to a pull that failed, and may have a cached image to show for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stellwerk.agent.executors.engine import Engine, EngineError, refused, registry_header
from stellwerk.agent.executors.executor import Failed, Report
from stellwerk.agent.executors.references import Reference, full_name

PullPolicy = Literal["auto", "always", "missing", "never"]
"""When to ask the registry. auto: when the image is missing, and whenever the task brings credentials, so
that wrong ones are noticed even if the image lies here already."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that lies on this machine."""

    id: str
    repo_digest: str | None
    size_bytes: int
    cached: bool
    """It was here before."""
    config: Mapping[str, Any]


async def ensure(
    engine: Engine,
    reference: Reference,
    credentials: Mapping[str, str],
    report: Report,
    policy: PullPolicy = "auto",
) -> Image:
    """Have the image here, pulled if need be; raises Failed (`image.*`, `registry.*`)."""
    found = await look_up(engine, reference, cached=True)
    if policy == "auto":
        policy = "always" if credentials.get("registry.username") else "missing"
    if found and policy in {"missing", "never"}:
        report.log("info", f"{reference.text} is here already")
        return found
    if policy == "never":
        raise Failed("image.not_found", f"{reference.text} is not on this machine and may not be pulled")
    return await pull(engine, reference, credentials, report)


async def pull(engine: Engine, reference: Reference, credentials: Mapping[str, str], report: Report) -> Image:
    """Pull the image and check it; raises Failed (`image.*`, `registry.*`)."""
    before = await look_up(engine, reference, cached=True)
    headers = registry_header(credentials, reference.registry)
    if before and headers:
        await _check_credentials(engine, reference, headers)
    report.log("info", f"pulling {reference.text}")
    layers: dict[str, tuple[int, int]] = {}
    try:
        async for line in engine.stream("/images/create", headers, fromImage=reference.text):
            if error := line.get("error"):
                raise pull_failure(reference, str(error))
            _tell(line, layers, report)
    except EngineError as error:
        raise pull_failure(reference, error.message) from error
    found = await look_up(engine, reference, cached=before is not None)
    if found is None:
        raise Failed(
            "image.digest_mismatch",
            f"the engine pulled {reference.text} but does not list that name and digest; nothing was started",
        )
    report.log("info", f"{reference.text} is image {found.id}")
    return found


async def look_up(engine: Engine, reference: Reference, *, cached: bool) -> Image | None:
    """Find the image on this machine, its digest checked; None when it is not here."""
    try:
        found = await engine.get(f"/images/{reference.text}/json")
    except EngineError as error:
        if error.status == 404 or "no such image" in error.message.lower():
            return None
        raise
    digests = [str(one) for one in found.get("RepoDigests") or ()]
    if reference.digest and not reference.is_in(digests):
        return None
    mine = [one for one in digests if full_name(one.partition("@")[0]) == full_name(reference.name)]
    repo_digest = f"{reference.name}@{reference.digest}" if reference.digest else next(iter(mine), None)
    return Image(
        str(found["Id"]), repo_digest, int(found.get("Size") or 0), cached, found.get("Config") or {}
    )


def pull_failure(reference: Reference, message: str) -> Failed:
    """Sort what an engine says about a pull into what the caller can do about it."""
    said = message.lower()
    if any(word in said for word in ("unauthorized", "authentication required", "denied", "no basic auth")):
        return Failed(
            "registry.unauthorized",
            f"{reference.registry} refused the credentials for {reference.text}: {message}. "
            "Check registry.username and registry.password.",
        )
    if any(word in said for word in ("manifest unknown", "not found", "name unknown", "does not exist")):
        return Failed("image.not_found", f"{reference.registry} has no {reference.text}: {message}")
    if any(word in said for word in ("connection refused", "no such host", "timeout", "unreachable", "eof")):
        return Failed(
            "registry.unreachable", f"{reference.registry} could not be reached: {message}", retriable=True
        )
    return Failed("image.pull_failed", f"{reference.text} could not be pulled: {message}", retriable=True)


async def _check_credentials(engine: Engine, reference: Reference, headers: Mapping[str, str]) -> None:
    """Let the registry judge the credentials: Docker answers a pull of what is cached without asking it.

    podman asks it in every pull and has no such call (404)."""
    try:
        await engine.get_with(f"/distribution/{reference.text}/json", headers)
    except EngineError as error:
        said = error.message.lower()
        if error.status in {401, 403} or any(
            word in said for word in ("unauthorized", "denied", "no basic auth")
        ):
            raise pull_failure(reference, "unauthorized") from error
        if error.status == 404:
            return
        raise refused(error, f"{reference.registry} did not answer for {reference.text}") from error


def _tell(line: Mapping[str, Any], layers: dict[str, tuple[int, int]], report: Report) -> None:
    """Add one line of the stream to the progress: bytes where the engine counts them, words where not."""
    status, layer = str(line.get("status") or line.get("stream") or "").strip(), str(line.get("id") or "")
    detail = line.get("progressDetail") or {}
    if layer and detail.get("total"):
        layers[layer] = (int(detail.get("current") or 0), int(detail["total"]))
    if layer and status in {"Pull complete", "Download complete", "Already exists"}:
        _, total = layers.get(layer, (1, 1))
        layers[layer] = (total, total)
    whole = sum(total for _, total in layers.values())
    if whole:
        report.progress(min(95, sum(done for done, _ in layers.values()) * 95 // whole), status)
    elif status:
        report.progress(0, status)
