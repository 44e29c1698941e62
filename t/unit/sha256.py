"""Compares the hashes that the program given as argument makes of random values with hashlib's and openssl's."""
import hashlib
import os
import random
import subprocess
import sys
import tempfile

COUNT = 100_000
AT_ONCE = 1000
KNOWN = {
    b'': 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    b'abc': 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    b'abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq':
        '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
    b'a' * 1_000_000: 'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0',
}

tests = 0
failed = 0


def ok(good, name):
    global tests, failed
    tests += 1
    failed += not good
    print(f'{"" if good else "not "}ok {tests} - {name}', flush=True)


def hashes(values):
    stdin = b''.join(len(v).to_bytes(4, 'little') + v for v in values)
    return subprocess.run([sys.argv[1], 'hash'], input=stdin, stdout=subprocess.PIPE, check=True).stdout.decode().split()


def length(dice):
    """Short as identifiers are, around the borders of blocks, now and then long."""
    kind = dice.randrange(100)
    if kind < 60:
        return dice.randrange(65)
    if kind < 80:
        return 64 * dice.randrange(1, 9) + dice.randrange(-10, 3)
    return dice.randrange(600) if kind < 99 else dice.randrange(10_000)


def compare(got, expected, values, name):
    differ = [i for i in range(len(values)) if i >= len(got) or got[i] != expected[i]]
    ok(not differ and len(got) == len(values), name)
    for i in differ[:3]:
        print(f'# value {values[i].hex()}\n# got {got[i] if i < len(got) else None}, expected {expected[i]}')


def openssl(values):
    """One line for each file: the hash, " *" and the name."""
    found = []
    with tempfile.TemporaryDirectory(dir='/dev/shm' if os.access('/dev/shm', os.W_OK) else None) as folder:
        names = [f'{folder}/{i}' for i in range(AT_ONCE)]
        for start in range(0, len(values), AT_ONCE):
            chunk = values[start:start + AT_ONCE]
            for name, value in zip(names, chunk):
                with open(name, 'wb', 0) as file:
                    file.write(value)
            run = subprocess.run(['openssl', 'dgst', '-sha256', '-r', *names[:len(chunk)]], stdout=subprocess.PIPE, check=True)
            found += [line.split()[0] for line in run.stdout.decode().splitlines()]
    return found


def main():
    seed = int.from_bytes(os.urandom(4), 'little')
    dice = random.Random(seed)
    values = [dice.randbytes(length(dice)) for _ in range(COUNT)]
    print(f'# seed {seed}, {sum(map(len, values))} bytes')
    compare(hashes(KNOWN), list(KNOWN.values()), list(KNOWN), 'published values of SHA-256')
    got = hashes(values)
    compare(got, [hashlib.sha256(v).hexdigest() for v in values], values, f'{COUNT} random values: as hashlib')
    compare(got, openssl(values), values, f'{COUNT} random values: as openssl dgst')
    print(f'1..{tests}')
    return failed > 0


sys.exit(main())
