"""Further paths under which the interface answers: those of other versions of the published one."""

MESSAGES = "/api/v1/agent/messages"
OWN = {word: len(word) + 1 for word in ("agents", "tasks", "load-balancer", "registry", "health", "ws")}
"""First segments of the plain paths, with the length of the prefix."""
MOVED = ("/load-balancer", "/registry", "/agents/service", "/agents/capability")
ALIASES = ("/v1/agents", "/v1/tasks", *(MESSAGES + path for path in MOVED))


def owns(path: str) -> int:
    """Return the length of the prefix by which the interface owns a path, 0 if it does not."""
    segments = path.split("/", 2)
    own = OWN.get(segments[1]) if len(segments) > 1 else None
    if own is not None:
        return own
    return 1 if path == "/" else len(_alias(path))


def rewrite(path: str) -> str | None:
    """Return the plain path of an alias, None for a path that is none."""
    if path.startswith(("/v1/", "/api/")):
        alias = _alias(path)
        return path[len(MESSAGES if alias.startswith(MESSAGES) else "/v1") :] if alias else None
    return "/ws" if path == "/registry/ws" else None


def _alias(path: str) -> str:
    for prefix in ALIASES:
        if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
            return prefix
    return ""
