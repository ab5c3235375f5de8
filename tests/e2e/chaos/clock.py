"""The clock of a server's machine jumps: libfaketime answers the process's questions for the time of day.

What counts elapsed time (CLOCK_MONOTONIC) goes on as it is, as on a real machine whose clock is set.
"""

import os
import random
import time
from pathlib import Path

from e2e.chaos.faults import Fault, kill_server, kill_worker
from e2e.chaos.sites import Site, single

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
FAR_S = (20.0, 7_200.0)
NEAR_S = (1.0, 20.0)
WHILE_S = (1.2, 3.0)
"""libfaketime looks into its file once a second; each time would cost more than the server does."""


def clocked(folder: Path) -> Site:
    """Make a site of one server whose clock is read from a file."""
    site = single(folder)
    (folder / "clock").write_text("+0")
    site.servers[0].environment = {
        **os.environ,
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    return site


def set_clock(site: Site, offset_s: float) -> None:
    new = site.folder / "clock.new"
    new.write_text(f"{offset_s:+.3f}")
    new.replace(site.folder / "clock")


def jump_ahead(site: Site, chance: random.Random) -> None:
    """Set the clock ahead for a while, then right."""
    set_clock(site, chance.uniform(*FAR_S))
    time.sleep(chance.uniform(*WHILE_S))
    set_clock(site, 0.0)


def jump_back(site: Site, chance: random.Random) -> None:
    """Set the clock back for a while, then right."""
    set_clock(site, -chance.uniform(*FAR_S))
    time.sleep(chance.uniform(*WHILE_S))
    set_clock(site, 0.0)


def drift(site: Site, chance: random.Random) -> None:
    """Set the clock a little wrong, as a machine's without time service is, and leave it so."""
    set_clock(site, chance.choice([-1, 1]) * chance.uniform(*NEAR_S))


FAULTS = (
    Fault("clock ahead and right again", jump_ahead, 2, kills=0),
    Fault("clock back and right again", jump_back, 2, kills=0),
    Fault("clock a little wrong", drift, 2, kills=0),
    Fault("server", kill_server),
    Fault("worker", kill_worker),
)
