"""Tokens and keys: what is signed is verified, and nothing else is (AU-1 to AU-5)."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim.auth import (
    KeyPair,
    create_jwt_payload,
    import_private_key,
    import_public_key,
    parse_jwt_unsafe,
    sign_jwt,
    verify_jwt,
    verify_jwt_with_rotation,
)
from lumenize_sim.auth.keys import primary_slot, public_keys
from lumenize_sim.auth.tokens import hash_string, random_string
from lumenize_sim.errors import AppError, UsageError
from lumenize_sim.routing.keeper import is_admitted

BLUE, GREEN, FOREIGN = (KeyPair.from_seed(seed) for seed in ("blue", "green", "foreign"))
NOW_MS = 1_767_225_600_500
NOW_S = NOW_MS // 1000


def claims(**changes: Any) -> dict[str, Any]:
    made = create_jwt_payload(
        issuer="https://lumenize.local", audience="https://lumenize.local", subject="u1", expires_in_s=900,
        now_ms=NOW_MS, token_id="t1", email_verified=True, admin_approved=False,
    )  # fmt: skip
    return {**made, **changes}


def signed(pair: KeyPair = BLUE, kid: str = "BLUE", **changes: Any) -> str:
    return sign_jwt(claims(**changes), import_private_key(pair.private_key), kid)


def verified(token: str, *pairs: KeyPair, now_ms: int = NOW_MS) -> dict[str, Any] | None:
    keys = [import_public_key(pair.public_key) for pair in pairs or (BLUE,)]
    return verify_jwt_with_rotation(token, keys, now_ms=now_ms)


def part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(payload: bytes, header: Any = None) -> str:
    """Signed with the right key, whatever it says."""
    head = part(header if header is not None else {"alg": "EdDSA", "typ": "JWT", "kid": "BLUE"})
    signature = import_private_key(BLUE.private_key).sign(f"{head}.{part(payload)}".encode())
    return f"{head}.{part(payload)}.{part(signature)}"


# -- AU-1


def test_header_and_claims_stand_in_the_order_of_the_original() -> None:
    """AU-1: byte for byte, without padding; a flag that says nothing is not there."""
    token = signed()
    header, payload, _ = token.split(".")
    assert "=" not in token
    assert base64.urlsafe_b64decode(header + "==") == b'{"alg":"EdDSA","typ":"JWT","kid":"BLUE"}'
    text = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()
    assert text == (
        '{"iss":"https://lumenize.local","aud":"https://lumenize.local","sub":"u1",'
        f'"exp":{NOW_S + 900},"iat":{NOW_S},"jti":"t1","emailVerified":true,"adminApproved":false}}'
    )
    more = create_jwt_payload(
        issuer="i", audience="a", subject="s", expires_in_s=1, now_ms=0, token_id="t", email_verified=True,
        admin_approved=True, is_admin=True, act={"sub": "actor"},
    )  # fmt: skip
    assert list(more)[-2:] == ["isAdmin", "act"]
    assert more["act"] == {"sub": "actor"}


def test_other_libraries_read_and_verify_them() -> None:
    """AU-1: a plain PyJWT with the public key."""
    read = jwt.decode(
        signed(exp=4_000_000_000), import_public_key(BLUE.public_key), ["EdDSA"], audience="https://lumenize.local",
        options={"verify_iat": False},
    )  # fmt: skip
    assert read["sub"] == "u1"


# -- AU-2


def test_a_token_is_valid_up_to_its_last_second() -> None:
    """AU-2: `exp` equal to the current second still holds; the real clock is never asked."""
    token = signed(exp=NOW_S)
    assert verified(token) is not None
    assert verified(token, now_ms=NOW_MS + 499) is not None
    assert verified(token, now_ms=NOW_MS + 500) is None
    assert verified(token, now_ms=0) is not None
    assert verified(signed(exp=None)) is not None
    assert verified(signed(exp=0)) is not None


def test_a_token_that_is_not_valid_yet_is_refused() -> None:
    """Beyond AU-2: we sign none with `nbf`, and nobody can expect one from the future to hold."""
    assert verified(signed(nbf=NOW_S + 1)) is None
    assert verified(signed(nbf=NOW_S)) is not None


@pytest.mark.parametrize("times", [{"exp": "soon"}, {"exp": [1]}, {"exp": True}, {"nbf": "x"}, {"exp": {}}])
def test_times_that_are_no_numbers_are_malformed(times: dict[str, Any]) -> None:
    """AU-2."""
    assert verified(signed(**times)) is None


def test_keys_are_tried_blue_then_green_and_the_kid_is_not_asked() -> None:
    """AU-2: a swapped kid changes nothing, in either direction."""
    for kid in ("BLUE", "GREEN", "../../etc", ""):
        assert verified(signed(BLUE, kid), BLUE, GREEN) is not None
        assert verified(signed(GREEN, kid), BLUE, GREEN) is not None
        assert verified(signed(FOREIGN, kid), BLUE, GREEN) is None
        assert verified(signed(GREEN, kid), BLUE) is None
    assert verify_jwt(signed(), import_public_key(BLUE.public_key), now_ms=NOW_MS) == claims()


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS256", "ES256", "RS256", "EdDSA2"])
def test_no_other_algorithm_is_accepted(algorithm: str) -> None:
    """AU-2: least of all none at all, or a public key taken for a shared secret."""
    head, body = part({"alg": algorithm, "typ": "JWT", "kid": "BLUE"}), part(claims())
    right = import_private_key(BLUE.private_key).sign(f"{head}.{body}".encode())
    for signature in ("", part(b""), part(right)):
        assert verified(f"{head}.{body}.{signature}", BLUE) is None
    if algorithm == "HS256":
        import hashlib
        import hmac

        raw = import_public_key(BLUE.public_key).public_bytes_raw()
        for secret in (BLUE.public_key.encode(), raw):
            mac = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()
            assert verified(f"{head}.{body}.{part(mac)}", BLUE) is None


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "EdDSA", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}},
        {"alg": "EdDSA", "b64": False, "crit": ["b64"]},
        {"alg": "EdDSA", "crit": ["x"], "x": 1},
        {"alg": ["EdDSA"]},
        {"typ": "JWT"},
        [],
        7,
    ],
)
def test_a_header_cannot_bring_a_key_or_change_the_rules(header: Any) -> None:
    """AU-2: keys come from the environment, and what is marked critical must be understood."""
    attacker = import_private_key(FOREIGN.private_key)
    head, body = part(header), part(claims())
    assert verified(f"{head}.{body}.{part(attacker.sign(f'{head}.{body}'.encode()))}", BLUE) is None
    if not isinstance(header, dict) or "jwk" not in header:
        assert verified(forged(json.dumps(claims()).encode(), header), BLUE) is None


@pytest.mark.parametrize(
    "payload", [b"", b"null", b"[]", b'"x"', b"7", b"{", b"\xff\xfe", b'{"exp":NaN}', b'{"a":Infinity}', b"[" * 5000]
)
def test_a_signed_payload_that_is_no_object_is_malformed(payload: bytes) -> None:
    """AU-2: it is JSON as JavaScript reads it, or nothing."""
    assert verified(forged(payload)) is None


TOKEN = signed()


@given(st.data())
def test_a_changed_token_is_never_accepted(data: st.DataObject) -> None:
    """AU-2: one character replaced, dropped or added anywhere; what still verifies has the same claims.

    (The last character of a signature has bits that say nothing.)
    """
    position = data.draw(st.integers(0, len(TOKEN)))
    drop = data.draw(st.integers(0, 2))
    insert = data.draw(st.text("ABCxyz019-_=. {}\n", max_size=3))
    changed = TOKEN[:position] + insert + TOKEN[position + drop :]
    assert verified(changed) in (None, claims())
    if "." in insert or changed.rpartition(".")[0] != TOKEN.rpartition(".")[0]:
        assert verified(changed) is None


ANYTHING = st.text(max_size=60) | st.text("eyJ.=_-AB", max_size=60) | st.binary(max_size=40).map(part)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(ANYTHING | JSONS.map(part), min_size=1, max_size=4).map(".".join))
def test_hostile_tokens_neither_crash_nor_pass(token: str) -> None:
    """AU-2, AU-3: whatever text it is, lone surrogates included."""
    assert verified(token, BLUE, GREEN) is None
    parsed = parse_jwt_unsafe(token)
    assert parsed is None or all(isinstance(side, dict) for side in parsed)


@given(st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "aud", "sub", "isAdmin", "x"]), JSONS, max_size=5))
def test_signed_claims_of_any_kind_neither_crash_nor_change(given_claims: dict[str, Any]) -> None:
    """AU-2: also where our own key has signed something odd."""
    try:
        payload = json.dumps(given_claims).encode()
    except (UnicodeEncodeError, ValueError):
        return
    found = verified(forged(payload))
    assert found is None or found == json.loads(payload)


# -- AU-3, AU-4


def test_parsing_without_verification_says_what_a_token_claims() -> None:
    """AU-3: also a forged one; three parts or nothing."""
    assert parse_jwt_unsafe(signed(FOREIGN)) == ({"alg": "EdDSA", "typ": "JWT", "kid": "BLUE"}, claims())
    for bad in ("", "a.b", "a.b.c.d", "!.!.!", f"{part([])}.{part({})}.x", f"{part({})}.{part(None)}.x"):
        assert parse_jwt_unsafe(bad) is None


@pytest.mark.parametrize(
    "flags, admitted",
    [
        ({}, False),
        ({"emailVerified": True}, False),
        ({"adminApproved": True}, False),
        ({"emailVerified": True, "adminApproved": True}, True),
        ({"isAdmin": True}, True),
        ({"isAdmin": True, "emailVerified": False, "adminApproved": False}, True),
        ({"isAdmin": False, "emailVerified": True, "adminApproved": False}, False),
    ],
)
def test_the_gate_lets_administrators_and_approved_people_in(flags: dict[str, bool], admitted: bool) -> None:
    """AU-4."""
    assert is_admitted(flags) is admitted


# -- keys, AU-5


def test_rotation_keeps_old_tokens_valid_until_they_expire() -> None:
    """AU-5: the free slot is filled, signing switches, and only the removal of a public key ends its tokens."""
    old = signed(BLUE)
    env = {**BLUE.vars("BLUE"), **GREEN.vars("GREEN"), "PRIMARY_JWT_KEY": "GREEN"}
    assert verify_jwt_with_rotation(old, public_keys(env), now_ms=NOW_MS) is not None
    new = sign_jwt(claims(), import_private_key(env[f"JWT_PRIVATE_KEY_{primary_slot(env)}"]), primary_slot(env))
    assert verify_jwt_with_rotation(new, public_keys(env), now_ms=NOW_MS) is not None
    del env["JWT_PUBLIC_KEY_BLUE"]
    assert verify_jwt_with_rotation(old, public_keys(env), now_ms=NOW_MS) is None
    assert verify_jwt_with_rotation(new, public_keys(env), now_ms=NOW_MS) is not None


@pytest.mark.parametrize(
    "value, slot", [("GREEN", "GREEN"), ("BLUE", "BLUE"), (None, "BLUE"), ("green", "BLUE"), ("x", "BLUE")]
)
def test_any_value_but_green_means_blue(value: str | None, slot: str) -> None:
    """Section 14.1."""
    assert primary_slot({"PRIMARY_JWT_KEY": value}) == slot


def test_keys_are_read_with_literal_line_ends_too() -> None:
    """Section 14.1: as variables of an environment often have them, or on one line."""
    escaped = KeyPair(BLUE.private_key.replace("\n", "\\n"), BLUE.public_key.replace("\n", " "))
    token = sign_jwt(claims(), import_private_key(escaped.private_key), "BLUE")
    assert verify_jwt(token, import_public_key(escaped.public_key), now_ms=NOW_MS) is not None


def test_a_pair_from_a_seed_is_the_same_everywhere() -> None:
    """Determinism: signatures, too; the secret is not shown."""
    assert KeyPair.from_seed("blue") == BLUE
    assert BLUE.public_key.splitlines()[1] == "MCowBQYDK2VwAyEAyqKoe4SS5kjTiwrz7YZ4vGxHufz2sthaE+/JGMeySA8="
    assert signed() == signed()
    assert "PRIVATE" not in repr(BLUE)
    assert list(BLUE.vars("GREEN")) == ["JWT_PRIVATE_KEY_GREEN", "JWT_PUBLIC_KEY_GREEN"]


def test_what_is_no_ed25519_key_is_refused() -> None:
    """The message says what is expected, and never shows a private key."""
    curve, other = ec.generate_private_key(ec.SECP256R1()), ed448.Ed448PrivateKey.generate()
    for key in (curve, other):
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        with pytest.raises(AppError, match="no Ed25519 key in PKCS8") as caught:
            import_private_key(pem)
        assert pem.splitlines()[1] not in str(caught.value)
    for bad in ("", "nonsense", BLUE.private_key, "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----"):
        with pytest.raises(AppError, match=r"Ed25519|no PEM"):
            import_public_key(bad)
    with pytest.raises(AppError, match=r"Ed25519|no PEM"):
        import_private_key(BLUE.public_key)
    with pytest.raises(AppError, match="no text"):
        import_public_key(7)  # type: ignore[arg-type]  # the mistake under test
    assert public_keys({}) == ()


def test_random_strings_and_hashes() -> None:
    """AU-8, AU-25: 32 bytes, base64url; SHA-256."""
    assert random_string(random.Random(1)) == random_string(random.Random(1))
    assert len(random_string(random.Random(2))) == 43
    assert hash_string("abc") == "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
    assert hash_string("\ud800") == hash_string("?")


def test_without_its_libraries_the_room_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only whoever wants the room needs them; the error is one of both kinds."""
    for name in [name for name in sys.modules if name.startswith("lumenize_sim.auth")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(UsageError, match=r"install lumenize-sim\[auth\]") as caught:
        __import__("lumenize_sim.auth")
    assert isinstance(caught.value, ImportError)


_WITHOUT = """
import sys
sys.modules["jwt"] = sys.modules["cryptography"] = None
from lumenize_sim import LumenizeClient, Mesh, UsageError, scenario, simulate

@scenario(Mesh())
async def connects(world):
    await world.connect(LumenizeClient, sub="alice")
    assert (await world.fetch("/nowhere")).status == 404

assert simulate(connects).failure is None

@scenario(Mesh(vars={"JWT_PUBLIC_KEY_BLUE": "x"}))
async def needs_the_extra(world):
    await world.connect(LumenizeClient, sub="alice")

try:
    simulate(needs_the_extra)
except UsageError as error:
    print(error)
"""


def test_nobody_else_needs_the_libraries() -> None:
    """A world without keys signs tokens of its own; one with keys says what is missing."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", _WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "lumenize_sim.auth needs jwt and cryptography: install lumenize-sim[auth]\n"
