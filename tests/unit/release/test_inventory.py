"""The inventory is never behind what is in the cluster, and survives the loss of one copy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellwerk.release.inventory import (
    Entry,
    Inventory,
    InventoryUnreadable,
    from_object,
    newest,
    to_object,
)
from stellwerk.release.objects import Key
from stellwerk.release.ownership import KEEP
from support.worlds import US, body, manifest, patient

names = st.sampled_from(["a", "b", "c-d"])
keys = st.builds(Key, names | st.just(""), names, names, names | st.just(""))
entries = st.builds(Entry, names, names, names, names, st.booleans(), st.booleans())
inventories = st.builds(Inventory, st.dictionaries(keys, entries), st.integers(0, 9))


@patient
@given(inventories)
def test_what_is_stored_in_the_cluster_is_read_again(inventory: Inventory) -> None:
    assert from_object(to_object(inventory, US, "shop")) == inventory


@patient
@given(st.lists(inventories))
def test_the_copy_with_the_highest_serial_holds(copies: list[Inventory]) -> None:
    assert newest(copies).serial == max((copy.serial for copy in copies), default=0)


def test_an_object_is_known_before_and_after_it_is_applied() -> None:
    one = manifest(body(annotations={KEEP: "true"}))
    intended = Inventory().intending([one])
    assert intended == Inventory({one.key: Entry("web", "v1", keep=True)}, 1)
    done = intended.applied([(one, "u-1")])
    assert done == Inventory({one.key: Entry("web", "v1", one.hash, "u-1", keep=True)}, 2)
    assert done.without([one.key]) == Inventory({}, 3)
    assert done.applied([(one, "u-1")]) is done


def test_an_intention_forgets_what_was_applied_but_not_whose_it_was() -> None:
    one = manifest(body())
    done = Inventory().intending([one], {one.key}).applied([(one, "u-1")])
    entry = done.intending([one]).entries[one.key]
    assert (entry.hash, entry.uid, entry.adopted) == ("", "u-1", True)


@pytest.mark.parametrize("damage", [{"web": "["}, {"web": '[[["a"],"v1"]]'}])
def test_a_damaged_inventory_is_not_taken_for_an_empty_one(damage: dict[str, str]) -> None:
    stored = to_object(Inventory({Key("", "a", "b"): Entry("web", "v1")}, 3), US, "shop")
    with pytest.raises(InventoryUnreadable):
        from_object(stored | {"data": damage})
    stored["metadata"]["annotations"].pop("stellwerk.dev/inventory")
    with pytest.raises(InventoryUnreadable):
        from_object(stored)
