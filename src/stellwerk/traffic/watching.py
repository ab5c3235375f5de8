"""Watch over executions that are under way: deaths, departures, stops, and those of which nothing is heard.

Theory of operation. What an agent promised to report ends with its process, and processes end in three ways:

- dead: nobody listens at the address, or nothing was heard for so long that the instance is offline. What it
  had is taken back at once: repeated if it may be, else lost.
- departed: it announced its end. It keeps what it has for `traffic.drain_grace_s`, because it works on.
- replaced: another process registered under its address. What may be repeated is taken back at once; for the
  rest the old process may still be draining, so it has the same grace.

An instance that is late while it has executions is asked whether it is there. Signs of life renew the leases
of what an instance has, so the database's own sweep is what remains when this process, too, is gone.

Whatever is to stop (somebody cancelled it, its time is over) is told to the agent; the agent's word, or a
short wait, ends it. And executions that were sent by a process that died before it heard the answer are
taken back once every answer would have been there.

A turn reads everything afresh; it is due each second, and when somebody is known to be dead or to wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.fleet.model import BASE_URL, AgentView, InstanceView, Presence
from stellwerk.fleet.service import Fleet
from stellwerk.loop import Loop
from stellwerk.settings import TrafficSettings
from stellwerk.traffic import store
from stellwerk.traffic.dialling import AnswerLost, DialForbidden, Dialler, NotDialled
from stellwerk.traffic.flights import Flight, Flights, Key
from stellwerk.traffic.store import Held
from stellwerk.work.refusals import WorkRefused
from stellwerk.work.service import Work
from stellwerk.work.task import Holder

TURN_S = 1.0
RENEW_US = 20 * MICROSECONDS
"""Leases last 90 s and are renewed when a third of that is gone."""
UNHEARD_EVERY_US = 15 * MICROSECONDS
UNHEARD_MORE_S = 30.0
"""What an execution may be silent beyond the longest answer, before it is taken back."""
STOP_CALL_S = 5.0
STOP_WAIT_S = 5.0
"""How long an agent that does not know an execution may still be about to report it."""
PROBE_S = 5.0
AT_ONCE = 200

_log = structlog.get_logger(__name__)
_FAULTS = (NotDialled, AnswerLost, DialForbidden)


class _Cancelled(msgspec.Struct):
    cancelled: bool = False


class Watch:
    """See the module. All methods belong to the event loop."""

    def __init__(
        self,
        database: Database,
        fleet: Fleet,
        work: Work,
        flights: Flights,
        dialler: Dialler,
        *,
        settings: TrafficSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._work = work
        self._flights = flights
        self._dialler = dialler
        self._settings = settings
        self._clock = clock
        self._grace_us = int(settings.drain_grace_s * MICROSECONDS)
        self._departed: dict[Key, int] = {}
        """Until when those who announced their end, or were replaced, may report."""
        self._leaving: dict[str, int] = {}
        """Groups of which some instance announced its end, nobody knows which; until when it counts."""
        self._dead: set[Key] = set()
        self._heard: dict[Key, None] = {}
        self._renewed: dict[Key, int] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._probing: dict[Key, asyncio.Task[None]] = {}
        self._unheard_at = 0
        self._others: list[Callable[[], Awaitable[None]]] = []
        self.loop = Loop("traffic.watch", self._run)

    async def stop(self) -> None:
        """End; again is no error."""
        await self.loop.stop()
        tasks = [*self._stopping.values(), *self._probing.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def heard(self, key: Key) -> None:
        """Note a sign of life."""
        if self._renewed.get(key, 0) + RENEW_US <= self._clock.now_us():
            self._heard[key] = None

    def gone(self, key: Key) -> None:
        """Note that nobody listens at the address of an instance any more."""
        now_us = self._clock.now_us()
        if self._leaving.get(key[0], 0) > now_us:
            self._departed.setdefault(key, now_us + self._grace_us)
        if key not in self._departed:
            self._dead.add(key)
            self.loop.wake()

    def leaves(self, group: str, instance: str | None) -> None:
        """Note an announced end; None: of one of the group's instances."""
        until = self._clock.now_us() + self._grace_us
        if instance is None:
            self._leaving[group] = until
        else:
            self._departed[(group, instance)] = until

    def departed(self, group: str) -> list[str]:
        """List the instances of a group that announced their end."""
        return [instance for name, instance in self._departed if name == group]

    def back(self, key: Key) -> None:
        """Note that an instance registered again."""
        self._departed.pop(key, None)

    def also(self, task: Callable[[], Awaitable[None]]) -> None:
        """Let something be done with every turn."""
        self._others.append(task)

    async def turn(self) -> None:
        """Do everything that is due. Raises DatabaseUnavailable."""
        now_us = self._clock.now_us()
        for key in self._flights.instances():
            await self._judge(key, now_us)
        self._dead.clear()
        await self._take_back_orphans(now_us)
        await self._renew(now_us)
        await self._stop_some()
        if self._unheard_at <= now_us:
            self._unheard_at = now_us + UNHEARD_EVERY_US
            await self._take_back_unheard(now_us)
        self._forget_old(now_us)
        for other in self._others:
            await other()

    async def _run(self) -> None:
        while await self.loop.rest(TURN_S):
            try:
                await self.turn()
            except DatabaseUnavailable as unavailable:
                _log.warning("executions are watched later", detail=unavailable.detail)
                await self.loop.pause(unavailable.retry_after_s)

    async def _judge(self, key: Key, now_us: int) -> None:
        """Decide what becomes of the executions of one instance."""
        flights = self._flights.of_instance(key)
        until = self._departed.get(key)
        if until is not None:
            if until <= now_us:
                await self._take_back(flights)
            return
        view = self._fleet.get(key[0])
        one = None if view is None else _instance(view, key[1])
        if key in self._dead or (one is not None and one.presence is Presence.OFFLINE):
            await self._take_back(flight for flight in flights if not (key in self._dead and flight.dialling))
        elif one is None:
            self._departed[key] = now_us + self._grace_us
            await self._take_back(flight for flight in flights if flight.repeatable)
        elif one.presence is Presence.LATE:
            self._probe(key)

    async def _take_back(self, flights: Iterable[Flight]) -> None:
        for flight in flights:
            await self._forget(Held(flight.id, flight.fence, flight.holder))

    async def _forget(self, held: Held) -> None:
        try:
            await self._work.forget(held.holder, held.task_id, held.fence, at_once=True)
        except WorkRefused as refused:
            _log.debug("an execution had ended already", execution=held.task_id, why=str(refused))
            self._flights.remove(held.task_id)

    async def _take_back_orphans(self, now_us: int) -> None:
        orphans = [
            flight
            for flight in self._flights
            if flight.orphan_until is not None and (flight.repeatable or flight.orphan_until <= now_us)
        ]
        await self._take_back(orphans)

    async def _take_back_unheard(self, now_us: int) -> None:
        before = now_us - int((self._settings.answer_s + UNHEARD_MORE_S) * MICROSECONDS)
        for held in await self._database.read(lambda: store.read_unheard(before, AT_ONCE)):
            flight = self._flights.get(held.task_id)
            if flight is None or not (flight.accepted or flight.dialling):
                await self._forget(held)

    async def _renew(self, now_us: int) -> None:
        heard, self._heard = self._heard, {}
        for key in (*heard, *self._flights.instances()):
            if self._renewed.get(key, 0) + RENEW_US <= now_us and key not in self._departed:
                self._renewed[key] = now_us
                await self._work.heartbeat(Holder(*key))

    def _probe(self, key: Key) -> None:
        address = self._address_of(Holder(*key))
        if address is not None and key not in self._probing:
            task = self._probing[key] = asyncio.create_task(self._ask(key, address))
            task.add_done_callback(lambda _: self._probing.pop(key, None))

    async def _ask(self, key: Key, address: str) -> None:
        try:
            await self._dialler.get(f"{address}/status", PROBE_S)
        except NotDialled as fault:
            if fault.refused:
                self.gone(key)
        except _FAULTS:
            return

    async def _stop_some(self) -> None:
        for held in await self._database.read(lambda: store.read_stopping(AT_ONCE)):
            if held.task_id not in self._stopping:
                task = self._stopping[held.task_id] = asyncio.create_task(self._stop(held))
                task.add_done_callback(
                    lambda _, stopped=held.task_id: self._stopping.pop(stopped, None)  # type: ignore[misc]
                )

    async def _stop(self, held: Held) -> None:
        """Tell the agent to stop, and end the execution by its word or after a short wait."""
        address = self._address_of(held.holder)
        try:
            if address is not None and not await self._agrees(held, address):
                await asyncio.sleep(STOP_WAIT_S)
            await self._work.confirm_cancelled(held.holder, held.task_id, held.fence)
        except WorkRefused as refused:
            _log.debug("an execution ended otherwise", execution=held.task_id, why=str(refused))
        except DatabaseUnavailable as unavailable:
            _log.warning("an execution is stopped later", detail=unavailable.detail)

    async def _agrees(self, held: Held, address: str) -> bool:
        """Ask the agent to stop; tell whether nothing more is to be waited for."""
        url = f"{address}/_internal/executions/{held.task_id}/cancel"
        try:
            answer = await self._dialler.post(url, b"{}", {"Content-Type": "application/json"}, STOP_CALL_S)
        except (NotDialled, DialForbidden):
            return True
        except AnswerLost:
            return False
        try:
            return msgspec.json.decode(answer.body, type=_Cancelled).cancelled
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False

    def _forget_old(self, now_us: int) -> None:
        for key in [key for key, until in self._departed.items() if until + self._grace_us <= now_us]:
            del self._departed[key]
        for group in [group for group, until in self._leaving.items() if until <= now_us]:
            del self._leaving[group]
        for key in [key for key, at in self._renewed.items() if at + 4 * RENEW_US <= now_us]:
            del self._renewed[key]

    def _address_of(self, holder: Holder) -> str | None:
        view = self._fleet.get(holder.group)
        one = None if view is None else view.instance(holder.instance)
        return None if one is None else one.endpoints.get(BASE_URL)


def _instance(view: AgentView, name: str) -> InstanceView | None:
    return next((one for one in view.instances if one.instance == name), None)
