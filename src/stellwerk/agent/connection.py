"""Staying connected: an identity, heartbeats and task-stream under it, and what follows when it changes.

Theory of operation. A loop without end takes the newest identity on disk, or registers where there is none,
and serves it: heartbeats and stream side by side, over one transport. Serving ends when

- a newer certificate has been stored: the loop serves that one. The first request with it that succeeds makes
  it the current one; if it is refused it is dropped and the older serves on;
- the identity is refused. *Revoked* ends the agent for good, over restarts. Any other refusal leads to a new
  registration where a token is configured; without one the agent goes on asking slowly, because only a person
  can help, who may also help by mending the server;
- the agent is told to end.

Tasks are not concerned by any of this: the runner speaks through the uplink, which waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets

from stellwerk.agent.backoff import Backoff, chance
from stellwerk.agent.clock import Clock, ServerTime
from stellwerk.agent.heartbeat import Heart, Vitals
from stellwerk.agent.identity import IdentityStore, IdentityUnusable, Pair
from stellwerk.agent.pinning import CA_PATH, PinMismatch
from stellwerk.agent.registration import NoToken, read_token, register
from stellwerk.agent.settings import AgentSettings
from stellwerk.agent.stream import Stream
from stellwerk.agent.transport import Refused, Transport, Unreachable, Verdict, client_context
from stellwerk.agent.uplink import Uplink
from stellwerk.agent.wire import Authorities, Beat, Certificate, Config, Ticket

_log = logging.getLogger("stellwerk.agent")

CA_REFRESH_S = 600.0
TICKET_PATH = "/api/v1/agents/token"
"""How often the roots are asked for again: a new one is trusted long before it signs."""
GOODBYE_S = 3.0
ASK_FOR_ONE = (
    "make one on the server with `stellwerk token create --agent` and give it with --token or --token-file"
)


class CannotJoin(Exception):
    """The agent cannot go on by itself; says what would help."""


class Revoked(CannotJoin):
    """The server removed this agent."""


class Renewed(Exception):
    """A newer identity is to be served."""


class Connection:
    """Keeps one agent joined."""

    def __init__(
        self,
        settings: AgentSettings,
        store: IdentityStore,
        vitals: Vitals,
        uplink: Uplink,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._store = store
        self._vitals = vitals
        self._uplink = uplink
        self._time = ServerTime(clock)
        self._spread = secrets.randbelow(1000) / 1000
        self._pair: Pair | None = None
        self._heart: Heart | None = None
        self._refused: asyncio.Future[Refused] | None = None
        self._backoff = Backoff(settings.retry_first_s, settings.retry_cap_s)
        vitals.config = store.config()
        uplink.on_identity_refused = self._on_identity_refused
        vitals.runner.on_change = self.hurry

    def hurry(self) -> None:
        """Let the next heartbeat come at once if it is what brings tasks."""
        if self._heart is not None and not self._uplink.has_stream:
            self._heart.hurry()

    def hurry_anyway(self) -> None:
        """Let the next heartbeat come at once: it has news."""
        if self._heart is not None:
            self._heart.hurry()

    async def keep(self) -> None:
        """Stay joined until cancelled. Raises CannotJoin, and Revoked when it must not come back."""
        if self._store.is_revoked:
            if read_token(self._settings) is None:
                raise Revoked(f"the server removed this agent; only a new token leads back: {ASK_FOR_ONE}")
            self._store.clear()
        while True:
            pair = next(iter(self._store.pairs()), None)
            try:
                if pair is None:
                    await self._register()
                    continue
                await self._serve(pair)
            except Renewed:
                self._backoff.reset()
                continue
            except Refused as refused:
                await self._deal_with(refused, pair)

    async def leave(self) -> None:
        """Say goodbye; failures do not matter any more."""
        with contextlib.suppress(Refused, Unreachable, OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                pair = next(iter(self._store.pairs()), None)
                if pair is None:
                    return
                transport = self._open(pair)
                try:
                    await Heart(transport, pair.agent_id, self._vitals, self._uplink, self).beat("stopped")
                finally:
                    await transport.close()

    def csr(self) -> str | None:
        """Return a CSR when the certificate is to be renewed by the server's clock; None otherwise."""
        pair = self._pair
        if pair is None or self._vitals.stopping:
            return None
        if self._time.now_us() < pair.renew_at(self._vitals.config.certificate_renew_after, self._spread):
            return None
        try:
            return self._store.request()
        except OSError as error:
            _log.error("no key can be stored, so the certificate is not renewed: %s", error)
            return None

    async def heard(self, beat: Beat) -> None:
        """Take what a heartbeat brought about identity and settings. Raises Renewed."""
        self._proved()
        if beat.config is not None:
            self._configure(beat.config)
        if beat.certificate_renewal is not None:
            self._renew(beat.certificate_renewal)

    async def _serve(self, pair: Pair) -> None:
        try:
            transport = self._open(pair)
        except OSError as error:
            raise CannotJoin(f"the identity in {pair.path} cannot be used: {error}") from error
        self._pair = pair
        self._refused = asyncio.get_running_loop().create_future()
        heart = Heart(transport, pair.agent_id, self._vitals, self._uplink, self)
        loops = [
            heart.keep_beating(),
            self._keep_roots(transport),
            self._keep_ticket(transport),
            self._watch(self._refused),
        ]
        if self._settings.stream:
            stream = Stream(transport, pair.agent_id, self._vitals, self._uplink, self)
            loops.append(stream.keep_streaming())
        tasks = [asyncio.ensure_future(loop) for loop in loops]
        self._heart = heart
        self._uplink.use(transport, pair.agent_id)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._heart = None
            self._uplink.use(None)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await transport.close()

    def _open(self, pair: Pair) -> Transport:
        bundle = self._store.ca()
        if bundle is None and self._settings.ca_file is not None:
            bundle = self._settings.ca_file.read_text()
        context = client_context(bundle, pair.path)
        transport = Transport(self._settings.server, context, self._time, self._settings.request_s)
        transport.ticket = self._store.ticket()
        return transport

    async def _keep_ticket(self, transport: Transport) -> None:
        """Keep a token for this certificate: only a proxy asks for it, and nobody says that there is one."""
        backoff = Backoff(self._settings.retry_first_s, self._settings.retry_cap_s)
        while True:
            wait_s = backoff.next_s(chance())
            try:
                fresh = await transport.call("POST", TICKET_PATH, Ticket, {})
            except (Unreachable, Refused) as error:
                # What it means for the identity is the heartbeat's business.
                _log.debug("no token: %s", error)
            else:
                backoff.reset()
                transport.ticket = fresh.token
                self._store.keep_ticket(fresh.token)
                wait_s = fresh.expires_in * (0.5 + 0.2 * chance())
            await asyncio.sleep(wait_s)

    async def _watch(self, refused: asyncio.Future[Refused]) -> None:
        raise await refused

    def _on_identity_refused(self, refused: Refused) -> None:
        if self._refused is not None and not self._refused.done():
            self._refused.set_result(refused)

    def _proved(self) -> None:
        """A request with this pair succeeded: it is the current one from here."""
        if self._pair is None:
            return
        try:
            self._pair = self._store.promote(self._pair)
        except OSError as error:
            _log.warning("the new certificate is in use and still on trial: %s", error)

    def _renew(self, certificate: Certificate) -> None:
        try:
            if certificate.ca and self._store.ca() is not None:
                self._store.keep_ca(certificate.ca)
            pair = self._store.keep_next(certificate.cert)
        except (OSError, IdentityUnusable) as error:
            # The old one is still good, and the next heartbeat asks for the same again.
            _log.error("the renewed certificate is not kept: %s", error)
            return
        _log.info("the certificate is renewed, serial %x", pair.serial)
        raise Renewed

    def _configure(self, config: Config) -> None:
        known = self._vitals.config
        merged = Config(
            heartbeat_interval=config.heartbeat_interval or known.heartbeat_interval,
            task_poll_interval=config.task_poll_interval or known.task_poll_interval,
            log_level=config.log_level or known.log_level,
            certificate_renew_after=config.certificate_renew_after or known.certificate_renew_after,
        )
        if merged != known:
            self._vitals.config = merged
            self._store.keep_config(merged)
            apply_log_level(merged)

    async def _keep_roots(self, transport: Transport) -> None:
        """Learn new roots of the server while an old one still verifies it. Raises Renewed."""
        while True:
            await asyncio.sleep(CA_REFRESH_S * (0.9 + 0.1 * chance()))
            if self._store.ca() is None:
                continue
            try:
                offered = await transport.call("GET", CA_PATH, Authorities)
                changed = self._store.keep_ca(offered.ca)
            except (Unreachable, Refused, IdentityUnusable, OSError) as error:
                _log.warning("the server's roots were not refreshed: %s", error)
                continue
            if changed:
                _log.info("the server's roots have changed")
                raise Renewed

    async def _register(self) -> None:
        try:
            _, answer = await register(
                self._settings,
                self._store,
                self._vitals.readiness.possible,
                self._vitals.instance_id,
                self._time,
            )
        except NoToken:
            raise CannotJoin(
                f"there is no identity in {self._settings.data_dir} and no token to get one; {ASK_FOR_ONE}"
            ) from None
        except PinMismatch as error:
            raise CannotJoin(str(error)) from error
        except (Unreachable, OSError, IdentityUnusable) as error:
            _log.warning("not registered yet: %s", error)
            await asyncio.sleep(self._backoff.next_s(chance()))
            return
        self._backoff.reset()
        self._configure(answer.config)

    async def _deal_with(self, refused: Refused, pair: Pair | None) -> None:
        """Do what a refusal asks for. Raises CannotJoin where that is nothing."""
        if refused.verdict is Verdict.REVOKED:
            self._store.mark_revoked()
            raise Revoked(f"the server removed this agent and it must not come back: {refused}")
        if pair is None:
            await self._registration_refused(refused)
            return
        older = [one for one in self._store.pairs() if one.path != pair.path]
        if older and refused.verdict is Verdict.REJOIN:
            _log.warning("the renewed certificate is refused, the older one serves on: %s", refused)
            self._store.drop(pair)
            return
        _log.error("this identity is refused: %s", refused)
        try:
            await self._register_again()
        except NoToken:
            _log.error(
                "there is no token to register again; %s",
                ASK_FOR_ONE,
            )
            await asyncio.sleep(self._settings.rejoin_pause_s * (0.5 + 0.5 * chance()))

    async def _register_again(self) -> None:
        try:
            await register(
                self._settings,
                self._store,
                self._vitals.readiness.possible,
                self._vitals.instance_id,
                self._time,
            )
        except Refused as refused:
            # An old token that admitted this agent before is still configured on most machines.
            _log.error("it cannot register again either: %s", refused)
            await asyncio.sleep(self._settings.rejoin_pause_s * (0.5 + 0.5 * chance()))
        except (Unreachable, OSError, IdentityUnusable, PinMismatch) as error:
            _log.warning("not registered again yet: %s", error)
            await asyncio.sleep(self._backoff.next_s(chance()))

    async def _registration_refused(self, refused: Refused) -> None:
        if refused.verdict is Verdict.LATER:
            _log.warning("not registered yet: %s", refused)
            await asyncio.sleep(max(refused.retry_after_s or 0.0, self._backoff.next_s(chance())))
            return
        raise CannotJoin(f"the server does not admit this agent: {refused}")


def apply_log_level(config: Config) -> None:
    """Log as much as the server asks for."""
    level = logging.getLevelNamesMapping().get((config.log_level or "").upper())
    if level is not None:
        logging.getLogger("stellwerk.agent").setLevel(level)
