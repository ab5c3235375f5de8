"""A primary and a standby that confirms every commit, behind names that stay: what a failover needs.

The names are two folders of sockets that lead to whichever servers there are, as names in DNS do. Commits are
acknowledged when the standby has them on its disk (`synchronous_standby_names`), so that losing the primary
with everything on it loses nothing acknowledged. Who was primary never comes back as one.
"""

import asyncio
import shutil
import tempfile
from pathlib import Path

import asyncpg

from support.postgres import PostgresServer


class Pair:
    """Two servers, of which one is the primary."""

    def __init__(self) -> None:
        self.names = Path(tempfile.mkdtemp(prefix="pg-names-", dir="/tmp"))
        self.names.chmod(0o755)
        self.primary = PostgresServer()
        self.failovers = 0
        self._lead(0, self.primary)
        try:
            self.standby = self._new_standby()
        except BaseException:
            self.remove()
            raise

    def url(self, database: str = "postgres") -> str:
        """Name both; whoever connects finds the primary."""
        hosts = f"{self.names}/0,{self.names}/1"
        return f"postgresql://postgres@/{database}?host={hosts}&port=5432,5432&target_session_attrs=primary"

    def fail_over(self) -> None:
        """Lose the primary, promote the standby, and give it a standby of its own."""
        lost = self.primary
        lost.lose()
        self.standby.promote()
        self.primary = self.standby
        self.failovers += 1
        lost.remove()
        self.standby = self._new_standby()

    def remove(self) -> None:
        for server in {self.primary, getattr(self, "standby", self.primary)}:
            server.remove()
        shutil.rmtree(self.names, ignore_errors=True)

    def _new_standby(self) -> PostgresServer:
        standby = PostgresServer(primary=self.primary)
        self._lead((self.failovers + 1) % 2, standby)
        asyncio.run(self._confirm())
        return standby

    def _lead(self, number: int, server: PostgresServer) -> None:
        name = self.names / str(number)
        name.unlink(missing_ok=True)
        name.symlink_to(server.folder)

    async def _confirm(self) -> None:
        """Let commits wait for the standby from now on."""
        connection = await asyncpg.connect(self.primary.url())
        try:
            await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            await connection.execute("SELECT pg_reload_conf()")
            async with asyncio.timeout(30):
                # It is another process that changes it.
                while not await connection.fetchval(  # noqa: ASYNC110
                    "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
                ):
                    await asyncio.sleep(0.05)
        finally:
            await connection.close()
