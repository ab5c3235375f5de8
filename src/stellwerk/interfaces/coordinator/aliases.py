"""Further paths under which the interface answers: those of other versions of the published one."""

MESSAGES = "/api/v1/agent/messages"
OWN = ("/agents", "/tasks", "/load-balancer", "/registry", "/health", "/ws")
MOVED = ("/load-balancer", "/registry", "/agents/service", "/agents/capability")
PREFIXES = (*OWN, "/v1/agents", "/v1/tasks", *(MESSAGES + path for path in MOVED))


def owns(path: str) -> int:
    """Return the length of the prefix by which the interface owns a path, 0 if it does not."""
    if path == "/":
        return 1
    for prefix in PREFIXES:
        if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
            return len(prefix)
    return 0


def rewrite(path: str) -> str | None:
    """Return the plain path of an alias, None for a path that is none."""
    if path.startswith(("/v1/agents", "/v1/tasks")):
        return path[3:]
    if path.startswith(MESSAGES) and owns(path):
        return path[len(MESSAGES) :]
    return "/ws" if path == "/registry/ws" else None
