"""What templates see, and what they meet where nothing was set.

Values know where they come from, so that a missing one is named in full: `service.config.database.host`,
not `host`. A missing value may be asked further (`service.ingress.host`), and only its use is an error; so
`| default(…)` and `is defined` work at any depth, and a misspelt name is never taken for "no".
"""

import base64
import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from jinja2 import StrictUndefined, UndefinedError
from jinja2.utils import missing

from stellwerk.release.spelling import nearest

KEPT_OUT = "templates see values, not Python's insides"
VARIABLES = ("global", "service", "services", "files", "app", "cluster")


class Values(dict[str, Any]):
    """A mapping that knows its path."""

    __slots__ = ("path",)

    def __init__(self, content: Mapping[str, Any], path: str) -> None:
        super().__init__(content)
        self.path = path


def wrap(value: Any, path: str) -> Any:
    """Copy JSON so that every mapping in it knows its path."""
    if isinstance(value, Mapping):
        return Values({name: wrap(one, step(path, name)) for name, one in value.items()}, path)
    if isinstance(value, list | tuple):
        return [wrap(one, f"{path}[{place}]") for place, one in enumerate(value)]
    return value


def step(path: str, name: object) -> str:
    """Go one step further, as a template would write it: `services['redis-master'].port`."""
    if isinstance(name, str) and name.isidentifier():
        return f"{path}.{name}" if path else name
    return f"{path}[{name!r}]"


class Unset(UndefinedError):
    """Something that was not set was used."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class Missing(StrictUndefined):
    """What stands where nothing was set."""

    def __init__(
        self, hint: str | None = None, obj: Any = missing, name: str | None = None, exc: Any = UndefinedError
    ) -> None:
        super().__init__(hint, obj, name)
        self._undefined_exception = self._complain  # type: ignore[assignment]  # anything that makes one
        self._path = str(name) if obj is missing else step(type(obj).__name__, name)
        self._asked = self._path
        self._siblings: Iterable[str] = VARIABLES if obj is missing else ()

    @classmethod
    def of(cls, path: str, name: object, siblings: Iterable[str]) -> "Missing":
        """Return what stands for a name that a value does not have."""
        one = cls(name=str(name))
        one._path = one._asked = step(path, name)
        one._siblings = siblings
        return one

    def below(self, name: object) -> "Missing":
        """Return what stands for something in it."""
        one = Missing.of(self._asked, name, self._siblings)
        one._path, one._undefined_hint = self._path, self._undefined_hint
        return one

    def _complain(self, _: str | None = None) -> Unset:
        hint = self._undefined_hint
        # Only the sandbox gives hints: where it keeps something from a template.
        return Unset(hint or f"{self._path} is not set", KEPT_OUT if hint else self._advice())

    def _advice(self) -> str:
        parent, _, name = self._path.rpartition(".")
        siblings = list(self._siblings)
        hyphened = next((one for one in siblings if one.startswith(f"{name}-")), None)
        if hyphened is not None and parent:
            return f"a name with a hyphen is written {parent}['{hyphened}']"
        found = nearest(name, siblings)
        if found is not None:
            return f"did you mean {step(parent, found)}?"
        return f"set it, or write `{self._asked} | default(…)` where it may be missing"


class NoFile(Exception):
    """A file is not there, or is no text."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class Files:
    """The application's files, as templates see them: `files.get("api/config.xml")`."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def get(self, path: str, default: Any = missing) -> Any:
        """Return a file's text, or `default` where there is no such file."""
        if path not in self._files:
            return self._absent(path) if default is missing else default
        try:
            return self._files[path].decode()
        except UnicodeDecodeError:
            raise NoFile(f"{path} is no text", f"write files.base64({path!r})") from None

    def base64(self, path: str) -> str:
        """Return any file's content in base64, as `binaryData` wants it."""
        if path not in self._files:
            self._absent(path)
        return base64.b64encode(self._files[path]).decode()

    def glob(self, pattern: str) -> dict[str, str]:
        """Return the texts of the files whose paths match, by path."""
        return {path: self.get(path) for path in sorted(self._files) if fnmatch.fnmatchcase(path, pattern)}

    def _absent(self, path: str) -> NoReturn:
        found = nearest(path, self._files)
        advice = f"did you mean {found}?" if found else "paths begin at the folder of manifests"
        raise NoFile(f"there is no file {path}", advice)
