"""Shops that do not exist: what their customers do, what the server records of it, and what goes wrong.

Everything is drawn from the seed of a shop, and nothing here knows what the product makes of it.
A shop is a list of rows, each with the time at which it can be known.
"""

import math
import random
from dataclasses import dataclass, field

MINUTE, HOUR, DAY, WEEK = 60, 3600, 86400, 7 * 86400

HOURS = (0.3, 0.2, 0.1, 0.1, 0.1, 0.2, 0.4, 0.7, 1.0, 1.2, 1.3, 1.3, 1.4, 1.2, 1.1, 1.2, 1.3, 1.4, 1.6, 1.9, 2.1, 1.9, 1.2, 0.8)
WEEKDAYS = (1.05, 1.0, 0.95, 0.95, 0.9, 1.0, 1.15)      # Monday first

EMAIL, PHONE, EXTERNAL_ID, TTCLID, TTP, IP, USER_AGENT = (1 << bit for bit in range(7))


@dataclass(frozen=True)
class Kind:
    """A healthy shop. What it has and what its customers are like."""
    source: str = "web"
    pixel: float = 0.85         # of the orders whose browser reports them
    truth: bool = True
    trigger: bool = True
    since: float = 90           # days of history
    weekdays: tuple = WEEKDAYS
    growth: float = 1.0         # a day
    promotion: tuple = ()       # (first day, last day, factor), days before or after the start
    renewals: float = 0         # of the orders: at three in the night, by the server alone
    consent: float = 1.0        # of the customers; the others are recorded and not sent
    pays_later: float = 0       # of the orders: paid hours or a day and a half later
    hours_west: int = 0
    zone: str = "UTC"
    currencies: tuple = (("EUR", 60.0),)
    tests: float = 0            # test events a day
    counts: str = ""            # TikTok's counts: raw, deduplicated
    counts_late: int = 1        # days after which they come
    cancelled: float = 0.01
    uploads: bool = False       # events of a till come once a night
    refused: float = 0.002
    back_office: float = 0.0005     # orders that make no event
    checkout: bool = False      # InitiateCheckout and AddToCart as well
    prices: float = 0.6         # spread of the values; 0: one price
    at_least: float = 0         # orders a day; smaller ones are not well


KINDS = {
    "steady": Kind(),
    "no_truth": Kind(truth=False),
    "no_pixel": Kind(pixel=0),
    "nothing_but_events": Kind(pixel=0, truth=False, trigger=False),
    "first_day": Kind(since=0.3),
    "first_week": Kind(since=5),
    "first_month": Kind(since=20, truth=False),
    "growing": Kind(growth=1.02),
    "season_ends": Kind(growth=0.96, truth=False),
    "promotion_begins": Kind(promotion=(1, 4, 4.0), truth=False),
    "promotion_ended": Kind(promotion=(-4, 0.5, 4.0), truth=False),
    "weekdays_only": Kind(weekdays=(1.4, 1.4, 1.4, 1.4, 1.3, 0.02, 0.02), truth=False),
    "weekends_only": Kind(weekdays=(0.2, 0.2, 0.2, 0.2, 0.9, 2.8, 2.5), truth=False),
    "renewals": Kind(renewals=0.5),
    "consent_half": Kind(consent=0.5),
    "pays_later": Kind(pays_later=0.25),
    "pacific": Kind(hours_west=8, zone="America/Los_Angeles"),
    "tokyo": Kind(hours_west=-9, zone="Asia/Tokyo", truth=False, currencies=(("JPY", 6000.0),)),
    "currencies": Kind(currencies=(("EUR", 60.0), ("USD", 65.0), ("JPY", 9000.0), ("IDR", 900000.0))),
    "currencies_no_truth": Kind(truth=False, currencies=(("EUR", 60.0), ("JPY", 9000.0))),
    "tests": Kind(tests=6),
    "counts_raw": Kind(counts="raw", checkout=True),
    "counts_deduplicated": Kind(counts="deduplicated", checkout=True),
    "counts_late": Kind(counts="raw", counts_late=4),
    "funnel": Kind(checkout=True, truth=False),
    "one_price": Kind(prices=0),
    "wide_prices": Kind(prices=1.6, truth=False),
    "cancellations": Kind(cancelled=0.12),
    "till": Kind(source="offline", pixel=0, uploads=True),
    "app": Kind(source="app", pixel=0, truth=False, trigger=False),
    "crm": Kind(source="crm", pixel=0, truth=False),
    "crm_optimised": Kind(source="crm", pixel=0, truth=False, at_least=10),
}

