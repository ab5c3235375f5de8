"""What a cluster may say instead of doing what it is asked."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

RefusalReason = Literal[
    "admission",
    "forbidden",
    "immutable",
    "invalid",
    "namespace_missing",
    "namespace_terminating",
    "quota",
    "raced",
    "too_large",
    "unauthorized",
    "webhook",
]
"""Why a cluster refuses.

`forbidden`: access control. `admission`: a policy built into the cluster; `webhook`: one that is not, or
that gives no answer. `raced`: somebody else changed the object again and again at the same time.
"""


class ClusterError(Exception):
    """Anything that a cluster does not do."""


class NotSelected(ClusterError):
    """No cluster is selected, so nothing can be deployed."""

    def __init__(self) -> None:
        super().__init__(
            "no cluster is selected: set KUBECONFIG, or start with --kubeconfig FILE,"
            " --cluster in-cluster or --cluster sandbox"
        )


class ClusterUnavailable(ClusterError):
    """The cluster cannot be reached, or fails; the same may work later."""

    def __init__(self, detail: str, retry_after_s: float = 5.0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class OwnedField(NamedTuple):
    """A field that another manager set and that would be overwritten."""

    owner: str
    path: str
    """As the cluster writes it: `.spec.replicas`."""


class Conflict(ClusterError):
    """Fields of the object belong to other field managers; nothing was changed."""

    def __init__(self, fields: Sequence[OwnedField]) -> None:
        super().__init__("; ".join(f"{field.path} belongs to {field.owner}" for field in fields))
        self.fields = tuple(fields)


class Refused(ClusterError):
    """The cluster refuses; the same will be refused again unless something else changes."""

    def __init__(self, reason: RefusalReason, message: str, status: int) -> None:
        """`status`: of HTTP, as the cluster answered or would."""
        super().__init__(message)
        self.reason: RefusalReason = reason
        self.message = message
        self.status = status


class UnknownKind(ClusterError):
    """The cluster serves no such kind, or not in this version."""

    def __init__(self, kind: str, group: str, version: str | None, served: Sequence[str] = ()) -> None:
        """`served`: versions in which it serves the kind."""
        api_version = "/".join(part for part in (group, version) if part) or "v1"
        hint = f"it has {', '.join(served)}" if served else "is its CustomResourceDefinition installed?"
        super().__init__(f"the cluster does not serve {kind} of {api_version}; {hint}")
        self.kind = kind
        self.group = group
        self.version = version


class Gone(ClusterError):
    """The object is not there."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not there")
        self.what = what
