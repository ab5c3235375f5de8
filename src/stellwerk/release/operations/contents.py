"""What services were rendered to, as operations and releases keep it: by service and hash."""

import hashlib
from collections.abc import Iterable, Mapping

from stellwerk.release.objects import Manifest
from stellwerk.release.operations.sealing import Sealer
from stellwerk.release.ownership import Identity


def place_of(identity: Identity, name: str) -> str:
    """Return where a sealed text belongs."""
    return f"{identity.application}\0{identity.instance}\0{name}"


def hashes_of(manifests: Iterable[Manifest]) -> dict[str, str]:
    """Return the hash of what each service was rendered to."""
    return {service: _hash(of) for service, of in _by_service(manifests).items()}


def sealed_of(
    sealer: Sealer, identity: Identity, manifests: Iterable[Manifest]
) -> Mapping[tuple[str, str], bytes]:
    """Seal what each service was rendered to."""
    return {
        (service, _hash(of)): sealer.seal_manifests(place_of(identity, service), of)
        for service, of in _by_service(manifests).items()
    }


def _by_service(manifests: Iterable[Manifest]) -> dict[str, list[Manifest]]:
    found: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        found.setdefault(manifest.service, []).append(manifest)
    return found


def _hash(manifests: Iterable[Manifest]) -> str:
    lines = sorted(f"{manifest.key}\0{manifest.key.group}\0{manifest.hash}" for manifest in manifests)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
