"""Kubeconfig files: which cluster, and who we are there.

Several files may be named, as `kubectl` takes them: the first that says something about a name wins. Paths
in a file are relative to it. Nothing is looked for that was not named: whoever has a current context in the
home directory did not thereby choose it.
"""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stellwerk.release.clusters.kubernetes.access import Access, Credentials, Fixed, FromFile, Misconfigured
from stellwerk.release.clusters.kubernetes.plugin import Plugin

Entry = Mapping[str, Any]
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def from_kubeconfig(files: str, context: str | None = None) -> Access:
    """Read kubeconfig files, joined as in PATH; `context` None means their current one.

    Raises Misconfigured.
    """
    paths = [Path(one).expanduser() for one in files.split(os.pathsep) if one]
    if not paths:
        raise Misconfigured("no kubeconfig file is named")
    documents = [(path, _read(path)) for path in paths]
    chosen = context or next(
        (one["current-context"] for _, one in documents if one.get("current-context")), None
    )
    if not chosen:
        raise Misconfigured(f"{files} has no current context; choose one in it")
    _, named = _find(documents, "contexts", "context", chosen)
    cluster_file, cluster = _find(documents, "clusters", "cluster", str(named.get("cluster")))
    user_file, user = (
        _find(documents, "users", "user", str(named.get("user"))) if named.get("user") else (paths[0], {})
    )
    server = str(cluster.get("server") or "").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise Misconfigured(
            f"{cluster_file}: the cluster {named.get('cluster')} has no server with https:// or http://"
        )
    return Access(
        name=chosen,
        server=server,
        tls=_tls(cluster_file, cluster, user_file, user) if server.startswith("https://") else None,
        credentials=_credentials(user_file, user),
        tls_server_name=cluster.get("tls-server-name") or None,
        proxy=cluster.get("proxy-url") or None,
    )


def in_cluster(environment: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> Access:
    """Use the service account of the pod that we run in. Raises Misconfigured outside of one."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    authority = folder / "ca.crt"
    if not host or not authority.exists():
        raise Misconfigured("this process does not run in a pod with a service account")
    address = f"[{host}]" if ":" in host else host
    return Access(
        name="in-cluster",
        server=f"https://{address}:{port}",
        tls=ssl.create_default_context(cafile=str(authority)),
        credentials=FromFile(folder / "token"),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Misconfigured(f"the kubeconfig {path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise Misconfigured(f"{path} is no kubeconfig: it holds no mapping")
    return document


def _find(
    documents: list[tuple[Path, dict[str, Any]]], section: str, field: str, name: str
) -> tuple[Path, Entry]:
    for path, document in documents:
        for entry in document.get(section) or []:
            if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(field), dict):
                return path, entry[field]
    raise Misconfigured(f"no {field} {name!r} in {', '.join(str(path) for path, _ in documents)}")


def _material(file: Path, entry: Entry, field: str) -> bytes | None:
    """Return what stands in the file itself under `field-data`, else what the file named by `field` holds."""
    try:
        if data := entry.get(f"{field}-data"):
            return base64.b64decode(data, validate=True)
        if name := entry.get(field):
            return (file.parent / Path(name).expanduser()).read_bytes()
    except (OSError, binascii.Error, ValueError, TypeError) as error:
        raise Misconfigured(f"{file}: {field} cannot be read: {error}") from error
    return None


def _tls(cluster_file: Path, cluster: Entry, user_file: Path, user: Entry) -> ssl.SSLContext:
    authority = _material(cluster_file, cluster, "certificate-authority")
    try:
        tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
        if cluster.get("insecure-skip-tls-verify"):
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        certificate, key = (_material(user_file, user, f"client-{part}") for part in ("certificate", "key"))
        if certificate and key:
            _show(tls, certificate, key)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{cluster_file}: its certificates cannot be used: {error}") from error
    return tls


def _show(tls: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Show this certificate as ours. OpenSSL reads both from files only: they live for this moment."""
    with tempfile.TemporaryDirectory(prefix="stellwerk-") as folder:
        pair = Path(folder, "pair.pem")
        with os.fdopen(os.open(pair, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
            file.write(certificate + b"\n" + key)
        tls.load_cert_chain(pair)


def _credentials(file: Path, user: Entry) -> Credentials:
    if token := user.get("token"):
        return Fixed(f"Bearer {token}")
    if name := user.get("tokenFile"):
        return FromFile(file.parent / Path(name).expanduser())
    if "username" in user:
        pair = f"{user['username']}:{user.get('password', '')}".encode()
        return Fixed(f"Basic {base64.b64encode(pair).decode()}")
    if isinstance(user.get("exec"), dict):
        return Plugin(file, user["exec"])
    if "auth-provider" in user:
        raise Misconfigured(f"{file}: auth-provider is not supported any more; use an exec plugin")
    return Fixed()
