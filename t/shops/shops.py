#!/usr/bin/env python3
"""Simulates shops and asks tiktok.health(), failure_modes() and checklist() what they think of them.

Healthy shops must hear no warning; of faults, the script notes when a row first names them.  The server lives by the
clock of t/clock.c; t/063_shops.pl starts it.  Prints tables, then what was said, with --verbose row by row.
"""

import argparse
import json
import math
import mmap
import os
import re
import struct
import subprocess
import sys
import time
from datetime import datetime, timezone

import world
from world import DAY, HOUR, WEEK

# What is true of the simulation and of no shop
NOT_OF_SHOPS = ("preload", "worker", "enabled", "endpoint", "autovacuum", "retention", "clock", "foreign_objects", "test_code")

SETUP = """
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS tiktok_events;
DROP SCHEMA IF EXISTS shops CASCADE;
TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.request;
DELETE FROM tiktok.source;
CREATE SCHEMA shops;
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (1, 'elsewhere', 'web', 'C-elsewhere');
"""
COLUMNS = {
    "event": "tiktok.event (id, source_id, event, event_id, event_time, enqueued_at, value, currency, match_keys, notes, test_code, payload)",
    "delivery": "tiktok.delivery (id, request_id, status, reason, at)",
    "pixel_seen": "tiktok.pixel_seen (event_id, event, source_id, seen_at)",
    "platform_count": "tiktok.platform_count (source, day, event, browser, server, total)",
}
TIMES = {"event": (4, 5), "delivery": (4,), "pixel_seen": (3,), "truth": (3,)}

ASK = """
SELECT 'health', check_name, state, replace(detail, E'\\n', ' '), replace(hint, E'\\n', ' ') FROM tiktok.health() WHERE state <> 'ok';
SELECT 'failure_modes', mode, state, '"' || s.name || '" ' || evidence, hint FROM tiktok.source s, tiktok.failure_modes(s.name)
WHERE state <> 'ok' AND s.name = ANY ('{names}');
SELECT 'checklist', what, state, '"' || s.name || '" ' || evidence, hint FROM tiktok.source s, tiktok.checklist(s.name)
WHERE state NOT IN ('ok', 'todo') AND s.name = ANY ('{names}');
"""


