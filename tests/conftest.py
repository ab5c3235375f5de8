"""Fixtures that all tests share: opened databases of both engines, a container engine, a cluster."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from stellwerk.database.database import Database, open_database
from stellwerk.settings import DatabaseSettings
from support.container_lab import Lab, NoEngine, open_lab
from support.kube_lab import KubeLab, NoCluster, hide_selected, open_kube_lab
from support.memory import in_memory
from support.postgres import NoPostgres, PostgresServer

if folder := in_memory():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))

hide_selected()

ENGINES = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process; also those of containers or a cluster, which share one."""
    for item in items:
        shared = next(
            (name for name in ("containers", "cluster") if item.get_closest_marker(name)), str(item.path)
        )
        item.add_marker(pytest.mark.xdist_group(shared))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole session."""
    try:
        server = PostgresServer()
    except NoPostgres as reason:
        pytest.skip(f"no PostgreSQL: {reason}")
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated database to copy: migrating takes several times as long as copying."""

    async def migrate() -> None:
        admin = await asyncpg.connect(postgres_server.url())
        await admin.execute("CREATE DATABASE migrated")
        await admin.close()
        folder = tmp_path_factory.mktemp("migrated")
        opened = await open_database(
            postgres_server.url("migrated"), data_dir=folder, settings=DatabaseSettings()
        )
        await opened.close()

    asyncio.run(migrate())
    return "migrated"


@pytest.fixture
async def postgres_url(
    postgres_server: PostgresServer, postgres_template: str, tmp_path: Path
) -> AsyncIterator[str]:
    """The URL of a database of the test's own, migrated and empty."""
    name = f"t{abs(hash(tmp_path))}"
    admin = await asyncpg.connect(postgres_server.url())
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    yield postgres_server.url(name)
    await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """What `open_database` takes, for each engine."""
    if request.param == "sqlite":
        return "sqlite"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """An opened, empty database of the test's own, of each engine."""
    opened = await open_database(database_url, data_dir=tmp_path / "data", settings=DatabaseSettings())
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def lab_or_reason() -> Iterator[Lab | NoEngine]:
    """A container engine and a registry for the whole session, or why there is none."""
    try:
        found = open_lab()
    except NoEngine as reason:
        yield reason
        return
    yield found
    found.take_down()


@pytest.fixture
def lab(lab_or_reason: Lab | NoEngine) -> Lab:
    """The engine and the registry; without them the test is skipped."""
    if isinstance(lab_or_reason, NoEngine):
        pytest.skip(f"no container engine: {lab_or_reason}")
    return lab_or_reason


@pytest.fixture(scope="session")
def cluster_or_reason() -> Iterator[KubeLab | NoCluster]:
    """A Kubernetes cluster for the whole session, or why there is none."""
    try:
        found = open_kube_lab()
    except NoCluster as reason:
        yield reason
        return
    yield found
    found.leave()


@pytest.fixture
def kubeconfig(cluster_or_reason: KubeLab | NoCluster) -> Path:
    """The administrator's kubeconfig of a real cluster; without one the test is skipped."""
    if isinstance(cluster_or_reason, NoCluster):
        pytest.skip(f"no cluster: {cluster_or_reason}")
    return cluster_or_reason.kubeconfig