FUNNEL = (("new", "Lead", 1.0, 0), ("qualified", "Qualified_Lead", 0.4, 3), ("offer", "Offer", 0.5, 10), ("won", "Won", 0.3, 15), ("lost", "Disqualified", 0.0, 0))


@dataclass
class Order:
    number: int
    at: float               # when the event happened
    value: float
    currency: str
    keys: int
    event: str = "Purchase"
    consents: bool = True
    fires: float = 0        # when the Pixel fired; 0: it did not
    fires_as: str = ""
    fires_id: str = ""
    recorded: float = 0     # when; 0: not recorded
    event_id: str = ""
    order_id: str = ""
    sent_value: float = None
    sent_currency: str = None
    status: str = "delivered"
    reason: str = None
    delay: float = 2
    test: bool = False
    elsewhere: bool = False
    namesake: bool = False      # another shop has an order of the same number
    twice: bool = False
    in_truth: bool = True
    affected: bool = False


@dataclass
class Fault:
    """What goes wrong, in which shops, and who must say what by when."""
    kind: str
    words: str                      # of the row that names it
    orders: float = 1               # affected orders (or those that did not come) after which it must be named
    hours: float = 1                # at least
    harm: object = None             # changes an order
    sql: str = ""                   # what somebody does to the database
    share: float = 1.0
    sizes: tuple = (80, 10, 3)
    event: str = "Purchase"
    never: str = ""                 # words that blame what is well


def harm(**what):
    def change(order, dice):
        for name, value in what.items():
            setattr(order, name, value(order, dice) if callable(value) else value)
    return change


def net(order, dice):
    return round(order.value / 1.19, 2)


PAGE = r"no event here has|reported by the Pixel"

