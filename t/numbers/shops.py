#!/usr/bin/env python3
"""Random shops, and what tiktok.differences, bridge and reconcile must say of them.

The expectation is worked out here, order by order, from docs/truth.md; nothing of it is read from the database.
Usage: shops.py --database CONNECTION [--seed N] [--shops N]; t/073_bridge.pl runs it.  Exit status 1: something differs.
"""

import argparse
import random
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

HOUR = timedelta(hours=1)
DAY = 24 * HOUR
KEPT = 30 * DAY  # tiktok_events.retention
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland")
STATUSES = ("pending", "retrying", "rejected", "invalid", "suppressed", "expired", "uncertain", "discarded")
NOT_ACCEPTED = ("rejected", "invalid", "expired", "uncertain", "discarded")
SHOP, TWIN, OTHER = 601, 602, 603
REGISTERED = ("Purchase", "Subscribe")
NAMES = REGISTERED + ("CompletePayment", "ViewContent")

SETUP = """
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS tiktok_events;
CREATE SCHEMA IF NOT EXISTS shops;
TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (601, 'shop', 'web', 'C1'), (602, 'twin', 'web', 'C1'), (603, 'other', 'web', 'C2');
"""


def quote(value):
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        value = value.isoformat()
    return "'" + str(value).replace("'", "''") + "'"


def insert(table, rows):
    return f"INSERT INTO {table} VALUES " + ", ".join("(" + ", ".join(map(quote, row)) + ")" for row in rows) + ";\n" if rows else ""


class Order:
    def __init__(self, name, event_id, value, currency, at):
        self.name, self.event_id, self.value, self.currency, self.at = name, event_id, value, currency, at


class Event:
    def __init__(self, source, name, event_id, time, value, currency, status, lag, test):
        self.source, self.name, self.event_id, self.time, self.value, self.currency = source, name, event_id, time, value, currency
        self.status, self.at, self.test, self.transaction = status, time + lag, test, None


