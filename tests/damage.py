"""How `tests.fuzz` damages files: their bytes, their structure, and the values of JSON in them."""

from __future__ import annotations

import copy
import gzip
import io
import json
import random
import struct
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np


def damage(rng: random.Random, kind: str, content: bytes, others: list[bytes]) -> bytes:
    """Return the content damaged in one to three ways."""
    ways = [damage_bytes]
    if kind in ("model", "checkpoint"):
        ways += [damage_members, damage_meta, damage_meta, damage_meta]
    if kind in ("json", "config"):
        ways += [damage_json, damage_json]
    if kind == "idx.gz":
        ways += [damage_packed, damage_packed]
    if kind == "csv":
        ways += [damage_fields]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            try:
                content = rng.choice(ways)(rng, content, others)
            except Exception:  # it is damaged too far for that
                content = damage_bytes(rng, content, others)
    return content


def damage_bytes(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    if not content:
        return rng.randbytes(rng.randrange(1, 50))
    start = rng.randrange(len(content))
    stop = min(len(content), start + rng.choice((1, 1, 2, 4, 8, 100)))
    other = rng.choice(others)
    new = rng.choice((
        lambda: bytes([content[start] ^ (1 << rng.randrange(8))]) + content[start + 1 : stop],
        lambda: rng.randbytes(stop - start),
        lambda: bytes(stop - start),
        lambda: b"\xff" * (stop - start),
        lambda: b"",  # left out
        lambda: content[start:stop] * 2,
        lambda: other[start : start + rng.randrange(1, 200)],
    ))()  # fmt: skip
    if rng.random() < 0.1:
        return content[:start]
    return content[:start] + new + content[stop:]


def members_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(members: list[tuple[str, bytes]], how: int = zipfile.ZIP_STORED) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", how) as archive:
        for name, member in members:
            archive.writestr(zipfile.ZipInfo(name), member, how)
    return whole.getvalue()


def damage_members(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Damage an archive in its structure: members, their names, types and shapes."""
    members = list(members_of(content).items())
    index = rng.randrange(len(members))
    name, member = members[index]
    array = np.load(io.BytesIO(member))
    how = zipfile.ZIP_DEFLATED if rng.random() < 0.05 else zipfile.ZIP_STORED

    def saved(array: np.ndarray) -> bytes:
        file = io.BytesIO()
        np.save(file, array)
        return file.getvalue()

    def declared(**fields: Any) -> bytes:
        header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape, **fields}
        text = f"{header!r}".replace("}", ", }").ljust(117) + "\n"
        if rng.random() < 0.1:
            text = text.replace("'shape'", rng.choice(("'shape '", "shape", "('" * 50, "-" * 50)))
        size = struct.pack("<H", len(text))
        return b"\x93NUMPY\x01\x00" + size + text.encode() + array.tobytes()

    huge = rng.choice((10**9, 10**12, 2**31, 2**32, 2**63, 2**64, 10**30, -1, 0))
    odd = np.array([np.nan, np.inf, -1, 1e300, 0])
    new = rng.choice((
        lambda: None,
        lambda: (name + "x.npy", member),
        lambda: (name, rng.choice(members)[1]),
        lambda: (name, saved(array.astype(rng.choice(("f2", "f8", "i4", ">f4", "c16", "U3"))))),
        lambda: (name, saved(array.reshape(-1)[: rng.randrange(array.size + 1)])),
        lambda: (name, saved(array.reshape(-1, 1))),
        lambda: (name, saved(np.concatenate([array.reshape(-1)] * 2))),
        lambda: (name, saved(rng.choice(odd.tolist()) * np.ones(array.shape, array.dtype))),
        lambda: (name, declared(shape=(huge,))),
        lambda: (name, declared(shape=(huge, huge))),
        lambda: (name, declared(descr=rng.choice(("|O", "<f4,<f4", "<V8", "<f16", "<M8[s]", "|S0",
                                                  "<U1000000", "x", "|a5")))),
        lambda: (name, declared(fortran_order=rng.choice((True, 1, None)))),
    ))()  # fmt: skip
    rest = members[:index] + ([new] if new else []) + members[index + 1 :]
    if rng.random() < 0.1:
        rest.append(rng.choice(members))
    if rng.random() < 0.1:
        rng.shuffle(rest)
    return archive_of(rest, how)


def damage_meta(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Damage the description in an archive, and leave the archive intact."""
    members = members_of(content)
    text = np.load(io.BytesIO(members["__meta__.npy"])).tobytes()
    file = io.BytesIO()
    np.save(file, np.frombuffer(damage_json(rng, text, others), np.uint8))
    return archive_of([*(members | {"__meta__.npy": file.getvalue()}).items()])


def odd_value(rng: random.Random, data: Any) -> Any:
    """Return what may stand in the place of a value."""
    deep: Any = 0
    for _ in range(rng.choice((3, 50, 400, 900))):
        deep = [deep] if rng.random() < 0.5 else {"class": "Dense", "n_in": deep}
    return rng.choice((
        lambda: None, lambda: True, lambda: False, lambda: "", lambda: "x", list, dict,
        lambda: rng.choice((0, 1, -1, 2, 7, 2**31, 2**32, 2**63, 2**64, 2**128, 10**12, 10**30)),
        lambda: rng.choice((10**400, -(10**400))),
        lambda: rng.choice((0.5, -0.0, -1.5, 1e12, 1e300, 5e-324, float("nan"), float("inf"))),
        lambda: rng.choice(("\ud800", "Infinity", "NaN", "float", "0", "theta", "é" * 99, "a\nb")),
        lambda: rng.choice(("Sequential", "Dense", "Network", "Graph", "Adam", "Layer", "L2",
                            "ReLU", "__main__:X", "m:X", "Quadratic", "Normal", "Orthogonal")),
        lambda: deep,
        lambda: [data], lambda: {"class": data}, lambda: {"class": "float", "value": data},
        lambda: [data] * rng.randrange(5), lambda: str(data), lambda: {"": data},
        lambda: rng.choice(list(values_in(data)))[2] if isinstance(data, (list, dict)) else -1,
        lambda: data + 1 if type(data) in (int, float) else [[data]],
        lambda: -data if type(data) in (int, float) else {"class": []},
    ))()  # fmt: skip


def values_in(data: Any, limit: int = 10_000) -> Iterator[tuple[Any, Any, Any]]:
    """Yield every value inside, with what it is in and under which key or index."""
    stack = [data]
    while stack and limit:
        holder = stack.pop()
        pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, value in pairs:
            limit -= 1
            yield holder, key, value
            if isinstance(value, (list, dict)):
                stack.append(value)
    yield [data], 0, data


def damage_json(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Damage values and keys of JSON, as JSON; once in a while its text."""
    data = [json.loads(content)]
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        places = list(values_in(data))
        by_depth = [place for place in places if not isinstance(place[2], int)]
        holder, key, value = rng.choice(places if rng.random() < 0.5 else by_depth or places)
        choice = rng.random()
        if choice < 0.75 or holder is data:
            holder[key] = odd_value(rng, copy.deepcopy(value))
        elif choice < 0.85:
            del holder[key]
        elif isinstance(holder, dict):
            holder[rng.choice(("class", "epoch", "x", "n_in", str(key) + "x"))] = holder.pop(key)
        else:
            holder.append(value)
    text = json.dumps(data[0]).encode()
    return damage_bytes(rng, text, others) if rng.random() < 0.1 else text


def damage_packed(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Damage what a gzip file holds, and pack it again."""
    return gzip.compress(damage_bytes(rng, gzip.decompress(content), others))


def damage_fields(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Put something odd into a field of a CSV file."""
    lines = [line.split(",") for line in content.decode().splitlines()]
    line = rng.choice(lines)
    line[rng.randrange(len(line))] = rng.choice((
        "nan", "-inf", "1e999", "9" * 5000, "-", "1_0", "\u0663", '"', "epoch", "", "0x10", "True",
        "1e5", "9" * 400, "\x00", "\ufeff1", "1.5.5", " 1", "'1'", "=1+1",
    ))  # fmt: skip
    return "\n".join(",".join(line) for line in lines).encode()
