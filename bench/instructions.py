"""Counts the instructions of an order with callgrind; started by bench/instructions, which says how."""

import os
import platform
import re
import signal
import subprocess
import sys

from server import HERE, Bench, Failed, command

FILE = os.path.join(HERE, "instructions.txt")
HEAD = """# Instructions, counted by bench/instructions, which writes this file and compares with it.
# plain: a row of an insert of many orders, without a trigger.  trigger: what tiktok.track_row adds to it.
# cold: the first insert into a table in a session, of one order.  first: what tiktok.track_row adds to it.
"""
DATABASES = {"c": "C", "en": "en_US.UTF-8", "icu": "ICU en-US"}
CREATE = {"c": "LOCALE 'C'", "en": "LOCALE 'en_US.UTF-8'", "icu": "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'"}
ROWS = 300
GROWTH = 1.03
RATIO = 0.42            # of the same outbox in PL/pgSQL
FIRST = 1_850_000

SETUP = """
CREATE TABLE orders_cold (LIKE orders_plain INCLUDING ALL);
CREATE TABLE one AS SELECT * FROM sample_orders(1, 1);
SELECT * FROM bulk_insert(1000, 1);
SELECT * FROM bulk_insert(1000, 2);
"""
# Callgrind writes what it has counted whenever pg_backend_pid() is called.
MARK = "SELECT pg_backend_pid();\n"
STATEMENTS = [f"INSERT INTO {table} SELECT * FROM one;\n" for table in ("orders_plain", "orders_cold", "orders")] + [
    f"INSERT INTO {table} SELECT * FROM sample_orders(1000000, {1000000 + ROWS - 1});\n" for table in ("orders_plain", "orders", "orders_plpgsql")]
SETTINGS = """
shared_buffers = 64MB
autovacuum = off
tiktok_events.databases = 'none'
"""


def prepare(bench):
    """A data folder for each database, because each is open in a process of its own."""
    os.mkdir(bench.path("locale"), 0o755)
    command(["localedef", "-i", "en_US", "-f", "UTF-8", bench.path("locale", "en_US.UTF-8")])
    bench.env["LOCPATH"] = bench.path("locale")
    bench.start_cluster(SETTINGS)
    for name in DATABASES:
        bench.db("postgres").query(f"CREATE DATABASE {name} TEMPLATE template0 {CREATE[name]}")
        bench.set_up(name)
        bench.db(name).query(SETUP)
        bench.db(name).query("VACUUM ANALYZE")
    bench.stop_server()
    for name in DATABASES:
        command(["cp", "-a", bench.path("pg", "data"), bench.path("pg", name)])


def start(bench, name):
    """A server without other processes; the C library uses the instructions that every processor has."""
    options = bench.as_server()
    options["env"]["GLIBC_TUNABLES"] = "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX512VL,-AVX512VL_Usable,-ERMS"
    process = subprocess.Popen(["valgrind", "--tool=callgrind", "--dump-before=pg_backend_pid", f"--callgrind-out-file={bench.path('pg', name)}.count",
                                f"{bench.bin}/postgres", "--single", "-D", bench.path("pg", name), name],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)
    process.stdin.write(MARK + "".join(statement + MARK for statement in STATEMENTS))
    process.stdin.close()
    process.stdin = None
    return process


def counts(bench, name, process):
    errors = process.communicate()[1]
    if process.returncode != 0 or "ERROR" in errors:
        raise Failed(errors[-2000:])
    found = []
    for i in range(len(STATEMENTS)):
        with open(f"{bench.path('pg', name)}.count.{i + 2}") as f:
            found.append(int(re.search(r"^totals: (\d+)", f.read(), re.M).group(1)))
    _, cold, first, plain, trigger, plpgsql = found
    return {"plain": plain // ROWS, "trigger": (trigger - plain) // ROWS, "cold": cold, "first": first - cold, "plpgsql": (plpgsql - plain) // ROWS}


def recorded():
    """Figures of the file, by major and database."""
    if not os.path.exists(FILE):
        return {}
    with open(FILE) as f:
        rows = [line.split() for line in f if not line.startswith("#")]
    return {(int(row[0]), row[1]): dict(zip(("plain", "trigger", "cold", "first"), map(int, row[2:]))) for row in rows}


def write(figures):
    with open(FILE, "w") as f:
        f.write(HEAD + "# major, database, plain, trigger, cold, first\n")
        for (major, name), row in sorted(figures.items()):
            f.write(f"{major} {name:4}" + "".join(f"{row[what]:9}" for what in ("plain", "trigger", "cold", "first")) + "\n")


class Report:
    def __init__(self):
        self.number, self.failed = 0, False

    def line(self, good, text):
        self.number += 1
        self.failed |= not good
        print(f"{'ok' if good else 'not ok'} {self.number} - {text}", flush=True)


def compare(out, title, was, found):
    for what, beside in (("trigger", "plain"), ("first", "cold")):
        if was is None:
            out.line(True, f"{title}: {what} {found[what]}, {found[what] / found[beside]:.2f} x {beside}")
            continue
        alone, ratio = found[what] / was[what], found[what] * was[beside] / (was[what] * found[beside])
        out.line(min(alone, ratio) <= GROWTH, f"{title}: {what} {found[what]} instructions, {alone - 1:+.1%}, relative to {beside} {ratio - 1:+.1%}")
    ratio = found["trigger"] / found["plpgsql"]
    out.line(ratio <= RATIO, f"{title}: trigger {ratio:.3f} x the same outbox in PL/pgSQL ({found['plpgsql']}), at most {RATIO}")
    out.line(found["first"] <= FIRST, f"{title}: first event of a session {found['first'] / 1e6:.2f} M instructions, at most {FIRST / 1e6:.2f} M")


def stop(number, frame):
    raise KeyboardInterrupt


def main():
    words = set(sys.argv[1:])
    if not words <= {"installed", "write"}:
        sys.exit("usage: bench/instructions [installed] [write]")
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, stop)
    bench, out, known = Bench(), Report(), recorded()
    try:
        bench.build("installed" in words)
        prepare(bench)
        running = {name: start(bench, name) for name in DATABASES}
        found = {name: counts(bench, name, process) for name, process in running.items()}
    except Failed as failure:
        sys.exit(f"bench/instructions: {failure}")
    except KeyboardInterrupt:
        sys.exit("bench/instructions: interrupted")
    finally:
        bench.finish()
    if "write" in words:
        known.update({(bench.major, name): row for name, row in found.items()})
        write(known)
    print(f"# PostgreSQL {bench.major}, {platform.machine()}")
    for name, title in DATABASES.items():
        compare(out, title, known.get((bench.major, name)), found[name])
    print(f"1..{out.number}")
    sys.exit(out.failed)


if __name__ == "__main__":
    main()
