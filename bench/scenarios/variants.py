"""Variants of a scenario by a seed: other names, another order, and noise beside the fault.

Seed 0 is the scenario as it is written. `%web%` stands for a name, `%WEB%` for the same as a part of a
variable's name, `%web~%` for the name misspelt by one letter, `%ns%` for the namespace.
"""

import random
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

import yaml

from bench.scenarios.noise import NOISE, crowd
from bench.scenarios.scenario import Scenario

PLACE = re.compile(r"%([a-zA-Z][a-zA-Z0-9]*(?:-[a-zA-Z0-9]+)*)(~?)%")
WORDS = (
    "amber",
    "basalt",
    "cedar",
    "delta",
    "ember",
    "falcon",
    "garnet",
    "harbor",
    "indigo",
    "juniper",
    "kestrel",
    "lagoon",
    "magnet",
    "nectar",
    "onyx",
    "pepper",
    "quartz",
    "raven",
    "saffron",
    "timber",
    "umber",
    "velvet",
    "willow",
    "xenon",
    "yarrow",
    "zephyr",
    "anchor",
    "bramble",
    "copper",
    "dahlia",
)


@dataclass
class Variant:
    """One scenario with its names."""

    scenario: Scenario
    seed: int
    namespace: str
    names: dict[str, str] = field(default_factory=dict)
    crowd: int = 0
    """Pods beside the fault, instead of other noise."""

    def fill(self, text: str) -> str:
        """Put the names in place of their placeholders."""
        return PLACE.sub(self._name, text)

    def manifests(self, file: str) -> list[dict[str, Any]]:
        """Return the objects of a file, in this variant's order."""
        bodies = [body for body in yaml.safe_load_all(self.fill(self.scenario.texts[file])) if body]
        if self.seed:
            random.Random(f"{self.seed}{file}").shuffle(bodies)
        return bodies

    def noise(self) -> list[dict[str, Any]]:
        """Return objects that have nothing to do with the fault."""
        if self.scenario.quiet:
            return []
        if self.crowd:
            return crowd(self.crowd)
        if not self.seed:
            return []
        chance = random.Random(f"noise{self.seed}{self.scenario.name}")
        chosen = chance.sample(sorted(NOISE), 2)
        return [
            body for at, kind in enumerate(chosen) for body in NOISE[kind](f"{chance.choice(WORDS)}-side{at}")
        ]

    def _name(self, match: re.Match[str]) -> str:
        place, misspelt = match[1], match[2]
        if place.isupper():
            return self._word(place.lower()).upper().replace("-", "_")
        word = self.namespace if place == "ns" else self._word(place)
        return word[:-2] + word[-1] if misspelt else word

    def _word(self, place: str) -> str:
        if place not in self.names:
            self.names[place] = self._draw(place)
        return self.names[place]

    def _draw(self, place: str) -> str:
        if not self.seed:
            return {"web": "webshop"}.get(place, place)
        chance = random.Random(f"{self.seed}{self.scenario.name}{place}")
        return (
            f"{chance.choice(WORDS)}-{place}"
            if chance.random() < 0.5
            else f"{chance.choice(WORDS)}{chance.randrange(10, 99)}"
        )


def variant(scenario: Scenario, seed: int, crowd: int = 0) -> Variant:
    """Return a scenario with names for a seed, in a namespace of its own."""
    return Variant(scenario, seed, f"s-{uuid.uuid4().hex[:8]}", crowd=crowd)