class Shop:
    """Makes orders and what became of them, without a thought of what should be said of it."""

    def __init__(self, seed, now):
        r = self.random = random.Random(seed)
        self.now = now
        self.zone = ZoneInfo(r.choice(ZONES))
        self.naive = r.random() < 0.3
        self.names = REGISTERED[:r.choice((1, 1, 2))]
        self.has_twin = r.random() < 0.4
        self.currencies = r.choice((["EUR"], ["EUR", "USD", "JPY"]))
        self.fault_share = r.choice((0.2, 0.5, 0.9))
        self.pixel_share = r.choice((0, 0.5, 1))
        # what a wrong mapping does to many orders at once
        self.mapping = ("net", "constant", "cents", None)[seed % 4]
        self.orders, self.events, self.reports, self.counts = [], [], {}, []
        for n in range(r.randint(1, 90)):
            self.make(f"S{seed}-{n}")
        # orders whose events are deleted by now; the Pixel's reports are, too
        self.orders += [Order(self.names[0], f"S{seed}-old-{n}", self.value(), self.currencies[0], now - timedelta(days=r.randint(32, 39), hours=n)) for n in range(r.choice((0, 3)))]
        r.shuffle(self.orders)
        counted = r.choice((0, 0.8, 1))
        for day in range(45):
            if r.random() < counted:
                self.counts.append((r.choice(("shop", "twin")) if self.has_twin else "shop", (now - day * DAY).astimezone(timezone.utc).date(),
                                    r.choice(self.names), r.choice((None, 0, 3)) if counted < 1 else day, 4))
        self.counts = list({c[:3]: c for c in self.counts}.values())

    def value(self):
        r = self.random
        return r.choice((None, Decimal(0), Decimal("-12.50"), Decimal("49.9000000000000000"))) if r.random() < 0.08 else Decimal(r.randint(100, 60000)) / 100

    def time(self):
        at = self.now - timedelta(seconds=self.random.randint(3 * 86400, 29 * 86400))
        if self.random.random() < 0.15:  # on the end of a day
            at = at.astimezone(self.random.choice((self.zone, timezone.utc))).replace(hour=0, minute=0, second=0).astimezone(timezone.utc)
        return at

    def sent_of(self, order):
        r = self.random
        if r.random() > self.fault_share or order.value is None:
            value, currency = order.value, order.currency or "EUR"
            return value, currency if value is not None else None
        value, currency = order.value, order.currency or "EUR"
        kind = r.choice(("mapping", "mapping", "mapping", "mapping", "none", "zero", "currency", "parts", "some", "thousandth"))
        if kind == "mapping" and self.mapping:
            value = {"net": (value / Decimal("1.19")).quantize(Decimal("0.01")), "constant": Decimal("7.77"), "cents": value * 100}[self.mapping]
        elif kind == "none":
            value = currency = None
        elif kind == "zero":
            value = Decimal(0)
        elif kind == "currency":
            currency = r.choice(("GBP", "USD"))
        elif kind == "parts":
            value += r.choice((Decimal("0.004"), Decimal("0.005"), Decimal("0.02")))
        elif kind == "some":
            value = value * r.randint(2, 900) / 7 + 1
            value = value.quantize(Decimal("0.01"))
        elif kind == "thousandth":
            value = value / 1000
        return value, currency

    def make(self, event_id):
        """One id: an order mostly, with events and reports of the Pixel of any kind."""
        r = self.random
        fault = lambda share: r.random() < share * self.fault_share
        name = r.choice(self.names)
        at = self.time()
        order = Order(name, event_id, self.value(), r.choice(self.currencies) if r.random() < 0.95 else None, at)
        if not fault(0.2):
            self.orders.append(order)
            if fault(0.15):
                self.orders.append(Order(name, event_id, self.value(), order.currency, at + timedelta(seconds=r.randint(1, 90000))))
            if fault(0.05):
                self.orders.append(Order(name, None, order.value, order.currency, at))
        moved = timedelta(hours=r.randint(-20, 20)) if fault(0.2) else timedelta(0)

        def record(source, name, event_id, test=False):
            value, currency = self.sent_of(order)
            status = r.choice(STATUSES) if fault(0.4) else "delivered"
            lag = r.choice((timedelta(minutes=4), timedelta(minutes=20), 47 * HOUR, 3 * DAY)) if fault(0.5) else timedelta(seconds=2)
            event = Event(source, name, event_id, at + moved, value, currency, status, lag, test)
            self.events.append(event)
            return event

        if not fault(0.25):
            first = record(TWIN if self.has_twin and r.random() < 0.3 else SHOP, name, event_id)
            if fault(0.15):
                self.twice(first)
            elif self.has_twin and first.status == "delivered" and fault(0.2):
                # each of two databases sends the order: TikTok keeps one
                copy = Event(TWIN if first.source == SHOP else SHOP, name, event_id, first.time, first.value, first.currency, r.choice(("delivered", "rejected")), first.at - first.time, False)
                self.events.append(copy)
        if fault(0.15):
            record(OTHER, name, event_id)
        if fault(0.15):
            record(SHOP, name, event_id, test=True)
        if fault(0.1):
            record(SHOP, r.choice([n for n in NAMES if n != name]), event_id)
        if r.random() < self.pixel_share:
            for other in (False, True):
                if other and not fault(0.2):
                    continue
                reported_name = r.choice([n for n in NAMES if n != name]) if other or fault(0.1) else name
                reported_id = f"browser-{event_id}" if fault(0.1) else event_id
                seen = at + (timedelta(hours=r.randint(-30, 30)) if fault(0.2) else timedelta(seconds=r.randint(-50, 50)))
                for source in ((SHOP, TWIN) if self.has_twin and reported_name in self.names and r.random() < 0.1 else (SHOP,)):
                    self.reports[(reported_name, reported_id, source)] = seen

    def twice(self, first):
        """A second trigger of the table: the same transaction, time and amount under an id of its own."""
        second = Event(first.source, first.name, f"trigger2-{first.event_id}", first.time, first.value, first.currency, "delivered", timedelta(seconds=2), False)
        first.transaction = second.transaction = len(self.events)
        self.events.append(second)

    def sql(self):
        r = self.random
        column = "timestamp" if self.naive else "timestamptz"
        text = ("BEGIN; SET LOCAL client_min_messages = error; DROP TABLE IF EXISTS shops.orders_purchase, shops.orders_subscribe;\n"
                "TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.pixel_seen, tiktok.platform_count, tiktok.source_of_truth;\n"
                f"UPDATE tiktok.source SET time_zone = {quote(self.zone)}, event_source_id = CASE WHEN name = 'twin' AND {not self.has_twin} THEN 'C3' WHEN name = 'other' THEN 'C2' ELSE 'C1' END;\n")
        for name in self.names:
            table = f"shops.orders_{name.lower()}"
            partitions = r.random() < 0.3
            text += f"CREATE TABLE {table} (event_id text, value numeric, currency text, at {column})" + (" PARTITION BY HASH (event_id);\n" if partitions else ";\n")
            if partitions:
                text += "".join(f"CREATE TABLE {table}_{i} PARTITION OF {table} FOR VALUES WITH (MODULUS 2, REMAINDER {i});\n" for i in (0, 1))
            text += insert("tiktok.source_of_truth", [(s, name, table) for s in (("shop", "twin") if self.has_twin and r.random() < 0.5 else ("shop",))])
            text += insert(table, [(o.event_id, o.value, o.currency and r.choice((o.currency, o.currency.lower())),
                                    o.at.astimezone(self.zone).replace(tzinfo=None) if self.naive else o.at) for o in self.orders if o.name == name])
        text += insert("tiktok.event (id, xid, source_id, event, event_id, event_time, enqueued_at, value, currency, test_code, payload)",
                       [(n, 1000 + (n if e.transaction is None else 100000 + e.transaction), e.source, e.name, e.event_id, e.time, e.time + timedelta(seconds=1), e.value, e.currency, "T1" if e.test else None, "{}")
                        for n, e in enumerate(self.events, 1)])
        text += insert("tiktok.delivery (id, request_id, status, reason, at)",
                       [(n, 0, e.status, None if e.status == "delivered" else "why", e.at) for n, e in enumerate(self.events, 1) if e.status not in ("pending", "retrying")])
        text += insert("tiktok.retry (id, source_id, attempts, first_attempt_at, next_attempt_at)",
                       [(n, e.source, 1, e.time, "infinity") for n, e in enumerate(self.events, 1) if e.status == "retrying"])
        text += insert("tiktok.pixel_seen", [(i, n, s, at) for (n, i, s), at in self.reports.items()])
        text += insert("tiktok.platform_count (source, day, event, browser, server)", self.counts)
        return text + "COMMIT;\n"


