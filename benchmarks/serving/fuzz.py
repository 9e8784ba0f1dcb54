"""A client that sends malformed bodies and prints how often each status was returned.

``python fuzz.py <url> <model_dir> <bodies> <seed>``

A body is a valid one of any format that was cut, spliced with another or had bytes changed; some have a wrong content
type.
"""

from __future__ import annotations

import http.client
import json
import sys
from collections import Counter
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "entry")]

from tests.endpoint.bodies import FORMS  # noqa: E402
from tests.endpoint.target import Target  # noqa: E402

MARKS = [
    b"null",
    b"NaN",
    b"1e999",
    b"-",
    b'"',
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b"\n",
    b"\0",
    b"\xff",
    b"\x93NUMPY",
    b"PAR1",
]


def malformed(random: Random, bodies: list[bytes]) -> bytes:
    """Return one of the bodies, malformed."""
    body = bytearray(random.choice(bodies))
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        place = random.randrange(len(body) + 1)
        match random.randrange(5):
            case 0:
                del body[place:]
            case 1:
                body[place:place] = random.choice(MARKS)
            case 2:
                body[place : place + 1] = bytes([random.randrange(256)])
            case 3:
                body[place:] = random.choice(bodies)[random.randrange(20) :]
            case _:
                del body[place : place + random.randrange(1, 9)]
    return bytes(body)


def main() -> int:
    """Send the bodies, one after another."""
    url, folder, number, seed = sys.argv[1:]
    random = Random(int(seed))
    cells = Target("fuzzed", url, Path(folder)).more(3)
    forms = [form for form in FORMS.values() if not form.numbers_only]
    bodies, types = [form.write(cells) for form in forms], [form.type for form in forms]
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    statuses: Counter[int] = Counter()
    for _ in range(int(number)):
        which = random.randrange(len(bodies))
        body = malformed(random, [bodies[which], *random.sample(bodies, 1)])
        kind = types[which] if random.random() < 0.9 else random.choice(types)
        connection.request("POST", "/invocations", body, {"content-type": kind})
        response = connection.getresponse()
        response.read()
        statuses[response.status] += 1
    print(json.dumps(statuses))
    return 0


if __name__ == "__main__":
    sys.exit(main())
