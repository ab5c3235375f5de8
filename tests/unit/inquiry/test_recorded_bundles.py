"""What was seen of real faults is concluded as it should be, without a cluster."""

from pathlib import Path

import msgspec
import pytest
from bench.scenarios.recording import read
from bench.scenarios.scenario import load_all
from bench.scenarios.scoring import score
from bench.scenarios.variants import Variant

from stellwerk.inquiry.linking.concluding import conclude
from stellwerk.inquiry.model import Conclusion

BUNDLES = sorted((Path(__file__).parent / "bundles").glob("*.json.gz"))
SCENARIOS = {one.name: one for one in load_all()}


@pytest.mark.parametrize("file", BUNDLES, ids=lambda file: file.name.removesuffix(".json.gz"))
def test_a_recorded_fault_is_concluded_as_its_scenario_expects(file: Path) -> None:
    recorded = read(file)
    variant = Variant(SCENARIOS[recorded.scenario], recorded.seed, recorded.namespace, dict(recorded.names))

    found = score(variant, recorded.bundle, conclude(recorded.bundle))

    assert (found.answer, found.right) == (found.answer, True), found.expected
    assert found.evidence
    assert not found.accused


@pytest.mark.parametrize("file", BUNDLES[::10], ids=lambda file: file.name.removesuffix(".json.gz"))
def test_a_conclusion_can_be_stored_and_is_the_same_every_time(file: Path) -> None:
    bundle = read(file).bundle
    first = conclude(bundle)

    assert msgspec.json.decode(msgspec.json.encode(first), type=Conclusion) == first
    assert conclude(bundle) == first


@pytest.mark.parametrize("file", BUNDLES, ids=lambda file: file.name.removesuffix(".json.gz"))
def test_every_claim_is_tied_to_evidence(file: Path) -> None:
    found = conclude(read(file).bundle)
    known = {one.id for one in found.evidence}

    assert all(one.evidence and set(one.evidence) <= known for one in (*found.findings, *found.causal_chain))


def test_every_scenario_was_recorded() -> None:
    assert {file.name.partition(".")[0] for file in BUNDLES} == set(SCENARIOS)
