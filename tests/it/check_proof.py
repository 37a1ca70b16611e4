#!/usr/bin/env python3
"""A stranger's checker of proofs, written from docs/reference/proof.md alone: Python's own library, no code of Tandem.

Usage: check_proof.py PROOF KEY_FILE        Exit: 0 it stands, 1 it does not.
Slow on purpose: BLAKE3 and Ed25519 are written out so that nothing has to be installed.
"""
import hashlib, json, struct, sys

# --- BLAKE3 (hash only), after its paper ---------------------------------------------------------------------------
IV = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
PERM = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
M32 = 0xFFFFFFFF


def g(s, a, b, c, d, x, y):
    rot = lambda v, n: ((v >> n) | (v << (32 - n))) & M32
    s[a] = (s[a] + s[b] + x) & M32
    s[d] = rot(s[d] ^ s[a], 16)
    s[c] = (s[c] + s[d]) & M32
    s[b] = rot(s[b] ^ s[c], 12)
    s[a] = (s[a] + s[b] + y) & M32
    s[d] = rot(s[d] ^ s[a], 8)
    s[c] = (s[c] + s[d]) & M32
    s[b] = rot(s[b] ^ s[c], 7)


def compress(cv, block, counter, length, flags):
    m = list(struct.unpack("<16I", block.ljust(64, b"\0")))
    s = cv + IV[:4] + [counter & M32, counter >> 32, length, flags]
    for turn in range(7):
        for i, (a, b, c, d) in enumerate([(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                                          (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]):
            g(s, a, b, c, d, m[2 * i], m[2 * i + 1])
        m = [m[p] for p in PERM]
    return [s[i] ^ s[i + 8] for i in range(8)]


def chunk(data, counter, root):
    blocks = [data[i:i + 64] for i in range(0, len(data), 64)] or [b""]
    cv = IV
    for i, block in enumerate(blocks):
        flags = (CHUNK_START if i == 0 else 0)
        if i == len(blocks) - 1:
            flags |= CHUNK_END | (ROOT if root else 0)
        cv = compress(cv, block, counter, len(block), flags)
    return cv


def subtree(data, counter, root):
    if len(data) <= 1024:
        return chunk(data, counter, root)
    chunks = (len(data) + 1023) // 1024
    left = 1
    while left * 2 < chunks:
        left *= 2
    both = subtree(data[:left * 1024], counter, False) + subtree(data[left * 1024:], counter + left, False)
    return compress(IV, struct.pack("<16I", *both), 0, 64, PARENT | (ROOT if root else 0))


def blake3(data):
    return struct.pack("<8I", *subtree(data, 0, True))


# --- Ed25519 (verify only), after RFC 8032 -------------------------------------------------------------------------
P = 2 ** 255 - 19
Q = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e, f = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    h, i = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, j, k = f - e, i - h, i + h, f + e
    return e * f % P, j * k % P, f * j % P, e * k % P


def times(n, point):
    total = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = add(total, point)
        point = add(point, point)
        n >>= 1
    return total


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2 ** 255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def signed(key, message, signature):
    base = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    a, r, s = point(key), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or len(signature) != 64 or s >= Q:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % Q
    left, right = times(s, base), add(r, times(h, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# --- the proof, after docs/reference/proof.md ----------------------------------------------------------------------
def climb(leaf, index, size, path):
    """RFC 9162, 2.1.3.2."""
    if index >= size:
        return None
    at, last = index, size - 1
    for beside in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            leaf = blake3(b"\x01" + beside + leaf)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            leaf = blake3(b"\x01" + leaf + beside)
        at, last = at >> 1, last >> 1
    return leaf if last == 0 else None


class Avro:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        assert 0 <= n <= len(self.data) - self.at, "the item ends too early"
        self.at += n
        return self.data[self.at - n:self.at]

    def long(self):
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return (value >> 1) ^ -(value & 1)

    def text(self):
        return self.take(self.long())

    def optional(self, read):
        return read() if self.long() == 1 else None


GL = """receivable_unbilled receivable_provisional receivable_invoiced receivable_disputed prepayments payable_unbilled
payable_provisional payable_invoiced payable_disputed prepayments_made revenue revenue_provisional cost cost_provisional
tax bank_clearing unallocated_receipts deposits bad_debt exchange_difference bank_charges withholding_tax transit
rounding""".split()


def entry(data):
    a = Avro(data)
    assert a.long() == 0, "the item is no entry"
    a.long(), a.take(16)  # kind, origin
    account, when = a.text().decode(), a.long()
    a.optional(lambda: a.take(16))
    xdr = a.optional(lambda: a.take(16))
    a.optional(lambda: (a.text(), a.long(), a.long()))
    a.text(), a.text(), a.optional(lambda: a.take(16))
    lines = []
    while (count := a.long()) != 0:
        if count < 0:
            a.long()
        for _ in range(abs(count)):
            gl, of, _, _, currency = GL[a.long()], a.text().decode(), a.text(), a.text(), a.text().decode()
            lines.append((gl, of, currency, int.from_bytes(a.text(), "big", signed=True)))
    assert a.at == len(data), "the item goes on too long"
    return account, when, xdr, lines


def main():
    assert blake3(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    proof = json.load(open(sys.argv[1]))
    key = bytes.fromhex(open(sys.argv[2]).read().strip().removeprefix("ed25519:"))
    c = proof["certificate"]
    assert proof["proof"] == "tandem.proof.v1" and c["certificate"] == "tandem.certificate.v1", "another kind"
    assert bytes.fromhex(c["key"]) == key, "signed by another key"
    names = "stream epoch seq hash state_root fold_version tree_root totals booked_at signed_at key".split()
    text = "tandem.certificate.v1\n" + "".join(f"{name} {c[name]}\n" for name in names)
    assert signed(key, text.encode(), bytes.fromhex(c["signature"])), "the signature is wrong"
    assert proof["entries"], "no entry"
    for e in proof["entries"]:
        item = bytes.fromhex(e["item"])
        leaf = blake3(b"\x00" + bytes.fromhex(e["salt"]) + bytes.fromhex(e["item_schema"]) + item)
        items = climb(leaf, e["index"], e["items"], [bytes.fromhex(h) for h in e["item_path"]])
        assert items, "the item's path does not fit"
        frame = blake3(b"\x02" + struct.pack("<Q", e["seq"]) + bytes.fromhex(e["frame_hash"]) + items)
        root = climb(frame, e["seq"] - 1, c["seq"], [bytes.fromhex(h) for h in e["frame_path"]])
        assert root == bytes.fromhex(c["tree_root"]), "the entry is not under the certificate"
        account, when, xdr, lines = entry(item)
        assert xdr.hex() == proof["xdr_id"], "the entry is of another xdr"
        for gl, of, currency, amount in lines:
            print(json.dumps({"account": account, "occurred_at": when, "gl": gl, "of": of, "currency": currency,
                              "amount": amount}))


try:
    main()
except (AssertionError, KeyError, ValueError, TypeError, IndexError, AttributeError) as why:
    print(f"does not stand: {why}", file=sys.stderr)
    sys.exit(1)