FAULTS = {
    "trigger_disabled": Fault("steady", r"trigger .* is disabled", 0, 1, harm(recorded=0), "ALTER TABLE {table} DISABLE TRIGGER ALL", never=PAGE),
    "trigger_disabled_no_truth": Fault("no_truth", r"trigger .* is disabled", 0, 1, harm(recorded=0), "ALTER TABLE {table} DISABLE TRIGGER ALL"),
    "trigger_dropped": Fault("no_truth", r"trigger .* is gone", 0, 1, harm(recorded=0), "DROP TRIGGER {trigger} ON {table}"),
    "nothing_recorded": Fault("steady", r"have no event|not recorded here", 3, 1.3, harm(recorded=0), never=PAGE),
    "some_not_recorded": Fault("steady", r"have no event|not recorded here", 5, 1.3, harm(recorded=0), share=0.3, never=PAGE),
    "numbers_of_another_shop": Fault("steady", r"have no event|not recorded here", 3, 1.3, harm(recorded=0, namesake=True), never=PAGE + "|another source"),
    "silence": Fault("no_truth", r"no Purchase was recorded", -1.3, 1, harm(recorded=0, fires=0)),
    # two weeks say less of what is to be expected than four
    "silence_after_first_week": Fault("first_month", r"no Purchase was recorded", -1.7, 1, harm(recorded=0, fires=0), sizes=(80, 10)),
    "other_source": Fault("steady", r"recorded for another source", 3, 1.3, harm(elsewhere=True)),
    "left_in_test": Fault("steady", r"recorded as test", 3, 1.3, harm(test=True)),
    "all_refused": Fault("steady", r"refused \d+ of|are rejected", 10, 1, harm(status="rejected", reason="code 40002")),
    "half_refused": Fault("no_truth", r"refused \d+ of|are rejected", 14, 1, harm(status="rejected", reason="code 40002"), share=0.5),
    "all_invalid": Fault("no_truth", r"are invalid|lack a usable value", 10, 1, harm(status="invalid", reason="value_syntax", sent_value=0)),
    "consent_gone": Fault("no_truth", r"had consent|not sent for want of consent", 12, 1, harm(status="suppressed", reason="no_consent")),
    "consent_lower": Fault("consent_half", r"had consent|not sent for want of consent", 40, 1, harm(status="suppressed", reason="no_consent"), sizes=(80, 10)),
    "email_gone": Fault("steady", r"have email", 12, 1, harm(keys=lambda o, d: o.keys & ~EMAIL)),
    "pixel_gone": Fault("no_truth", r"reported by the Pixel", 20, 1, harm(fires=0)),
    "pixel_other_ids": Fault("steady", r"event_id that no event here has", 26, 1, harm(fires_id=lambda o, d: "web-%08x" % d.getrandbits(32))),
    "pixel_other_name": Fault("steady", r"CompletePayment", 26, 1, harm(fires_as="CompletePayment")),
    "hundredfold": Fault("steady", r"hundred times|times those before", 12, 1, harm(sent_value=lambda o, d: 100 * o.value)),
    "hundredfold_no_truth": Fault("no_truth", r"times those before", 10, 1, harm(sent_value=lambda o, d: 100 * o.value)),
    "net_of_tax": Fault("steady", r"without tax", 12, 1, harm(sent_value=net)),
    "constant": Fault("steady", r"one and the same value|are all", 12, 1, harm(sent_value=1.0)),
    "value_missing": Fault("no_truth", r"lack a usable value", 12, 1, harm(sent_value=-1)),
    "other_currency": Fault("steady", r"in another currency", 12, 1, harm(sent_currency="USD")),
    "late": Fault("no_truth", r"reached TikTok more than 5 minutes late", 20, 1.5, harm(delay=1500)),
    "too_late": Fault("no_truth", r"after 48 hours|not recorded here", 12, 72, harm(delay=50 * HOUR)),
    "twice": Fault("steady", r"second event", 40, 1, harm(twice=True), never=PAGE),
    "one_id": Fault("steady", r"event_id of another order|have no event", 5, 1.3, harm(event_id="order-", recorded=0, order_id="order-", fires=0)),
    "lost_at_tiktok": Fault("counts_raw", r"TikTok counted \d+ of", 0, 120, harm(), sizes=(80,)),
    "stage_stopped": Fault("crm", r"no Qualified_Lead was recorded", -1.3, 1, harm(recorded=0), event="Qualified_Lead", sizes=(80, 10)),
    "leads_without_id": Fault("crm", r"lead_id", 12, 1, harm(status="invalid", reason="lead_id_missing", sent_value=0), event="Lead"),
    "paused": Fault("steady", r"is paused", 0, 1, harm(status="pending"), "SELECT tiktok.pause({source})"),
    "stuck": Fault("steady", r"events that wait: [1-9]", 1, 1.2, harm(status="pending")),
    "future": Fault("no_truth", r"in the future", 3, 1, harm(status="invalid", reason="future", sent_value=0)),
}


