"""pymacaroons: does to macaroons what a JSON line on standard input asks, and prints what comes of it.

    {"op": "read", "macaroon": BASE64, "key": HEX}     -> {"identifier", "caveats", "signature", "verified", "again"}
    {"op": "add", "macaroon": BASE64, "caveats": [..], "third_party": BOOL}     -> {"macaroon"}
    {"op": "mint", "key": HEX, "identifier": HEX, "location": TEXT, "caveats": [..], "version": 1 | 2}   -> {"macaroon"}

Whatever the library refuses is {"error": TEXT}.
"""

import base64
import json
import sys

from pymacaroons import MACAROON_V1, MACAROON_V2, Macaroon, Verifier
from pymacaroons.serializers.binary_serializer import BinarySerializer


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def load(ask):
    return BinarySerializer().deserialize_raw(base64.b64decode(ask["macaroon"]))


def dump(macaroon):
    return base64.b64encode(BinarySerializer().serialize_raw(macaroon)).decode()


def read(ask):
    macaroon = load(ask)
    verifier = Verifier()
    verifier.satisfy_general(lambda caveat: True)
    try:
        verified = verifier.verify(macaroon, bytes.fromhex(ask["key"]))
    except Exception:
        verified = False
    return {
        "identifier": macaroon.identifier_bytes.hex(),
        "caveats": [text(caveat.caveat_id_bytes) for caveat in macaroon.caveats],
        "signature": text(macaroon.signature),
        "verified": verified,
        "again": dump(macaroon),
    }


def add(ask):
    macaroon = load(ask)
    for caveat in ask["caveats"]:
        macaroon.add_first_party_caveat(caveat)
    if ask.get("third_party"):
        macaroon.add_third_party_caveat("https://elsewhere.example.com", "a key of theirs", "who says so")
    return {"macaroon": dump(macaroon)}


def mint(ask):
    identifier = bytes.fromhex(ask["identifier"])
    macaroon = Macaroon(
        location=ask["location"],
        identifier=identifier if ask["version"] == 2 else identifier.decode(),
        key=bytes.fromhex(ask["key"]),
        version=MACAROON_V2 if ask["version"] == 2 else MACAROON_V1,
    )
    for caveat in ask["caveats"]:
        macaroon.add_first_party_caveat(caveat)
    return {"macaroon": dump(macaroon)}


ask = json.load(sys.stdin)
try:
    answer = {"read": read, "add": add, "mint": mint}[ask["op"]](ask)
except Exception as error:
    answer = {"error": f"{type(error).__name__}: {error}"}
print(json.dumps(answer))
