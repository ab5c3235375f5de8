"""An authority: the roots of one purpose, the newest of which signs.

Rotation adds a root. Both are trusted until the older's last leaf has ended; then `retire` forgets the older
one. Two authorities exist side by side, one for agents and one for servers: neither can make the other's
certificates.
"""

from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from stellwerk.trust.authority.linting import lint_leaf
from stellwerk.trust.authority.roots import Root, RootUnusable, load_root, make_root, save_root

ROOTS = 2
"""Roots trusted at a time: a second rotation before the first is over would cut agents off."""


class RotationUnderWay(Exception):
    """Refuse to rotate again while an older root is still trusted."""


class Authority:
    """One purpose's roots, kept in a folder as `root-N.pem` and `root-N.key`."""

    def __init__(self, name: str, folder: Path, roots: dict[int, Root]) -> None:
        self.name = name
        self._folder = folder
        self._roots = roots

    @classmethod
    def open(cls, name: str, folder: Path, now_us: int) -> "Authority":
        """Read the roots of the folder, or make the first. Raises RootUnusable."""
        numbers = sorted(int(file.stem.removeprefix("root-")) for file in folder.glob("root-*.pem"))
        roots = {number: root for number in numbers if (root := load_root(folder, f"root-{number}"))}
        if len(roots) > ROOTS:
            raise RootUnusable(f"{folder} holds {len(roots)} roots; remove those that are over")
        authority = cls(name, folder, roots)
        if not roots:
            authority._add(1, now_us)
        return authority

    @property
    def current(self) -> Root:
        """The root that signs."""
        return self._roots[max(self._roots)]

    @property
    def roots(self) -> tuple[Root, ...]:
        """Every trusted root, newest first."""
        return tuple(self._roots[number] for number in sorted(self._roots, reverse=True))

    @property
    def bundle(self) -> str:
        """Every trusted root as PEM text."""
        return "".join(root.pem for root in self.roots)

    def sign(self, describe: Callable[[Root], x509.CertificateBuilder]) -> x509.Certificate:
        """Describe a leaf for the current root, lint it, sign it. Raises LintFailed and signs nothing."""
        root = self.current
        builder = describe(root)
        lint_leaf(builder, root.certificate)
        return root.sign(builder)

    def rotate(self, now_us: int) -> Root:
        """Add a root, which signs from now on. Raises RotationUnderWay."""
        if len(self._roots) >= ROOTS:
            raise RotationUnderWay(f"the {self.name} authority already has {len(self._roots)} roots")
        return self._add(max(self._roots) + 1, now_us)

    def retire(self) -> Root | None:
        """Forget the older root, in memory and on disk; return it, None if there is only one."""
        if len(self._roots) < ROOTS:
            return None
        number = min(self._roots)
        # The certificate first: what a crash leaves behind is a key that nobody trusts.
        for ending in ("pem", "key"):
            (self._folder / f"root-{number}.{ending}").unlink(missing_ok=True)
        return self._roots.pop(number)

    def _add(self, number: int, now_us: int) -> Root:
        root = make_root(f"Stellwerk {self.name} root {number}", now_us)
        save_root(root, self._folder, f"root-{number}")
        self._roots[number] = root
        return root