class Row:
    """A row of differences, or what agrees (cause None)."""

    def __init__(self, cause, name, event_id, at, order=None, event=None, in_tiktok=False, currency=None, again=False):
        self.cause, self.name, self.event_id, self.at, self.order, self.event, self.in_tiktok, self.again = cause, name, event_id, at, order, event, in_tiktok, again
        self.in_orders = order is not None
        self.by_server = event is not None and event.status == "delivered" and not again
        self.value = order.value if order else None
        self.value_sent = event.value if event else None
        self.currency_sent = event.currency if event else None
        self.currency = (order.currency or self.currency_sent) if order else None

    def shown(self):
        return tuple("" if v is None else str(v) for v in (
            self.cause, self.name, self.event_id, number(self.value), self.currency, number(self.value_sent), self.currency_sent,
            "t" if self.in_orders else "f", "t" if self.in_tiktok else "f"))


def number(value):
    return None if value is None else format(value.normalize() + 0, "f")


class Expectation:
    """What docs/truth.md says of a shop and a period."""

    def __init__(self, shop, since, until):
        self.shop, self.since, self.until = shop, since, until
        self.group = (SHOP, TWIN) if shop.has_twin else (SHOP,)
        self.real = [e for e in shop.events if not e.test and e.source in self.group]
        self.event_of = {}
        for e in self.real:
            if (e.name, e.event_id) not in self.event_of or e.status == "delivered" and self.event_of[e.name, e.event_id].status != "delivered":
                self.event_of[e.name, e.event_id] = e
        self.seen = {}
        for (name, event_id, _), at in shop.reports.items():
            self.seen[name, event_id] = min(at, self.seen.get((name, event_id), at))
        self.rows = []
        for name in shop.names:
            self.of_orders(name)
            self.of_events(name)
        self.of_reports()
        self.of_many()

    def within(self, at):
        return self.since <= at < self.until

    def of_orders(self, name):
        first = {}
        for order in sorted((o for o in self.shop.orders if o.name == name), key=lambda o: o.at):
            again = order.event_id is not None and first.setdefault(order.event_id, order) is not order
            if self.within(order.at):
                self.rows.append(self.of_order(order, again))

    def looks_like(self, event, order):
        alike = None in (event.value, order.value) or event.value == order.value
        return abs(event.time - order.at) <= timedelta(days=1) and alike

    def of_order(self, order, again):
        key = order.name, order.event_id
        event = self.event_of.get(key)
        seen = self.seen.get(key)
        row = lambda cause, in_tiktok: Row(cause, *key, order.at, order, event, in_tiktok, again=again)
        if event is None:
            same_id = [e for e in self.shop.events if (e.name, e.event_id) == key]
            if any(e.test and e.source in self.group for e in same_id):
                cause = "test"
            elif any(not e.test and e.source not in self.group and self.looks_like(e, order) for e in same_id):
                cause = "other_source"
            elif seen:
                cause = "pixel_only"
            else:
                cause = "no_longer_known" if order.at < self.shop.now - KEPT else "no_event"
            return row(cause, seen is not None and not again)
        if event.status != "delivered":
            return row(event.status, seen is not None and not again)
        if again:
            return row("duplicate", False)
        cause = self.of_money(order, event)
        if cause is None and seen and timedelta(minutes=5) < event.at - seen <= 48 * HOUR:
            cause = "late"
        return row(cause, True)

    def of_money(self, order, event):
        if event.value is None:
            return "no_value" if order.value is not None else None
        if order.currency and event.currency and order.currency != event.currency:
            return "other_currency"
        if order.value is None:
            return "value_differs"
        if abs(order.value - event.value) < Decimal("0.005"):
            return None
        if event.value == 0:
            return "value_zero"
        if abs(event.value - 100 * order.value) < Decimal("0.5"):
            return "value_hundredfold"
        return "value_differs"

    def of_many(self):
        """One value, or one ratio, of at least five orders and half of all that differ."""
        for name in self.shop.names:
            differ = [r for r in self.rows if r.cause == "value_differs" and r.name == name]
            positive = [r for r in differ if r.value is not None and r.value > 0]
            ratio = lambda r: (r.value_sent / r.value).quantize(Decimal("0.01"), ROUND_HALF_UP)
            sent = Counter(r.value_sent for r in differ)
            ratios = Counter(ratio(r) for r in positive)
            for r in differ:
                if sent[r.value_sent] >= 5 and 2 * sent[r.value_sent] >= len(differ) and len({x.value for x in differ if x.value_sent == r.value_sent and x.value is not None}) >= 3:
                    r.cause = "value_constant"
                elif r in positive and ratios[ratio(r)] >= 5 and 2 * ratios[ratio(r)] >= len(positive) and Decimal("0.70") <= ratio(r) <= Decimal("0.97"):
                    r.cause = "value_net"

    def of_events(self, name):
        ordered = {o.event_id for o in self.shop.orders if o.name == name}
        self.alone = [e for (n, i), e in self.event_of.items() if n == name and i not in ordered and self.within(e.time)]
        for e in self.alone:
            cause = e.status
            if cause == "delivered":
                twin = [o for o in self.real if o is not e and e.transaction is not None and o.transaction == e.transaction and o.name == e.name and o not in self.alone]
                cause = "recorded_twice" if twin else "no_order"
            self.rows.append(Row(cause, name, e.event_id, e.time, None, e, e.status == "delivered" or (name, e.event_id) in self.seen))

    def of_reports(self):
        known = {(o.name, o.event_id) for o in self.shop.orders} | set(self.event_of)
        for (name, event_id), at in self.seen.items():
            if not self.within(at):
                continue
            cause = None
            event = self.event_of.get((name, event_id))
            if name in self.shop.names and (name, event_id) in known:
                if event and event.status == "delivered" and abs(event.at - at) > 48 * HOUR:
                    cause = "pixel_48_hours"
            elif event is None:
                unreported = any((n, event_id) in known and (n, event_id) not in self.seen for n in self.shop.names if n != name)
                if name in self.shop.names:
                    cause = "pixel_other_name" if unreported or any(e.event_id == event_id for e in self.real) else "pixel_other_id"
                elif unreported:
                    cause = "pixel_other_name"
            if cause:
                self.rows.append(Row(cause, name, event_id, at, in_tiktok=True))

    def differences(self):
        return Counter(r.shown() for r in self.rows if r.cause)

    def bridge(self):
        steps = defaultdict(lambda: [0, Decimal(0)])

        def add(name, currency, step, orders, money):
            steps[name, currency or "", step][0] += orders
            steps[name, currency or "", step][1] += money or 0

        for r in self.rows:
            report = r.order is None and r.event is None
            to_currency = r.currency if r.in_orders and (r.value_sent is None or r.currency_sent is None) else r.currency_sent
            step = "rounding" if r.cause in (None, "late") else r.cause
            if r.in_orders:
                add(r.name, r.currency, "your_orders", 1, r.value)
                add(r.name, r.currency, step, -1, -(r.value or 0))
            if r.by_server or report:
                add(r.name, to_currency, step, 1, r.value_sent)
                add(r.name, to_currency, "explained", 1, r.value_sent)
            elif r.in_tiktok:
                currency = r.currency if r.in_orders else r.currency_sent
                money = r.value if r.in_orders else r.value_sent
                add(r.name, currency, "pixel_alone", 1, money)
                add(r.name, currency, "explained", 1, money)
        first, last = -(-self.since.timestamp() // 86400), self.until.timestamp() // 86400
        days = [datetime.fromtimestamp(d * 86400, timezone.utc).date() for d in range(int(first), int(last))]
        for name in {c[2] for c in self.shop.counts}:
            for step, column in (("tiktok_server", 4), ("tiktok_browser", 3)):
                counts = [[c[column] for c in self.shop.counts if c[1:3] == (d, name) and c[column] is not None] for d in days]
                if any(counts):  # one day without a count, and the sum is not known
                    steps[name, "", step] = [sum(map(max, counts)) if all(counts) else "", None]
        return Counter((name, currency, step, str(orders), number(money) or "") for (name, currency, step), (orders, money) in steps.items()
                       if step in ("your_orders", "explained") or step.startswith("tiktok_") or orders or money)

    def reconcile(self):
        """By day of the shop's time zone; see COLUMNS."""
        rows = defaultdict(lambda: [0] * 11)
        day = lambda at: at.astimezone(self.shop.zone).date().isoformat()

        def add(at, name, currency, **what):
            row = rows[day(at), name, currency or ""]
            for column, n in what.items():
                row[COLUMNS.index(column)] += n or 0

        for r in self.rows:
            if r.order is None and r.event is None:
                continue
            status = r.event.status if r.event and r.cause != "duplicate" else None
            bad = status in NOT_ACCEPTED
            missing = r.in_orders and status is None
            add(r.at, r.name, r.currency if r.in_orders else r.currency_sent, your_rows=r.in_orders, recorded=status is not None,
                waiting=status in ("pending", "retrying"), suppressed=status == "suppressed", not_accepted=bad, missing=missing, extra=not r.in_orders,
                value=r.value, lost=(r.value if r.in_orders else r.value_sent) if bad or missing else 0)
            if status == "delivered":
                add(r.at, r.name, r.currency if r.in_orders and (r.value_sent is None or r.currency_sent is None) else r.currency_sent, delivered=1, value_sent=r.value_sent)
        return Counter((*key, *(number(Decimal(n)) for n in row)) for key, row in rows.items())


COLUMNS = ("your_rows", "recorded", "delivered", "waiting", "suppressed", "not_accepted", "missing", "extra", "value", "value_sent", "lost")


def ask(options, text):
    done = subprocess.run(["psql", "-XqAt", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", options.database], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done.stdout


def numbers(row, columns):
    return tuple(number(Decimal(v)) if n in columns and v else v for n, v in enumerate(row))


def questions(since, until):
    period = f"'shop', {quote(since)}, {quote(until)}"
    return (f"SELECT 'd', cause, event, event_id, value, currency, value_sent, currency_sent, in_orders, in_tiktok FROM tiktok.differences({period});\n"
            f"SELECT 'b', event, currency, step, orders, money FROM tiktok.bridge({period});\n"
            "SELECT 'r', day, event, currency, your_rows, recorded, delivered, waiting, suppressed, not_accepted, missing, extra, value, value_sent, value_not_accepted "
            f"FROM tiktok.reconcile({period}) WHERE your_rows IS NOT NULL;\n"
            "SELECT 'end';\n")


def check(shop, since, until, answer):
    """What is wrong with the answer, as lines, and how often each cause is in it."""
    expected = Expectation(shop, since, until)
    found = defaultdict(list)
    for line in answer.splitlines():
        kind, *row = line.split("\x1f")
        found[kind].append(numbers(row, {"d": (3, 5), "b": (4,), "r": (11, 12, 13)}[kind]))
    wrong = []
    for kind, what, wanted in (("d", "differences", expected.differences()), ("b", "bridge", expected.bridge()), ("r", "reconcile", expected.reconcile())):
        got = Counter(tuple(row) for row in found[kind])
        wrong += [f"{what}: missing {' | '.join(r)}" for r in (wanted - got).elements()]
        wrong += [f"{what}: unexpected {' | '.join(r)}" for r in (got - wanted).elements()]
    sums = defaultdict(lambda: [0, Decimal(0)])
    for event, currency, step, orders, money in found["b"]:
        if not step.startswith("tiktok_"):
            sign = -1 if step == "explained" else 1
            sums[event, currency][0] += sign * int(orders)
            sums[event, currency][1] += sign * Decimal(money)
    wrong += [f"bridge: {key} does not close: {total}" for key, total in sums.items() if total != [0, 0]]
    return wrong, Counter(row[0] for row in found["d"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shops", type=int, default=40)
    options = parser.parse_args()
    ask(options, SETUP)
    now = datetime.now(timezone.utc).replace(microsecond=0)
    causes, periods, failed = Counter(), 0, 0
    for seed in range(options.seed, options.seed + options.shops):
        shop = Shop(seed, now)
        # periods begin and end at the very moment of something
        middle = shop.random.choice([o.at for o in shop.orders] + [e.time for e in shop.events] + list(shop.reports.values()))
        ends = ((now - 41 * DAY, now), (now - 41 * DAY, middle), (middle, middle + shop.random.choice((26, 300)) * HOUR))
        answers = ask(options, shop.sql() + "".join(questions(*period) for period in ends)).split("end\n")
        for (since, until), answer in zip(ends, answers):
            wrong, seen = check(shop, since, until, answer)
            causes += seen
            periods += 1
            failed += bool(wrong)
            for line in wrong:
                print(f"seed {seed}, {since} to {until}: {line}")
    print("causes:", ", ".join(f"{cause} {n}" for cause, n in sorted(causes.items())))
    print(f"{failed} of {periods} periods differ")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
