"""Texts that anybody may write into the cluster hold nobody up: time grows with their length."""

import pytest

from stellwerk.inquiry.analyzers import clues
from stellwerk.inquiry.evidence.fencing import instructions
from stellwerk.inquiry.evidence.masking import LONGEST_TEXT, MASK, mask_text, masked
from stellwerk.inquiry.linking.passing import past_trouble
from support.bundles import event, facts, log, pod, ref, workload

LENGTH = 60_000
PATTERNS = (
    "x",
    "a-",
    "a.",
    "a_",
    "eyJxxxxxxxxx-",
    "x://",
    "://a:",
    "=",
    "#",
    " ",
    "< ",
    "system ",
    "password_",
    "password ",
    "token=",
    "Bearer ",
    "-----BEGIN ",
    "1.",
    "a:",
    "error ",
    "\\",
    '"',
    "http://a.",
)
TEXTS = [(one * LENGTH)[:LENGTH] for one in PATTERNS] + [
    "system" + " " * LENGTH + ":",
    "<" + " " * LENGTH + "x",
    "=" * LENGTH + "x",
    "password" + " " * LENGTH + "x",
]


@pytest.mark.timeout(60)
def test_masking_and_marking_take_time_in_proportion_to_a_text():
    for text in TEXTS:
        mask_text(text)
        list(instructions(text))


@pytest.mark.timeout(100)
def test_logs_and_events_of_any_form_are_examined_in_time():
    for text in TEXTS:
        line = text[:2_000]  # what is kept of a line
        found = facts(
            *workload("web", template={"containers": [{"name": "main", "args": [line], "env": []}]}),
            pod("web-1-a", owner="web", spec={"containers": [{"name": "main", "args": [line]}]}),
            event("Pod", "web-1-a", "Unhealthy", text[:1_024]),
            logs=(log("web-1-a", f"error {line}\n" * 10),),
        )
        clues(found)
        past_trouble(found, ref("Deployment", "web"))


def test_text_that_is_too_long_is_cut_after_its_secrets_were_masked():
    secret = "postgres://shop:" + "s3cret" * 20 + "@db/shop"
    note = "x" * (LONGEST_TEXT - 60) + " " + secret + " " + "y" * 100
    kept = masked({"kind": "Pod", "metadata": {"annotations": {"a": note}}})["metadata"]["annotations"]["a"]

    assert kept.startswith("xxx")
    assert len(kept) < len(note)
    assert "s3cret" not in kept
    assert MASK in kept