@dataclass
class Shop:
    name: str
    number: int
    kind_name: str
    size: float
    start: float
    end: float
    seed: str = ""
    fault_name: str = ""
    fault_at: float = 0
    rows: list = field(default_factory=list)
    missed: list = field(default_factory=list)     # times of affected orders
    rate_at_fault: float = 0

    def __post_init__(self):
        self.kind = KINDS[self.kind_name]
        self.fault = FAULTS.get(self.fault_name)
        self.dice = random.Random(f"{self.seed}/{self.name}")
        self.event_number = self.number * 1_000_000
        self.day_factors = {}
        self.live()

    # ---- Customers ----

    def rate(self, t):
        """Orders an hour, of a shop's own clock."""
        local = t - self.kind.hours_west * HOUR
        day = int(local // DAY)
        if day not in self.day_factors:
            self.day_factors[day] = math.exp(self.dice.gauss(-0.045, 0.3))
        since_start = (t - self.start) / DAY
        rate = self.size / 24.2 * HOURS[int(local % DAY // HOUR)] * self.kind.weekdays[(day + 3) % 7] * self.day_factors[day]
        rate *= self.kind.growth ** since_start
        if self.kind.promotion and self.kind.promotion[0] <= since_start < self.kind.promotion[1]:
            rate *= self.kind.promotion[2]
        return rate

    def arrivals(self, since, until, share=1.0):
        t = since
        while t < until:
            step = min(HOUR - t % HOUR, until - t)
            rate = self.rate(t) * share / HOUR
            at = t + (self.dice.expovariate(rate) if rate > 0 else step)
            while at < t + step:
                yield at
                at += self.dice.expovariate(rate)
            t += step

    def keys(self):
        keys = IP | USER_AGENT | EXTERNAL_ID
        for bit, share in ((EMAIL, 0.92), (PHONE, 0.5), (TTCLID, 0.2), (TTP, 0.6)):
            keys |= bit if self.dice.random() < share else 0
        return keys

    def order(self, at, event="Purchase"):
        currency, price = self.dice.choice(self.kind.currencies)
        value = price if self.kind.prices == 0 else round(price * math.exp(self.dice.gauss(0, self.kind.prices)), 2)
        self.event_number += 1
        order = Order(self.event_number, at, value, currency, self.keys(), event)
        order.event_id = order.order_id = f"{self.name}-{order.number}"
        order.recorded = at + self.dice.uniform(0.01, 1)
        order.consents = self.dice.random() < self.kind.consent
        if not order.consents:
            order.status, order.reason = "suppressed", "no_consent"
        elif self.dice.random() < self.kind.refused:
            order.status, order.reason = "rejected", "code 40002"
        if order.consents and self.dice.random() < self.kind.pixel:
            order.fires = at + self.dice.uniform(1, 20)
        return order

    def orders(self):
        since = max(self.start - min(self.kind.since, 36) * DAY, self.start - self.kind.since * DAY)
        for at in self.arrivals(since, self.end, 1 - self.kind.renewals):
            order = self.order(at)
            if self.dice.random() < self.kind.pays_later:
                later = self.dice.uniform(0.5, 36) * HOUR
                order.at, order.recorded = order.at + later, order.recorded + later
            if self.kind.uploads:
                order.recorded = (order.at // DAY + 1) * DAY + 2 * HOUR + self.dice.uniform(0, 60)
            if self.dice.random() < self.kind.back_office:
                order.recorded = order.fires = 0
            if self.dice.random() < self.kind.cancelled:
                order.in_truth = False
            yield order
        if self.kind.renewals:
            for day in range(int(since // DAY), int(self.end // DAY) + 1):
                for _ in range(int(self.size * self.kind.renewals + self.dice.random())):
                    order = self.order(day * DAY + 3 * HOUR + self.dice.uniform(0, 1200))
                    order.fires, order.keys = 0, EMAIL | EXTERNAL_ID
                    if order.at >= since:
                        yield order
        if self.kind.checkout:
            for event, share in (("AddToCart", 4.0), ("InitiateCheckout", 1.5), ("ViewContent", 1.5)):
                for at in self.arrivals(since, self.end, share):
                    order = self.order(at, event)
                    order.in_truth = False
                    if event == "ViewContent":      # from the server alone
                        order.fires = 0
                    yield order

    def leads(self):
        since = self.start - 90 * DAY
        for at in self.arrivals(since, self.end):
            t = at
            for stage, event, share, days in FUNNEL:
                if self.dice.random() >= share:
                    break
                t += self.dice.expovariate(1 / (days * DAY)) if days else 0
                if t > self.end:
                    break
                lead = self.order(t, event)
                lead.keys, lead.fires, lead.in_truth, lead.sent_value = EMAIL, 0, False, -1
                if t > self.start - 36 * DAY:
                    yield lead

    # ---- What is known of them ----

    def live(self):
        for order in self.leads() if self.kind.source == "crm" else self.orders():
            if self.fault and order.at >= self.fault_at and order.event == self.fault.event and self.dice.random() < self.fault.share:
                self.fault.harm(order, self.dice)
                self.missed.append(order.at)
            self.tell(order)
        for _ in range(int(self.kind.tests * (self.end - self.start) / DAY)):
            order = self.order(self.dice.uniform(self.start - WEEK, self.end))
            order.test, order.in_truth, order.fires = True, False, 0
            self.tell(order)
        if self.kind.counts:
            self.count()
        self.rows.sort(key=lambda row: row[0])
        self.missed.sort()
        self.number_events()

    def number_events(self):
        """Events have their numbers in the order in which they are recorded."""
        numbers = {}
        for i, (at, table, values) in enumerate(self.rows):
            if table in ("event", "delivery"):
                number = numbers.setdefault(values[0], self.number * 1_000_000 + len(numbers) + 1)
                self.rows[i] = (at, table, (number, *values[1:]))

    def add(self, at, table, *values):
        if at < self.end:
            self.rows.append((at, table, values))

    def tell(self, order):
        source = 1 if order.elsewhere else self.number
        value = order.value if order.sent_value is None else order.sent_value
        currency = order.sent_currency or order.currency
        if value < 0 or order.status == "invalid":
            value = currency = None
        sent = order.status not in ("invalid", "suppressed")
        if order.recorded:
            for copy in range(2 if order.twice else 1):
                number = order.number + 500_000 * copy
                event_id = order.event_id + "-b" * copy
                recorded = order.recorded + (order.delay if order.delay > 5 else 0)
                at = recorded + self.dice.uniform(0.5, 3) if sent else recorded
                self.add(recorded, "event", number, source, order.event, event_id, order.at, recorded, value, currency, order.keys,
                         None, "TEST1" if order.test else None, "{}" if sent else None)
                if order.status != "pending":
                    self.add(at, "delivery", number, 1 if sent else None, order.status, order.reason, at)
        if order.namesake:
            at = order.at - self.dice.uniform(1, 40) * HOUR
            self.add(at, "event", order.number, 1, order.event, order.event_id, at, at, round(order.value * self.dice.uniform(1.1, 2), 2), order.currency, order.keys, None, None, "{}")
            self.add(at, "delivery", order.number, 1, "delivered", None, at)
        if order.fires:
            self.add(order.fires + 2, "pixel_seen", order.fires_id or order.event_id, order.fires_as or order.event, self.number, order.fires)
        if self.kind.truth and order.in_truth:
            # what a till sells is known when it is uploaded
            self.add(order.recorded if self.kind.uploads and order.recorded else order.at, "truth", order.order_id, order.value, order.currency, order.at)

    def count(self):
        """TikTok's counts of days that are over, as it shows them some days later."""
        seen = {}
        reported = {(row[2][0], row[2][1]) for row in self.rows if row[1] == "pixel_seen"}
        delivered = {row[2][0] for row in self.rows if row[1] == "delivery" and row[2][2] == "delivered"}
        for _, table, row in self.rows:
            if table == "pixel_seen":
                day, event, side, weight = row[3] // DAY, row[1], 0, 1
            elif table == "event" and row[0] in delivered and not row[10]:
                day, event, side = row[4] // DAY, row[2], 1
                weight = 0 if self.kind.counts == "deduplicated" and (row[3], row[2]) in reported else 1
                if self.fault_name == "lost_at_tiktok" and row[4] >= self.fault_at and self.dice.random() < 0.3:
                    weight = 0
            else:
                continue
            seen.setdefault((int(day), event), [0, 0])[side] += weight
        for (day, event), (browser, server) in seen.items():
            known = (day + 1 + self.kind.counts_late) * DAY + 5 * HOUR
            self.add(known, "platform_count", self.name, day, event, browser, server, browser + server)

    def expected_until(self, wanted):
        """When the shop would have had so many orders since the fault began, by the rate that it has on an average day."""
        rate = {"Qualified_Lead": 0.4}.get(self.fault.event, 1.0)
        t, orders = self.fault_at, 0.0
        while orders < wanted and t < self.fault_at + 60 * DAY:
            local = t - self.kind.hours_west * HOUR
            orders += self.size / 24.2 * HOURS[int(local % DAY // HOUR)] * self.kind.weekdays[(int(local // DAY) + 3) % 7] * rate
            t += HOUR
        return t

    def deadline(self):
        """By when the fault must be named. Below 0: so many times what must be expected before silence is one."""
        orders = self.fault.orders
        if orders < 0:
            a_week = 7 * self.size * {"Qualified_Lead": 0.4}.get(self.fault.event, 1.0)
            by_orders = self.expected_until(-orders * min(max(8, 5 * math.sqrt(a_week)), 48))
        elif orders == 0:
            by_orders = self.fault_at
        else:
            orders = math.ceil(orders)
            by_orders = self.missed[orders - 1] if len(self.missed) >= orders else self.end
        # orders count as missing when they are a quarter of an hour old
        return max(by_orders + 20 * MINUTE, self.fault_at + self.fault.hours * HOUR)
