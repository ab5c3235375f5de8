"""Image references: what an image is called, where it lies, and which bytes it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

DIGEST: Final = re.compile(r"^sha256:[0-9a-f]{64}\Z")
NAME: Final = re.compile(
    r"^(?:[A-Za-z0-9.-]+(?::\d{1,5})?/)?[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*\Z"
)
TAG: Final = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")


@dataclass(frozen=True, slots=True)
class Reference:
    """One image. Without a digest the tag may mean other bytes tomorrow."""

    name: str
    tag: str | None
    digest: str | None

    @property
    def text(self) -> str:
        """What an engine is asked for: by digest when there is one."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag or 'latest'}"

    @property
    def registry(self) -> str:
        """The registry's host and port."""
        return full_name(self.name).partition("/")[0]

    def is_in(self, repo_digests: list[str]) -> bool:
        """Tell whether an engine lists this very image, by name and digest."""
        wanted = f"{full_name(self.name)}@{self.digest}"
        return any(
            f"{full_name(one.partition('@')[0])}@{one.partition('@')[2]}" == wanted for one in repo_digests
        )


def parse(image: str, tag: str | None = None, digest: str | None = None) -> Reference:
    """Read a reference and what is said beside it; raises ValueError with what is wrong."""
    rest, _, inside = image.partition("@")
    if inside and digest and inside != digest:
        raise ValueError(f"{image!r} and digest {digest!r} name different images")
    digest = inside or digest
    head, colon, last = rest.rpartition(":")
    name, inline_tag = (head, last) if colon and "/" not in last else (rest, None)
    if inline_tag is not None and tag and inline_tag != tag:
        raise ValueError(f"{image!r} and tag {tag!r} name different images")
    tag = inline_tag or tag
    if not NAME.match(name) or len(name) > 255:
        raise ValueError(f"{image!r} is not the name of an image")
    if tag and not TAG.match(tag):
        raise ValueError(f"{tag!r} is not a tag")
    if digest and not DIGEST.match(digest):
        raise ValueError(f"{digest!r} is not a digest: sha256: and 64 hexadecimal digits, lower case")
    return Reference(name, tag, digest)


def full_name(name: str) -> str:
    """Write a name with its registry, as engines complete it: `redis` is `docker.io/library/redis`."""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return f"docker.io/{rest}" if first == "index.docker.io" else name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def digest_faults(image: str | None, tag: str | None, digest: str | None, allow_tags: bool) -> list[str]:
    """List what is wrong with an image as parameters name it; a tag without a digest is, unless allowed."""
    if image is None:
        return []
    try:
        reference = parse(image, tag, digest)
    except ValueError as error:
        return [f"image: {error}"]
    if reference.digest is None and not allow_tags:
        return ["digest: required, because a tag may mean another image tomorrow (or say allowTags: true)"]
    return []
