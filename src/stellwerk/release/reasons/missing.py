"""What an object needs and does not find, read from the sentences of kubelet, scheduler and controllers."""

import re

_NAMED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("MissingKey", re.compile(r"couldn't find key|references non-existent (config|secret) key")),
    ("MissingConfigMap", re.compile(r"configmaps? \"[^\"]*\" not found", re.IGNORECASE)),
    ("MissingSecret", re.compile(r"secrets? \"[^\"]*\" not found", re.IGNORECASE)),
    ("MissingClaim", re.compile(r"persistentvolumeclaims? \"[^\"]*\" not found", re.IGNORECASE)),
    ("MissingServiceAccount", re.compile(r"serviceaccounts? \"[^\"]*\" not found", re.IGNORECASE)),
    ("MissingStorageClass", re.compile(r"storageclass\S* \"[^\"]*\" not found", re.IGNORECASE)),
    ("MissingPriorityClass", re.compile(r"no PriorityClass with name", re.IGNORECASE)),
)


def missing(message: str) -> str | None:
    """Return the code of what is missing by this message; None if it names nothing."""
    return next((code for code, pattern in _NAMED if pattern.search(message)), None)
