"""A conductor as a program of one's own: an application with its filters, hooks and routes.

    from stellwerk import Conductor

    Conductor(app_name="shop", manifest_root="manifests").run()

It is the whole control plane, with settings from the file, the environment and, last, from here. Inside a
program that has an event loop already, `async with conductor:` or `await conductor.serve()` takes the place
of `run`. Importing `stellwerk` loads nothing of this; asking it for `Conductor` does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from stellwerk.app.extensions import Extensions
from stellwerk.interfaces.conductor.own import Caller, Handler, Route
from stellwerk.release.callbacks import After, Before, Vetoed
from stellwerk.release.operations.record import Operation, OperationKind, Request
from stellwerk.settings import Settings, load_settings
from stellwerk.settings.loading import flag
from stellwerk.trust.scopes import Scope

if TYPE_CHECKING:
    from stellwerk.app import ControlPlane

__all__ = ["Caller", "Conductor", "Operation", "OperationKind", "Request", "Scope", "Vetoed"]

Anything = TypeVar("Anything", bound=Callable[..., Any])


class Conductor:
    """One application, served by a control plane of this program."""

    def __init__(
        self,
        app_name: str | None = None,
        manifest_root: str | Path = "manifests",
        *,
        cluster: str | None = None,
        kubeconfig: str | None = None,
        config: str | Path | None = None,
        **settings: Any,
    ) -> None:
        """Store what is given; nothing is read or started yet.

        `app_name` None takes the one in `stellwerk.yaml` of the folder. `manifest_root` is looked for here,
        then beside the program. `cluster` is `kubeconfig`, `in-cluster`, `sandbox` or `none`; without it and
        without `kubeconfig` (or KUBECONFIG) deployment is refused. `settings` are any others, with `__` for
        the dot: `server__port=9000`.
        """
        self._given = {
            "conductor.application": app_name,
            "conductor.cluster": cluster,
            "conductor.kubeconfig": kubeconfig,
            **{name.replace("__", "."): value for name, value in settings.items()},
        }
        self._root = Path(manifest_root)
        self._config = None if config is None else Path(config)
        self._extensions = Extensions()
        self._plane: ControlPlane | None = None

    def filter(self, function: Anything) -> Anything:
        """Let templates use a function as a filter of its name. It must give equal for equal."""
        self._extensions.filters[function.__name__] = function
        return function

    def before(self, *kinds: OperationKind | str) -> Callable[[Before], Before]:
        """Call an async function with the `Request` of each operation of these kinds, or of all.

        It is called before anything is recorded; raise `Vetoed` to refuse. Automatic rollbacks are not asked.
        """

        def register(hook: Before) -> Before:
            self._extensions.callbacks.before.append((_kinds(kinds), hook))
            return hook

        return register

    def after(self, *kinds: OperationKind | str) -> Callable[[After], After]:
        """Call an async function with the `Operation` that has ended, of these kinds or of all.

        At most once each: a process that is killed in between does not call it. What it raises is logged.
        """

        def register(hook: After) -> After:
            self._extensions.callbacks.after.append((_kinds(kinds), hook))
            return hook

        return register

    def route(
        self, method: str, path: str, *, scope: Scope | str | None = Scope.SERVICES_READ, summary: str = ""
    ) -> Callable[[Handler], Handler]:
        """Answer requests with an async function of a `Caller`, which returns what is sent as JSON.

        Segments in braces are parameters: `/shop/orders/{id}`. `scope` is what an API key needs; None lets
        everybody in.
        """

        def register(handler: Handler) -> Handler:
            needed = None if scope is None else Scope(scope)
            self._extensions.routes.append(Route(method.upper(), path, handler, needed, summary))
            return handler

        return register

    def settings(self) -> Settings:
        """Return the settings that hold. Raises SettingsError with everything that is wrong with them."""
        folder = str(_beside_program(self._root))
        given = {"conductor.manifests": folder, **self._given}
        flags = [flag(name, raw, f"Conductor({name})") for name, raw in given.items() if raw is not None]
        return load_settings(self._config, flags).settings

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; ends the program with a status other than 0 if it cannot start."""
        from stellwerk.cli.process import run
        from stellwerk.settings import SettingsError

        try:
            settings = self.settings()
        except SettingsError as error:
            for fault in error.faults:
                sys.stderr.write(f"{fault}\n")
            raise SystemExit(2) from None
        if status := run(settings, extensions=self._extensions):
            raise SystemExit(status)

    async def serve(self) -> None:
        """Serve until cancelled, in the event loop that runs; signals stay the program's."""
        async with self:
            await asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Start, and return when it takes requests. Raises SettingsError, CannotStart."""
        from stellwerk.app import ControlPlane

        if self._plane is None:
            plane = ControlPlane(self.settings(), extensions=self._extensions)
            await plane.start()
            self._plane = plane

    async def stop(self) -> None:
        """Stop in order; may be called more than once."""
        plane, self._plane = self._plane, None
        if plane is not None:
            await plane.stop()

    @property
    def listeners(self) -> Mapping[str, str]:
        """Addresses by the name of the listener (`main`, `conductor` …); none before it has started."""
        return {} if self._plane is None else self._plane.listeners

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _kinds(kinds: tuple[OperationKind | str, ...]) -> frozenset[OperationKind]:
    return frozenset(map(OperationKind, kinds or OperationKind))


def _beside_program(root: Path) -> Path:
    """Return a folder as it is named from here or, if there is none, from where the program lies."""
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    if root.is_absolute() or root.is_dir() or program is None:
        return root
    beside = Path(program).resolve().parent / root
    return beside if beside.is_dir() else root
