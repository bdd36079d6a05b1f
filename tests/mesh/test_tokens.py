"""Tokens: the payload is read leniently, a local signature is checked strictly."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.mesh.tokens import decode_payload, mint_hs256, verify_hs256

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abé", max_size=3), inner, max_size=3),
    max_leaves=8,
)
CLAIMS = st.dictionaries(st.text("abcxyz", min_size=1, max_size=5).filter(lambda k: k != "exp"), JSON, max_size=5)


@settings(max_examples=60, deadline=None)
@given(claims=CLAIMS, secret=st.text("abc", min_size=1) | st.binary(min_size=1))
def test_what_was_minted_is_read_and_verified(claims: dict[str, object], secret: str | bytes) -> None:
    token = mint_hs256(claims, secret)
    assert decode_payload(token) == claims
    assert list(decode_payload(token)) == list(claims)
    assert verify_hs256(token, secret, now_s=0) == claims
    assert "=" not in token


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30))
def test_anything_else_is_a_clear_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"JWT|HS256"):
        verify_hs256(text, "k", now_s=0)


@pytest.mark.parametrize("bad", ["", "abc", "a.!.c", "a.YQ.c", "a._w.c", "a." + "W1tb" * 30_000 + ".c"])
def test_unreadable_payloads_are_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="not a JWT"):
        decode_payload(bad)


def test_payload_is_read_as_utf8_with_or_without_padding() -> None:
    assert decode_payload("x.eyJzIjoiw6kifQ.y") == {"s": "é"}
    assert decode_payload("x.eyJzIjoiw6kifQ==") == {"s": "é"}


@pytest.mark.parametrize(
    "token,text",
    [
        (mint_hs256({"sub": "a"}, "other"), "another secret"),
        (mint_hs256({"sub": "a"}, "k", header={"alg": "none"}), "not signed with HS256"),
        (mint_hs256({"exp": 99}, "k"), "expired at 99, now is 100"),
        (mint_hs256({"sub": "a"}, "k") + "x", r"not a JWT|another secret"),
    ],
)
def test_verification_refuses_other_secrets_algorithms_and_times(token: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        verify_hs256(token, "k", now_s=100.9)


def test_a_token_is_valid_in_the_second_it_expires() -> None:
    """AU-2."""
    assert verify_hs256(mint_hs256({"exp": 100}, "k"), "k", now_s=100.9) == {"exp": 100}


def test_a_payload_that_is_no_object_is_refused() -> None:
    head, _, _ = mint_hs256({}, "k").split(".")
    from lumenize_sim.mesh import tokens

    signed = f"{head}.WzFd"
    token = f"{signed}.{tokens._to_base64url(tokens._signature(signed, 'k'))}"
    with pytest.raises(ValueError, match="not an object"):
        verify_hs256(token, "k", now_s=0)


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        mint_hs256({}, "")
