"""What is asked for: an application of three services, and seeded orders from state to state."""

import random
from dataclasses import dataclass

SERVICES = ("settings", "texts", "web")
MOST = 8
"""ConfigMaps of a service: enough that a kill may hit between two of them."""
CONFIGS = """\
{% for number in range(service.count) %}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ service.name }}-{{ number }}
data:
  marker: {{ service.marker | quote }}
{% endfor %}
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  annotations: {marker: {{ service.marker | quote }}}
spec:
  replicas: 1
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: localhost/busybox:1
          imagePullPolicy: IfNotPresent
          command: ["sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait"]
"""
FILES = {
    "stellwerk.yaml": "dependsOn:\n  web: [settings]\n",
    "settings/configs.yaml": CONFIGS,
    "texts/configs.yaml": CONFIGS,
    "web/deployment.yaml": DEPLOYMENT,
    "web/configs.yaml": CONFIGS,
}


@dataclass(frozen=True, slots=True)
class Order:
    """One operation that is asked for, known by its note."""

    note: str
    kind: str
    services: tuple[str, ...]
    """Empty for all."""
    count: int
    """ConfigMaps of each service; what was more before is removed."""
    revision: int = 0
    """Of a rollback."""

    @property
    def parameters(self) -> dict[str, object]:
        """What each service is rendered with."""
        return {name: {"marker": self.note, "count": self.count} for name in SERVICES}


def draw_orders(chance: random.Random, instance: str, count: int) -> list[Order]:
    """Draw the orders of an instance: the first brings everything, the last goes back to that."""
    first = Order(f"{instance}-0", "up", (), MOST)
    middle = [_draw(chance, f"{instance}-{number}") for number in range(1, count - 1)]
    return [first, *middle, Order(f"{instance}-{count - 1}", "rollback", (), 0, revision=1)]


def _draw(chance: random.Random, note: str) -> Order:
    kind = chance.choices(["up", "update", "down"], [6, 2, 2])[0]
    some = chance.randint(1, 2) if kind == "down" else chance.randint(1, len(SERVICES))
    services = tuple(sorted(chance.sample(SERVICES, some)))
    return Order(note, kind, services, chance.randint(1, MOST))
