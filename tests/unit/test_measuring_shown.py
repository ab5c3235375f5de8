"""What readiness tells of Prometheus is how the last question ended."""

import pytest

from stellwerk.app.readiness import measuring
from stellwerk.inquiry.metrics.prometheus import MetricsUnavailable, Prometheus, Window
from support.prometheus import fake_prometheus, matrix

HOUR = Window(0, 3_600, 60)


async def test_state_of_prometheus_is_that_of_the_last_question():
    assert measuring(None)()[0] == "unselected"
    async with fake_prometheus(lambda request: matrix()) as fake:
        prometheus = Prometheus(fake.url)
        tell = measuring(prometheus)
        assert tell()[0] == "unknown"
        await prometheus.ask("up", HOUR, 5.0)
        assert tell()[0] == "available"
    with pytest.raises(MetricsUnavailable):
        await prometheus.ask("up", HOUR, 5.0)
    status, why = tell()
    assert (status, "ago" in why) == ("unavailable", True)
    await prometheus.close()
