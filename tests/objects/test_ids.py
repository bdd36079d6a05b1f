"""Object ids against their rules (LC-1 to LC-5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.ids import RANDOM_BYTES, DurableObjectId, id_from_name, id_from_string, new_unique_id


def test_the_same_name_gives_the_same_id_in_one_namespace_and_another_elsewhere() -> None:
    """LC-1, LC-3."""
    here = id_from_name("COUNTER", "c1")
    assert here == id_from_name("COUNTER", "c1")
    assert here != id_from_name("COUNTER", "c2")
    assert here != id_from_name("OTHER", "c1")


def test_ids_do_not_change_between_releases() -> None:
    """Stored ids and tapes name objects by them."""
    assert str(id_from_name("COUNTER", "c1")) == GOLDEN
    assert str(new_unique_id("COUNTER", bytes(range(16)))).startswith("000102030405060708090a0b0c0d0e0f")


GOLDEN = "bcfabbae8c1bb42b3620a9031cb6156ca8dfb67bb77000f0750865e78ebb2318"


@given(st.text(), st.text())
def test_an_id_is_64_lower_case_hex_digits_and_reads_back(key: str, name: str) -> None:
    """LC-2, LC-4, LC-5: reading loses the name and nothing else.  Any text is a name."""
    made = id_from_name(key, name)
    assert len(made.hex) == 64
    assert made.hex == made.hex.lower()
    assert made.name == name
    read = id_from_string(key, str(made))
    assert read == made
    assert read.equals(made)
    assert read.name is None
    assert id_from_string(key, made.hex.upper()) == made


def test_a_name_may_be_a_lone_surrogate() -> None:
    """Any JavaScript string is a name."""
    assert id_from_name("K", "\ud800") != id_from_name("K", "\ud801")


@given(st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES))
def test_a_unique_id_has_no_name_and_belongs_to_its_namespace(random: bytes) -> None:
    """LC-2, LC-5."""
    made = new_unique_id("COUNTER", random)
    assert made.name is None
    assert id_from_string("COUNTER", made.hex) == made
    with pytest.raises(TypeError, match=r"^Durable Object ID is not valid for this namespace\.$"):
        id_from_string("OTHER", made.hex)


@pytest.mark.parametrize(
    "text", ["", "xyz", "0" * 63, "0" * 65, "g" * 64, " " + "0" * 63, "0" * 64 + "\n", "٠" * 64, "0x" + "0" * 62]
)
def test_anything_but_64_hex_digits_is_refused(text: str) -> None:
    """LC-4."""
    with pytest.raises(TypeError, match=r"^Invalid Durable Object ID: must be 64 hex digits$"):
        id_from_string("COUNTER", text)


@given(st.integers(0, 63))
def test_a_changed_digit_is_noticed(position: int) -> None:
    """LC-2: the second half vouches for the first."""
    text = id_from_name("COUNTER", "c1").hex
    digit = "0" if text[position] != "0" else "1"
    with pytest.raises(TypeError, match="not valid for this namespace"):
        id_from_string("COUNTER", text[:position] + digit + text[position + 1 :])


def test_equality_and_dictionary_keys_ignore_the_name() -> None:
    named = id_from_name("COUNTER", "")
    assert named.name == ""
    nameless = DurableObjectId(named.hex)
    assert named == nameless
    assert {named: 1}[nameless] == 1


def test_the_wrong_number_of_random_bytes_is_our_own_mistake() -> None:
    with pytest.raises(SimulatorError, match="got 3 random bytes"):
        new_unique_id("COUNTER", b"abc")
