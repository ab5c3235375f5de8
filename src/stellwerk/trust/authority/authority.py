"""An authority: the roots of one purpose.

Rotation adds a root. It is trusted at once, but signs only when it has settled, that is when everybody who
verifies has had the time to learn of it: replicas that read the same folder, agents that get the new bundle
with their renewals. Until then the older one signs. Both stay trusted until the older's last leaf has ended;
then `retire` forgets the older one. Two authorities exist side by side, one for agents and one for servers:
neither can make the other's certificates.

Signing goes in two steps, `prepare` (describe and lint) and `Prepared.sign`, so that the serial can be
recorded in between.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from cryptography import x509

from stellwerk.trust.authority import profiles
from stellwerk.trust.authority.linting import lint_leaf
from stellwerk.trust.authority.roots import Root, RootUnusable, load_root, make_root, save_root

ROOTS = 2
"""Roots trusted at a time: a second rotation before the first is over would cut agents off."""


class RotationUnderWay(Exception):
    """Refuse to rotate again while an older root is still trusted."""


class Prepared:
    """A certificate that was described and linted; it can be signed once."""

    def __init__(self, builder: x509.CertificateBuilder, root: Root) -> None:
        self._builder: x509.CertificateBuilder | None = builder
        self.root = root

    def sign(self) -> x509.Certificate:
        """Sign. A second time is a fault of the caller: one intent, one certificate."""
        builder, self._builder = self._builder, None
        if builder is None:
            raise RuntimeError("this certificate was signed before")
        return self.root.sign(builder)


class Authority:
    """One purpose's roots, kept in a folder as `root-N.pem` and `root-N.key`."""

    def __init__(self, name: str, folder: Path, roots: dict[int, Root], settling: timedelta) -> None:
        self.name = name
        self._folder = folder
        self._roots = roots
        self._settling = settling

    @classmethod
    def open(cls, name: str, folder: Path, now_us: int, *, settling: timedelta = timedelta()) -> "Authority":
        """Read the roots of the folder, or make the first. Raises RootUnusable.

        `settling` is how long an added root is only trusted before it signs.
        """
        numbers = sorted(int(file.stem.removeprefix("root-")) for file in folder.glob("root-*.pem"))
        roots = {number: root for number in numbers if (root := load_root(folder, f"root-{number}"))}
        if len(roots) > ROOTS:
            raise RootUnusable(f"{folder} holds {len(roots)} roots; remove those that are over")
        authority = cls(name, folder, roots, settling)
        if not roots:
            authority._add(1, now_us)
        return authority

    def signer(self, now_us: int) -> Root:
        """Return the root that signs now: the newest that has settled, else the oldest."""
        settled = [root for root in self.roots if root.begins + self._settling <= profiles.instant(now_us)]
        return settled[0] if settled else self.roots[-1]

    @property
    def roots(self) -> tuple[Root, ...]:
        """Every trusted root, newest first."""
        return tuple(self._roots[number] for number in sorted(self._roots, reverse=True))

    @property
    def bundle(self) -> str:
        """Every trusted root as PEM text."""
        return "".join(root.pem for root in self.roots)

    def prepare(self, describe: Callable[[Root], x509.CertificateBuilder], now_us: int) -> Prepared:
        """Describe a leaf for the root that signs now, and lint it. Raises LintFailed."""
        root = self.signer(now_us)
        builder = describe(root)
        lint_leaf(builder, root.certificate)
        return Prepared(builder, root)

    def rotate(self, now_us: int) -> Root:
        """Add a root, which signs when it has settled. Raises RotationUnderWay."""
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
        retired = self._roots[number]
        self._roots = {other: root for other, root in self._roots.items() if other != number}
        return retired

    def _add(self, number: int, now_us: int) -> Root:
        root = make_root(f"Stellwerk {self.name} root {number}", now_us)
        save_root(root, self._folder, f"root-{number}")
        # A new dictionary: threads that are reading the old one finish with it.
        self._roots = {**self._roots, number: root}
        return root
