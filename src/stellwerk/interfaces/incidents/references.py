"""Names of objects, as the interface shows them."""

from stellwerk.inquiry.model import ObjectRef
from stellwerk.interfaces.incidents import wire


def reference(ref: ObjectRef) -> wire.ResourceReference:
    """Show an object's name."""
    return wire.ResourceReference(
        kind=ref.kind, namespace=ref.namespace, name=ref.name, apiVersion=ref.api_version
    )