class Server:
    def __init__(self, options):
        self.process = subprocess.Popen(["psql", "-XqAt", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", options.database],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1 << 16)
        with open(options.clock, "r+b") as file:
            self.clock = mmap.mmap(file.fileno(), 8)

    def set_clock(self, t):
        self.clock[:8] = struct.pack("q", int(t - time.time()))

    def write(self, text):
        self.process.stdin.write(text)

    def run(self, sql):
        self.write(sql + ";\n\\echo -- done\n")
        self.process.stdin.flush()
        rows = []
        for line in self.process.stdout:
            if line == "-- done\n":
                return rows
            rows.append(line.rstrip("\n").split("\x1f"))
        sys.exit("psql ended")


def stamp(t):
    return datetime.fromtimestamp(t, timezone.utc).isoformat()


def as_text(table, values):
    times = TIMES.get(table, ())
    if table == "platform_count":
        values = (values[0], stamp(values[1] * DAY)[:10], *values[2:])
    return "\t".join("\\N" if v is None else stamp(v) if i in times else str(v) for i, v in enumerate(values))


class Simulation:
    """One database with the shops of a group, from whatever was in it before."""

    def __init__(self, server, shops, start):
        self.server = server
        self.shops = shops
        self.places = {shop.name: 0 for shop in shops}
        self.server.set_clock(start - 40 * DAY)
        self.server.run(SETUP)
        for shop in shops:
            self.server.run(self.open(shop))
        self.advance(start)
        self.server.run("ANALYZE")

    def break_it(self, shop):
        sql = shop.fault.sql.format(table=f"shops.{shop.name}", source=f"'{shop.name}'", trigger="%s")
        if "%s" in sql:
            self.server.run(f"SELECT format({quote(sql)}, quote_ident(tgname)) FROM pg_trigger WHERE tgrelid = 'shops.{shop.name}'::regclass AND NOT tgisinternal \\gexec\n")
        elif sql:
            self.server.run(sql + (" \\g /dev/null\n" if sql.startswith("SELECT") else ""))

    def open(self, shop):
        """The source, the table and the trigger of a shop, as its owner would make them."""
        kind = shop.kind
        number = shop.number
        sql = [f"INSERT INTO tiktok.source (id, name, event_source, event_source_id, consent, time_zone) VALUES ({number}, '{shop.name}', '{kind.source}', "
               f"'{'C' if kind.source == 'web' else '74'}{number}', '{'required' if kind.consent < 1 else 'optional'}', '{kind.zone}')"]
        at = "timestamptz" if kind.zone == "UTC" else "timestamp"
        sql.append(f"CREATE TABLE shops.{shop.name} (event_id text PRIMARY KEY, value numeric, currency text, at {at}, stage text)"
                   if shop.fault_name != "one_id" else f"CREATE TABLE shops.{shop.name} (event_id text, value numeric, currency text, at {at}, stage text)")
        if kind.truth:
            sql.append(f"INSERT INTO tiktok.source_of_truth VALUES ('{shop.name}', 'Purchase', 'shops.{shop.name}')")
        if kind.source == "crm":
            sql += [f"INSERT INTO tiktok.lead_stage (source, stage, event, position) VALUES ('{shop.name}', '{stage}', '{event}', {position})"
                    for position, (stage, event, _, _) in enumerate(world.FUNNEL, 1)]
            if shop.kind_name == "crm_optimised" and self.has_optimised():
                sql.append(f"UPDATE tiktok.lead_stage SET optimised = true WHERE source = '{shop.name}' AND event = 'Lead'")
            sql.append(self.trigger(shop, "=stage", {"lead_id": "event_id", "email": "event_id", "event_time": "at"}))
        elif kind.trigger:
            person = {"web": {"external_id": "event_id", "url": "'https://shop.example.com/'"}, "offline": {"email": "event_id"}}[kind.source]
            sql.append(self.trigger(shop, "Purchase", {"event_id": "event_id", "event_time": "at", "value": "value", "currency": "currency", **person}))
        return ";\n".join(sql)

    @staticmethod
    def trigger(shop, event, mapping):
        return f"SELECT tiktok.create_trigger('shops.{shop.name}', '{shop.name}', '{event}', {quote(json.dumps(mapping))}) \\g /dev/null\n"

    def has_optimised(self):
        return self.server.run("SELECT count(*) FROM pg_attribute WHERE attrelid = 'tiktok.lead_stage'::regclass AND attname = 'optimised'")[0][0] == "1"

    def advance(self, t):
        """Writes what became known until then, and sets the clock."""
        tables = {}
        for shop in self.shops:
            place = self.places[shop.name]
            while place < len(shop.rows) and shop.rows[place][0] <= t:
                _, table, values = shop.rows[place]
                name = f"shops.{shop.name} (event_id, value, currency, at)" if table == "truth" else COLUMNS[table]
                if table == "truth":
                    zone = shop.kind.hours_west * HOUR if shop.kind.zone != "UTC" else 0
                    if zone:
                        values = (*values[:3], self.local(values[3], shop.kind.zone))
                    line = "\t".join("\\N" if v is None else str(v) if i < 3 or zone else stamp(v) for i, v in enumerate(values))
                else:
                    line = as_text(table, values)
                tables.setdefault(name, []).append((shop.rows[place][0], line))
                place += 1
            self.places[shop.name] = place
        self.server.write("BEGIN; SET LOCAL session_replication_role = origin;\n")
        for name, lines in tables.items():
            if name.startswith("shops."):
                self.server.write("SET LOCAL session_replication_role = replica;\n")
            lines.sort()
            self.server.write(f"COPY {name} FROM STDIN;\n" + "\n".join(line for _, line in lines) + "\n\\.\n")
            self.server.write("SET LOCAL session_replication_role = origin;\n")
        self.server.run("COMMIT")
        self.server.set_clock(t)

    @staticmethod
    def local(t, zone):
        from zoneinfo import ZoneInfo
        return datetime.fromtimestamp(t, ZoneInfo(zone)).replace(tzinfo=None).isoformat()

    def ask(self, shops):
        """What is said of each shop now: rows of (where, check, state, detail, hint)."""
        names = {shop.name for shop in shops}
        said = {name: [] for name in names}
        for row in self.server.run(ASK.format(names="{" + ",".join(sorted(names)) + "}")):
            if row[0] == "health" and row[1] in NOT_OF_SHOPS:
                continue
            for name in names.intersection(re.findall(r"\w+", row[3])):
                said[name].append(tuple(row))
        return said


def percent(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else "-"


def plans(options, start):
    """What each shop is made of: healthy ones and, for each fault, one of each size."""
    end = start + options.weeks * WEEK
    number = 10
    for copy in range(options.copies):
        for kind_name in options.kinds:
            for size in options.sizes:
                if size < world.KINDS[kind_name].at_least:
                    continue
                number += 1
                yield size, (f"{kind_name}_{size:g}_{copy}", number, kind_name, size, start, end, options.seed)
    for fault_name in options.faults:
        for size in world.FAULTS[fault_name].sizes:
            if size in options.sizes:
                number += 1
                yield size, (f"faulty_{number}", number, world.FAULTS[fault_name].kind, size, start,
                             start + options.fault_hours * HOUR, options.seed, fault_name, start + 10 * HOUR)


def groups(options, start):
    """Shops that share a database: not too many events in it, because every check reads those of all."""
    group, events = [], 0
    for size, plan in plans(options, start):
        if group and events + size > options.together:
            yield group
            group, events = [], 0
        group.append(world.Shop(*plan))
        events += size
    yield group


class Heard:
    """What was said of all shops."""

    def __init__(self):
        self.shops = []
        self.false = {}     # (shop, week): {check: row}
        self.before = {}    # faulty shop: {check}, what was said before
        self.named = {}     # faulty shop: (hours, row)
        self.blamed = {}    # faulty shop: row that blames what is well


def run(options):
    start = datetime(2026, 3, 2, tzinfo=timezone.utc).timestamp() + options.first_day * DAY
    began = time.time()
    heard = Heard()
    server = Server(options)
    try:
        for group in groups(options, start):
            listen(Simulation(server, group, start), group, start, options, heard)
            for shop in group:
                shop.rows = None
            heard.shops += group
            print(f"# {len(heard.shops)} shops after {time.time() - began:.0f} s", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("interrupted: what there is so far")
    report(heard, options)


def listen(simulation, group, start, options, heard):
    """Lets the hours pass, breaks what is to be broken, and asks."""
    t = start
    for hour in range(max(int((shop.end - start) // HOUR) for shop in group)):
        t = start + hour * HOUR
        simulation.advance(t)
        asked = []
        for shop in group:
            if not shop.fault:
                if hour % options.step == 0 and t < shop.end:
                    asked.append(shop)
            elif t == shop.fault_at:
                # what is said anyway names nothing
                heard.before[shop.name] = {row[:3] for row in simulation.ask([shop])[shop.name]}
                simulation.break_it(shop)
            elif shop.fault_at < t < shop.end and (shop.fault.never or shop.name not in heard.named) and (hour < 40 or hour % 3 == 0):
                asked.append(shop)
        if not asked:
            continue
        said = simulation.ask(asked)
        for shop in asked:
            for row in said[shop.name]:
                if not shop.fault:
                    heard.false.setdefault((shop.name, int((t - start) // WEEK)), {}).setdefault(row[:3], row)
                elif row[:3] not in heard.before[shop.name]:
                    if re.search(shop.fault.words, row[3] + " " + row[4]):
                        heard.named.setdefault(shop.name, ((t - shop.fault_at) / HOUR, row))
                    if shop.fault.never and re.search(shop.fault.never, row[3]):
                        heard.blamed.setdefault(shop.name, row)


def quote(text):
    return "'" + text.replace("'", "''") + "'"


def report(heard, options):
    """Two tables, and what there was of false alarms."""
    healthy = [shop for shop in heard.shops if not shop.fault]
    print("orders a day | shop-weeks | with a false alarm | shops | silent")
    for size in options.sizes:
        names = {s.name for s in healthy if s.size == size}
        bad = [name for name, _ in heard.false if name in names]
        print(f"{size:12g} | {len(names) * options.weeks:10} | {len(bad):18} | {len(names):5} | {len(names) - len(set(bad))}")
    alarms = {}
    for (name, _), said in heard.false.items():
        for key, row in said.items():
            alarms.setdefault(key, []).append((name, row))
    for key, rows in sorted(alarms.items(), key=lambda item: -len(item[1])):
        print(f"  {len(rows):4} {' / '.join(key)}: {rows[0][1][3][:200]}")
        if options.verbose:
            print("       in " + ", ".join(sorted({name for name, _ in rows})))
    print("\nfault: for each size the hours until it was named (by when it had to be)")
    in_time = faulty = 0
    for fault_name in options.faults:
        cells = []
        for shop in heard.shops:
            if shop.fault_name == fault_name:
                limit = math.ceil((shop.deadline() - shop.fault_at) / HOUR)
                hours, row = heard.named.get(shop.name, (math.inf, None))
                good = hours <= limit + (2 if limit > 30 else 0)     # asked every three hours then
                if row is None and shop.fault_at + limit * HOUR >= shop.end:
                    cells.append(f"{shop.size:g}: not yet ({limit})")
                    continue
                in_time, faulty = in_time + good, faulty + 1
                cells.append(f"{shop.size:g}: {hours:g} ({limit}){'' if good else ' LATE'}")
                if options.verbose and row:
                    cells[-1] += f" [{row[0]} / {row[1]} / {row[2]}: {row[3]} -> {row[4]}]"
        print(f"  {fault_name:26} " + ("\n" + " " * 29 if options.verbose else " | ").join(cells))
    for name, row in heard.blamed.items():
        print(f"  {name} is blamed for what is well: {' / '.join(row[:3])}: {row[3][:300]}")
    print(f"\n{len(heard.false)} of {len(healthy) * options.weeks} shop-weeks had a false alarm; {in_time} of {faulty} faults were named in time, "
          f"{len(heard.blamed)} with words that blame something else")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="postgres")
    parser.add_argument("--clock", required=True)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--weeks", type=int, default=1)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--first-day", type=int, default=0)
    parser.add_argument("--step", type=int, default=6, help="hours between two looks at a healthy shop")
    parser.add_argument("--fault-hours", type=int, default=130)
    parser.add_argument("--together", type=float, default=250, help="orders a day of the shops that share a database")
    parser.add_argument("--sizes", type=lambda v: [float(x) for x in v.split(",") if x], default=[80.0, 10.0, 3.0, 1.0])
    parser.add_argument("--kinds", type=lambda v: [x for x in v.split(",") if x], default=list(world.KINDS))
    parser.add_argument("--faults", type=lambda v: [x for x in v.split(",") if x], default=list(world.FAULTS))
    parser.add_argument("--verbose", action="store_true")
    run(parser.parse_args())


if __name__ == "__main__":
    os.environ.setdefault("PGOPTIONS", "-c TimeZone=UTC")
    main()
