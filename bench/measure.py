"""Every figure of the bench; started by bench/run, which says how."""

import argparse
import contextlib
import glob
import json
import os
import signal
import socket
import subprocess
import sys
import time
from statistics import median

import report
from report import OTHER, OURS, PLAIN
from server import HERE, Bench, Failed, command, cpu_time, own_memory, wait_until

SIZES = {
    "quick": dict(turns=3, bulk=5000, small=20_000, large=100_000, huge=0, queue=30_000, runs=1, post=0.5, idle=6, clients=1, wal=5000,
                  look_ups=500, shutdowns=1, history=100_000, retention=20_000, latency=((0, 60), (1, 3), (100, 2), (5000, 2))),
    "normal": dict(turns=7, bulk=20_000, small=100_000, large=1_000_000, huge=0, queue=100_000, runs=3, post=1, idle=12, clients=3, wal=20_000,
                   look_ups=4000, shutdowns=3, history=1_000_000, retention=200_000, latency=((0, 250), (1, 8), (100, 5), (5000, 5))),
    "full": dict(turns=7, bulk=20_000, small=100_000, large=1_000_000, huge=5_000_000, queue=100_000, runs=3, post=2, idle=60, clients=10, wal=50_000,
                 look_ups=10_000, shutdowns=5, history=10_000_000, retention=1_000_000, latency=((0, 500), (1, 20), (100, 20), (5000, 20))),
}
PARTS = ("trigger", "query", "drain", "latency", "wal", "clients", "idle", "history", "retention", "shutdown")
CURVE = 20      # points
ENVELOPE = 70   # bytes of a request around its events


def k(n):
    return f"{n / 1e6:g} M" if n >= 1e6 else f"{n / 1e3:g} k"


def percentile(values, p):
    values = sorted(values)
    return values[min(int(len(values) * p), len(values) - 1)]


def thousands(v):
    return f"{v:,.0f}".replace(",", " ")


class Run:
    """Figures of one run, and what they are measured with."""

    def __init__(self, bench, size):
        self.bench, self.size = bench, SIZES[size]
        self.rows, self.samples, self.panels = [], {}, []

    def row(self, what, figure, budget="", baseline="", ratio="", ok=None):
        self.rows.append((what, budget, figure, baseline, ratio, "" if ok is None else "pass" if ok else "FAIL"))

    def say(self, text):
        print(f"{time.monotonic() - self.begin:5.0f} s  {text}", flush=True)

    # What an order costs

    def trigger(self):
        """Bulk inserts into the four tables; the worker is not there."""
        bench, n = self.bench, self.size["bulk"]
        bench.create_shop("bulk")
        turns = []
        for turn in range(self.size["turns"]):
            turns.append({row[0]: (float(row[1]), float(row[2])) for row in bench.db("bulk").query(f"SELECT * FROM bulk_insert({n}, {turn})")})
        self.samples["trigger"] = turns

        def extra(target, clock):
            return median(t[target][clock] - t["orders_plain"][clock] for t in turns)
        cpu, wall = extra("orders", 0), extra("orders", 1)
        ratio = median((t["orders"][0] - t["orders_plain"][0]) / (t["orders_plpgsql"][0] - t["orders_plain"][0]) for t in turns)
        plain = median(t["orders_plain"][0] for t in turns)
        self.row("trigger: extra per order row, bulk insert", f"{cpu:.1f} us CPU, {wall:.1f} us wall", "<= 18 us", f"{plain:.1f} us without",
                 f"{(cpu + plain) / plain:.1f}", cpu <= 18)
        self.row("  against the same outbox in PL/pgSQL", f"{cpu:.1f} us CPU", "<= 0.42 x", f"{extra('orders_plpgsql', 0):.1f} us CPU", f"{ratio:.3f}", ratio <= 0.42)
        self.row("  against a queue table, one row, in PL/pgSQL", f"{cpu:.1f} us CPU", "", f"{extra('orders_queue', 0):.1f} us CPU", f"{cpu / extra('orders_queue', 0):.3f}")
        xids = self.transaction_ids("orders") - self.transaction_ids("orders_plain")
        self.row("  extra transaction ids", str(xids), "0", ok=xids == 0)
        self.panels.append(report.bar_panel(
            "Order row in a bulk insert", "CPU time per row, us",
            [("no trigger", [plain]), ("tiktok.track_row", [plain + cpu]), ("the same outbox\nin PL/pgSQL, jsonb", [plain + extra("orders_plpgsql", 0)]),
             ("queue table, one row,\nin PL/pgSQL, jsonb", [plain + extra("orders_queue", 0)])],
            [PLAIN, OURS, OTHER, "#e5a48f"], limit=(plain + 18, "budget: +18 us"), note=f"{len(turns)} x {k(n)} rows, median"))

    def query(self):
        """Bulk inserts of rows that are completed from other tables; what is compared is the statement that completes them."""
        bench, n = self.bench, self.size["bulk"]
        bench.create_shop("related")
        turns = []
        for turn in range(self.size["turns"]):
            turns.append({row[0]: float(row[1]) for row in bench.db("related").query(f"SELECT * FROM related_insert({n}, {turn})")})
        self.samples["query"] = turns
        cost = {target: median(t[target] for t in turns) for target in turns[0]}
        ours, hand = (median(t[target] - t["related_row"] for t in turns) for target in ("related_query", "related_hand"))
        ratio = median((t["related_query"] - t["related_row"]) / (t["related_hand"] - t["related_row"]) for t in turns)
        self.row("trigger without a query: extra per order row", f"{cost['related_row'] - cost['related_plain']:.1f} us CPU", "<= 18 us", f"{cost['related_plain']:.1f} us without",
                 f"{cost['related_row'] / cost['related_plain']:.1f}", cost["related_row"] - cost["related_plain"] <= 18)
        self.row("  with a query: what that adds", f"{ours:.1f} us CPU", "<= 1.1 x", f"{hand:.1f} us the same statement in PL/pgSQL", f"{ratio:.2f}", ratio <= 1.1)

    def transaction_ids(self, table):
        """How many a statement of 1000 rows draws; the least of three, because others may draw some too."""
        db, drawn = self.bench.db("bulk"), []
        for _ in range(3):
            base = int(db.value("SELECT nextval('order_number') * 1000000"))
            before = int(db.value("SELECT pg_snapshot_xmax(pg_current_snapshot())"))
            db.query(f"INSERT INTO {table} SELECT * FROM sample_orders({base}, {base + 999})")
            drawn.append(int(db.value("SELECT pg_snapshot_xmax(pg_current_snapshot())")) - before)
        return min(drawn)

    # Backlogs

    def copy_in(self, db, table, file):
        """COPY FROM a file: microseconds of CPU and wall time in all."""
        cpu = float(db.value("SELECT cpu_time()"))
        begin = time.monotonic()
        db.query(f"COPY {table} FROM '{file}'")
        return float(db.value("SELECT cpu_time()")) - cpu, (time.monotonic() - begin) * 1e6

    def fill(self, name, orders, others):
        """A database with a backlog in the extension's queue and in the queue table with a status column; by COPY, each in one transaction."""
        self.bench.create_shop(name)
        db, spent = self.bench.db(name), {}
        for n, tables in ((orders, ("orders_plain", "orders")), (others, ("orders_plpgsql", "orders_queue"))):
            file = self.bench.path("pg", "orders.copy")
            db.query(f"COPY (SELECT * FROM sample_orders(1, {n})) TO '{file}'")
            for table in tables:
                spent[table] = [v / max(n, 1) for v in self.copy_in(db, table, file)]
            os.unlink(file)
        db.query("TRUNCATE orders_plain, orders, orders_plpgsql, orders_queue, outbox, outbox_identity")
        for table in ("tiktok.event", "tiktok.identity", "queue"):
            db.query(f"VACUUM (ANALYZE) {table}")
        self.bench.forget(name)
        return spent

    def copy_rows(self, spent):
        n = self.size["large"]
        plain, ours, other = (spent[t] for t in ("orders_plain", "orders", "orders_plpgsql"))
        ratio = (ours[0] - plain[0]) / (other[0] - plain[0])
        self.row(f"COPY of {k(n)} orders through the trigger", f"{ours[1] * n / 1e6:.1f} s, +{ours[0] - plain[0]:.1f} us CPU a row",
                 baseline=f"{plain[1] * n / 1e6:.1f} s without; PL/pgSQL +{other[0] - plain[0]:.1f} us", ratio=f"{ratio:.2f}")

    def clone(self, template):
        """A copy of a filled database, with its worker waiting for a token.  It is in the cache, as what was just recorded is."""
        bench = self.bench
        self.drop_run()
        bench.db("postgres").query(f"CREATE DATABASE run TEMPLATE {template} STRATEGY FILE_COPY")
        bench.db("run").query("CREATE EXTENSION pg_prewarm")
        bench.db("run").query("SELECT pg_prewarm(oid) FROM pg_class WHERE relkind IN ('r', 'i') AND oid >= 16384")
        return bench.worker("run")

    def drop_run(self):
        self.bench.forget("run")
        self.bench.db("postgres").query("DROP DATABASE IF EXISTS run")

    def drain(self, worker, events, held=False):
        """From the token to the last event: rate, CPU time, memory."""
        bench, db, memory = self.bench, self.bench.db("run"), []
        with self.held_transaction("run") if held else contextlib.nullcontext():
            used, waited = cpu_time(worker)
            sink = self.sink_cpu()
            bench.give_token("run")
            bench.wait_delivered("run", events, lambda: memory.append(own_memory(worker)))
            wait_until(lambda: int(db.value("SELECT count(*) FROM tiktok.request WHERE finished_at IS NULL")) == 0, "requests without an end")
            used, waited, sink = cpu_time(worker)[0] - used, cpu_time(worker)[1] - waited, self.sink_cpu() - sink
        requests = [(float(t), int(n)) for t, n in db.query(
            "SELECT extract(epoch FROM finished_at - min(started_at) OVER ()), events FROM tiktok.request ORDER BY finished_at")]
        done = int(db.value("SELECT count(*) FROM tiktok.delivery WHERE status = 'delivered'"))
        if done != events:
            raise Failed(f"{done} of {events} events are delivered")
        return dict(rate=events / requests[-1][0], cpu=used / events * 1e6, waited=waited / requests[-1][0], sink=sink / events * 1e6,
                    memory=memory, curve=self.curve(requests, events), requests=len(requests),
                    bytes=float(db.value("SELECT sum(bytes) / sum(events)::float8 FROM tiktok.request")))

    @staticmethod
    def curve(requests, events):
        """(share of the backlog, events per second there) from (time, events)."""
        points, done, since, counted = [], 0, 0.0, 0
        for at, n in requests:
            done, counted = done + n, counted + n
            if counted >= events / CURVE and at > since:
                points.append((100 * done / events, counted / (at - since)))
                since, counted = at, 0
        return points

    @contextlib.contextmanager
    def held_transaction(self, name):
        """A forgotten transaction with an id and a snapshot."""
        holder = self.bench.connect(name)
        holder.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.query("SELECT pg_current_xact_id()")
        try:
            yield
        finally:
            holder.close()

    def sink_cpu(self):
        """Seconds of CPU time of nginx's worker process."""
        master = self.bench.running["nginx"].pid
        with open(f"/proc/{master}/task/{master}/children") as f:
            return sum(cpu_time(pid)[0] for pid in f.read().split())

    # Baselines

    def post(self, version, in_flight, size, events, seconds=None):
        """Ready-made bodies: events per second, and microseconds of CPU time per event."""
        out = command([self.bench.path("client"), "post", self.bench.url, self.bench.ca, str(version), str(in_flight), str(int(size)), str(events),
                       str(seconds or self.size["post"])])
        n, wall, cpu = (float(v) for v in out.split())
        return n / wall, cpu / n * 1e6

    def status_queue(self, clients, held=False, in_flight=0):
        """Drains the queue table of database run by so many clients, each with so many requests of one event at once or one request per batch:
        events per second, and the curve."""
        conninfo = f"host={self.bench.path('pg')} port={self.bench.port} user=postgres dbname=run"
        args = [self.bench.path("client"), "queue", self.bench.url, self.bench.ca, conninfo, "1000", str(in_flight)]
        with self.held_transaction("run") if held else contextlib.nullcontext():
            running = [subprocess.Popen(args, stdout=subprocess.PIPE, text=True) for _ in range(clients)]
            results = [p.communicate()[0].split() for p in running]
        if any(p.returncode for p in running):
            raise Failed("the client of the queue table failed")
        events, seconds = sum(int(r[0]) for r in results), max(float(r[1]) for r in results)
        finished = [(float(t), 1) for (t,) in self.bench.db("run").query(
            "SELECT extract(epoch FROM delivered_at - min(claimed_at) OVER ()) FROM queue ORDER BY delivered_at")]
        return dict(rate=events / seconds, curve=self.curve(finished, events))

    def best_single(self, size):
        """The setting with which ready bodies of one event are posted fastest."""
        settings = [(version, in_flight) for version in (1, 2) for in_flight in (4, 16, 64, 128)]
        rates = [[self.post(*s, size, 1, 0.3)[0] for s in settings] for _ in range(3)]
        return max(zip(settings, zip(*rates)), key=lambda trial: median(trial[1]))[0]

    def best_settings(self):
        """The size of an event, and the settings with which queue table, a request per event from it, and ready bodies of one event are fastest."""
        trials = []
        for clients in (1, 2, 4):
            per_event = self.drain(self.clone("small"), self.size["small"])["bytes"]
            trials.append((self.status_queue(clients)["rate"], clients))
        clients = max(trials)[1]
        trials = []
        for setting in ((1, 16), (1, 64), (2, 16), (2, 64)):
            self.clone("small")
            trials.append((self.status_queue(setting[0], in_flight=setting[1])["rate"], setting))
        webhook = max(trials)[1]
        single = self.best_single(per_event + ENVELOPE)
        self.say(f"fastest: queue table with {clients} clients, a request per event from it with {webhook[0]} of {webhook[1]} at once, "
                 f"ready bodies of one event over HTTP/{single[0]} with {single[1]} at once")
        return per_event, clients, webhook, single

    def drains(self):
        """All drains, with the baselines between them."""
        bench, size = self.bench, self.size
        result = {name: [] for name in ("small", "large", "held", "queue", "queue_held", "bare", "webhook", "each")}
        self.fill("small", size["small"], size["queue"])
        self.copy_rows(self.fill("large", size["large"], size["queue"]))
        self.say("backlogs are there")
        per_event, clients, webhook, single = self.best_settings()
        for turn in range(size["runs"]):
            result["small"].append(self.drain(self.clone("small"), size["small"]))
            result["webhook"].append(self.status_queue(webhook[0], in_flight=webhook[1]))
            for name, held in ((("large", False), ("held", True)) if turn % 2 == 0 else (("held", True), ("large", False))):
                worker = self.clone("large")
                result[name].append(self.drain(worker, size["large"], held))
                result["queue_held" if held else "queue"].append(self.status_queue(clients, held))
                result["bare"].append(self.post(1, 4, per_event * 1000, 1000))
                result["each"].append(self.post(*single, per_event + ENVELOPE, 1))
                if name == "large" and len(result["large"]) == size["runs"]:
                    self.look_ups(size["large"])
            self.say(f"drained {k(size['large'])}: {thousands(result['large'][-1]['rate'])} events/s, "
                     f"with a transaction held open {thousands(result['held'][-1]['rate'])}")
        if size["huge"]:
            self.drop_run()
            self.fill("huge", size["huge"], 0)
            bench.db("postgres").query("ALTER DATABASE huge RENAME TO run")
            # the others begin with clean buffers, because CREATE DATABASE has copied them
            bench.db("postgres").query("CHECKPOINT")
            result["huge"] = [self.drain(bench.worker("run"), size["huge"])]
            self.look_ups(size["huge"])
        self.drop_run()
        for name in ("small", "large"):
            bench.db("postgres").query(f"DROP DATABASE {name}")
        self.samples["drain"] = result
        rate = self.drain_rows(result, clients, webhook, single)
        self.look_up_rows()
        self.drain_panels(result, rate)

    def drain_rows(self, result, clients, webhook, single):
        """Adds the rows of the table; returns the rates they show."""
        size = self.size
        rate = {name: median(r["rate"] if isinstance(r, dict) else r[0] for r in runs) for name, runs in result.items()}
        cpu = {name: median(r["cpu"] for r in result[name]) for name in ("small", "large", "held", "huge") if name in result}
        ours = rate["large"]
        self.row(f"drain of a {k(size['large'])} backlog, 1000-event batches",
                 f"{thousands(ours)} events/s; {cpu['large']:.1f} us CPU each, {median(r['waited'] for r in result['large']):.0%} of the time waiting for a CPU",
                 ">= 0.2 x", f"bare libcurl {thousands(rate['bare'])}/s", f"{ours / rate['bare']:.2f}", ours >= 0.2 * rate["bare"])
        self.row(f"  against a request per event, as database webhooks do ({webhook[0]} x {webhook[1]} at once)", f"{thousands(ours)} events/s", ">= 5 x",
                 f"{thousands(rate['webhook'])}/s", f"{ours / rate['webhook']:.1f}", ours >= 5 * rate["webhook"])
        self.row(f"    ready bodies of one event, no database (HTTP/{single[0]}, {single[1]} at once)", f"{thousands(ours)} events/s", "",
                 f"{thousands(rate['each'])}/s", f"{ours / rate['each']:.1f}")
        self.row(f"  against a queue table, SKIP LOCKED, clients: {clients}", f"{thousands(ours)} events/s", ">= 8 x", f"{thousands(rate['queue'])}/s",
                 f"{ours / rate['queue']:.1f}", ours >= 8 * rate["queue"])
        ratio = median(h["rate"] / p["rate"] for h, p in zip(result["held"], result["large"]))
        self.row("  with a transaction held open", f"{thousands(rate['held'])} events/s; {cpu['held']:.1f} us CPU each", ">= 0.95 x",
                 f"{thousands(ours)}/s not held; {cpu['large']:.1f} us", f"{ratio:.2f}", ratio >= 0.95)
        self.row("    the queue table likewise", f"{thousands(rate['queue_held'])} events/s", "", f"{thousands(rate['queue'])}/s not held",
                 f"{rate['queue_held'] / rate['queue']:.2f}")
        for name in ("large", "huge"):
            if name in result:
                self.row(f"backlog of {k(size[name])} against {k(size['small'])}", f"{thousands(rate[name])} events/s; {cpu[name]:.1f} us CPU each", ">= 0.9 x",
                         f"{thousands(rate['small'])}/s; {cpu['small']:.1f} us", f"{rate[name] / rate['small']:.2f}", rate[name] >= 0.9 * rate["small"])
        drains = result.get("huge") or result["large"]
        peak = max(max(r["memory"]) for r in drains)
        first, second = (median(max(half(r["memory"])) for r in drains) for half in (lambda m: m[:len(m) // 2 + 1], lambda m: m[len(m) // 2:]))
        self.row("memory of the worker during the drain", f"{peak:.1f} MB, second half {second:.1f}", "<= 64 MB, flat", f"first half {first:.1f} MB",
                 f"{second / first:.2f}", peak <= 64 and second <= 1.1 * first)
        return rate

    def drain_panels(self, result, rate):
        size = self.size
        self.panels.append(report.bar_panel(
            f"Delivery from a backlog of {k(size['large'])}", "events per second, logarithmic",
            [("tiktok_events", [rate["large"]]), ("transaction\nheld open", [rate["held"]]), ("queue table", [rate["queue"]]), ("queue table,\nheld", [rate["queue_held"]]),
             ("a request\nper event", [rate["webhook"]]), ("ready bodies\n(limit)", [rate["bare"]])],
            report.COLOURS, log=True, limit=(60000, "budget: 60 k")))
        curves = {"tiktok_events": result["large"], "held open": result["held"], "queue table": result["queue"], "queue table, held": result["queue_held"]}
        self.panels.append(report.curve_panel(
            "The course of a drain", "share of the backlog delivered", "events per second",
            {name: sorted(runs, key=lambda r: r["rate"])[len(runs) // 2]["curve"] for name, runs in curves.items()}, report.COLOURS, 100,
            range(0, 101, 20), x_unit=" %"))
        backlog = [(name, size[name]) for name in ("small", "large", "huge") if name in result]
        self.panels.append(report.bar_panel("Size of the backlog", "events per second", [(k(n), [rate[name]]) for name, n in backlog], [OURS], x_title="events waiting",
                                            limit=(0.9 * rate["small"], f"budget: 0.9 x {k(size['small'])}", True)))
        memory = {f"backlog of {k(n)}": [(100 * i / max(len(m) - 1, 1), v) for i, v in enumerate(m)]
                  for name, n in backlog if (m := result[name][-1]["memory"]) and len(m) > 1}
        self.panels.append(report.curve_panel("Memory of the worker during a drain", "time, of the whole drain", "MB not shared", memory, [OURS, OTHER, PLAIN], 100,
                                              range(0, 101, 20), limit=(64, "budget: 64 MB"), x_unit=" %"))

    def look_ups(self, events):
        """event_status by event_id, in database run with everything delivered."""
        self.bench.db("run").query("ANALYZE tiktok.delivery")
        sql = {"prepared": ("SELECT * FROM tiktok.event_status WHERE event_id = 'SO-' || :n", "prepared"),
               "plain": ("SELECT * FROM tiktok.event_status WHERE event_id = 'SO-' || :n", "simple"),
               "event": ("SELECT * FROM tiktok.event WHERE event_id = 'SO-' || :n", "prepared")}
        ms = {}
        for name, (query, mode) in sql.items():
            ms[name] = median(self.pgbench("run", f"\\set n random(1, {events})\n{query};\n", "-M", mode, "-t", str(self.size["look_ups"])))
        self.samples.setdefault("look_ups", {})[events] = ms

    def look_up_rows(self):
        for events, ms in self.samples["look_ups"].items():
            self.row(f"event_status by event_id, {k(events)} events", f"{ms['prepared']:.2f} ms; planned each time {ms['plain']:.2f}", "<= 0.3 ms",
                     f"{ms['event']:.2f} ms, tiktok.event alone", f"{ms['prepared'] / ms['event']:.1f}", ms["prepared"] <= 0.3)

    def pgbench(self, name, script, *options):
        """Milliseconds of each transaction."""
        file, log = self.bench.path("script.sql"), self.bench.path("transactions")
        with open(file, "w") as f:
            f.write(script)
        self.output = command(self.bench.program("pgbench", "-n", "-f", file, "--log", f"--log-prefix={log}", *options, name), cwd=self.bench.dir)
        values = []
        for part in glob.glob(f"{log}.*"):
            with open(part) as f:
                values += [int(line.split()[2]) / 1000 for line in f]
            os.unlink(part)
        return values

    # A shop at work

    def commit_to_wire(self, name, *options, pause=""):
        """Milliseconds from the recording of an event to the arrival of its request; nginx knows whole ones, of which the end is taken."""
        db, script = self.bench.db(name), ("SELECT tiktok.track('shop', 'ViewContent', 'l' || nextval('order_number'), user_data => '{\"external_id\": \"17\"}', "
                                           "page => '{\"url\": \"https://shop.example.com/\"}');\n")
        last, offset = int(db.value("SELECT coalesce(max(id), 0) FROM tiktok.event")), os.path.getsize(self.bench.arrivals)
        self.pgbench(name, script + pause, *options)
        self.settle(name)
        with open(self.bench.arrivals) as f:
            f.seek(offset)
            arrived = {request: float(at) - float(lasted) + 0.001 for at, lasted, request in (line.split() for line in f)}
        return [(arrived[request] - float(at)) * 1000 for request, at in db.query(
            "SELECT q.request_id, extract(epoch FROM e.enqueued_at) FROM tiktok.event e JOIN tiktok.delivery d ON d.id = e.id "
            f"JOIN tiktok.request q ON q.id = d.request_id WHERE e.id > {last}")]

    def latency(self):
        """One event at a time on an idle queue, and steady rates; the commit's own flush is part of it."""
        commit = percentile(self.pgbench("shop", "INSERT INTO orders_plain SELECT o.* FROM nextval('order_number') n, sample_orders(n, n) o;\n", "-t", "200"), 0.5)
        groups, samples = [], {}
        for rate, amount in self.size["latency"]:
            if rate <= 1:
                values = self.commit_to_wire("shop", "-t", str(amount), pause=f"\\sleep {20 if rate == 0 else 1000} ms\n")
                reached = ""
            else:
                values = self.commit_to_wire("shop", "-c", "4" if rate < 1000 else "16", "-j", "2", "-R", str(rate), "-T", str(amount))
                reached = f" at {len(values) / amount:.0f}/s"
            p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
            samples[rate] = dict(events=len(values), p50=p50, p99=p99)
            budget, ok = "", None
            if rate == 0:
                budget, ok = "p50 <= 2, p99 <= 10", p50 <= 2 and p99 <= 10
            elif rate == 100:
                budget, ok = "p50 <= commit + 0.6, p99 <= commit + 3", p50 <= commit + 0.6 and p99 <= commit + 3
            name = "idle queue" if rate == 0 else f"{thousands(rate)} event{'s' if rate > 1 else ''}/s"
            self.row(f"commit to request on the wire, {name}", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms ({thousands(len(values))} events{reached})",
                     budget, f"commit alone p50 {commit:.1f} ms", f"{p50 / commit:.1f}", ok)
            groups.append((name, [p50, p99]))
        self.samples["latency"] = dict(commit=commit, rates=samples)
        self.panels.append(report.bar_panel("From commit to the request on the wire", "milliseconds, logarithmic", groups, [OURS, OTHER], log=True,
                                            limit=(10, "budget of p99, idle queue: 10 ms", True), names=("p50", "p99")))

    def settle(self, name):
        """Waits until nothing is unfinished."""
        if self.bench.db(name).value("SELECT tiktok.wait('5 min')") != "t":
            raise Failed("some events were not delivered in five minutes")

    def orders(self, db, table, n):
        """Transactions of 1000 orders."""
        for _ in range(n // 1000):
            base = int(db.value("SELECT nextval('order_number')")) * 1000
            db.query(f"INSERT INTO {table} SELECT * FROM sample_orders({base}, {base + 999})")

    def wal(self):
        """WAL from the order's row to the delivered event; interleaved, without autovacuum."""
        bench, db, n = self.bench, self.bench.db("shop"), self.size["wal"]
        turns = []

        def written(action):
            begin = db.value("SELECT pg_current_wal_insert_lsn()")
            action()
            return float(db.value(f"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{begin}')")) / n
        bench.set("autovacuum", "off")
        for _ in range(3):
            plain = written(lambda: self.orders(db, "orders_plain", n))
            bench.set("tiktok_events.enabled", "off")
            ours = written(lambda: self.orders(db, "orders", n)) - plain
            deliver = written(lambda: (bench.set("tiktok_events.enabled", "on"), self.settle("shop")))
            other = written(lambda: self.orders(db, "orders_queue", n)) - plain
            drain = written(lambda: self.drain_queue("shop"))
            turns.append((plain, ours, deliver, other, drain))
        bench.set("autovacuum", "on")
        self.samples["wal"] = turns
        plain, ours, deliver, other, drain = (median(t[i] for t in turns) for i in range(5))
        size = [float(v) for v in db.query("SELECT avg(octet_length(payload::text)), max(octet_length(payload::text)) FROM "
                                           "(SELECT payload FROM tiktok.event WHERE event = 'Purchase' ORDER BY id DESC LIMIT 1000) e")[0]]
        self.row(f"WAL per event, enqueue to delivered, {size[0]:.0f}-byte payload", f"{ours + deliver:.0f} bytes ({ours:.0f} + {deliver:.0f})", "<= 1.6 kB",
                 f"{other + drain:.0f} bytes, queue table ({other:.0f} + {drain:.0f})", f"{(ours + deliver) / (other + drain):.2f}", ours + deliver <= 1600)
        self.panels.append(report.bar_panel("WAL per event", "bytes", [("enqueue", [ours, other]), ("deliver", [deliver, drain]), ("in all", [ours + deliver, other + drain])],
                                            [OURS, OTHER], limit=(1600, "budget: 1600 in all", True), names=("tiktok_events", "queue table in PL/pgSQL"),
                                            note="without the order's own"))

    def drain_queue(self, name):
        command([self.bench.path("client"), "queue", self.bench.url, self.bench.ca,
                 f"host={self.bench.path('pg')} port={self.bench.port} user=postgres dbname={name}", "1000", "0"])

    def clients(self):
        """64 clients, one order per transaction, the worker delivering."""
        tables = ("orders_plain", "orders", "orders_plpgsql")
        tps, cpu = {t: [] for t in tables}, {t: [] for t in tables}
        self.bench.set("autovacuum", "off")
        for turn in range(3):
            for i in range(3):
                table = tables[(turn + i) % 3]
                rate, each = self.busy_clients("shop", table)
                tps[table].append(rate)
                cpu[table].append(each)
                self.settle("shop")
        self.bench.set("autovacuum", "on")
        self.samples["clients"] = dict(tps=tps, cpu=cpu)
        rate, used = ({t: median(v) for t, v in d.items()} for d in (tps, cpu))
        for table, what in (("orders", "64 clients, one order per transaction, delivering"), ("orders_plpgsql", "  the same outbox in PL/pgSQL, not delivering")):
            ratio = median(t / p for t, p in zip(tps[table], tps["orders_plain"]))
            self.row(what, f"{thousands(rate[table])} tps, {used[table]:.0f} us CPU each", ">= 0.68 x" if table == "orders" else "",
                     f"{thousands(rate['orders_plain'])} tps, {used['orders_plain']:.0f} us without", f"{ratio:.2f}", ratio >= 0.68 if table == "orders" else None)
        self.panels.append(report.bar_panel("64 clients, one order per transaction", "transactions per second",
                                            [(name, [rate[t]]) for name, t in zip(("no trigger", "tiktok.track_row,\ndelivering", "the same outbox in PL/pgSQL,\nnot delivering"), tables)],
                                            [PLAIN, OURS, OTHER], note=f"3 x {self.size['clients']} s, median"))

    def busy_clients(self, name, table):
        """Transactions per second of 64 sessions, and microseconds of CPU time of a session for each; what a session does first,
        when it knows no table yet, costs a multiple and is over by then."""
        db, file = self.bench.db(name), self.bench.path("script.sql")
        sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbench'"

        def numbers():
            return int(db.value("SELECT last_value FROM order_number"))
        with open(file, "w") as f:
            f.write(f"INSERT INTO {table} SELECT o.* FROM nextval('order_number') n, sample_orders(n, n) o;\n")
        first = numbers()
        pgbench = subprocess.Popen(self.bench.program("pgbench", "-n", "-f", file, "-M", "prepared", "-c", "64", "-j", "2", "-T", "3600", name),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: numbers() - first >= 64 * 20 or pgbench.poll() is not None, "twenty transactions of each session")
            pids = [int(pid) for (pid,) in db.query(sessions)]
            begin, first, used = time.monotonic(), numbers(), sum(cpu_time(pid)[0] for pid in pids)
            time.sleep(self.size["clients"])
            took, done, used = time.monotonic() - begin, numbers() - first, sum(cpu_time(pid)[0] for pid in pids) - used
        except FileNotFoundError:
            raise Failed(f"a session of pgbench has ended\n{pgbench.stderr.read()[-2000:]}") from None
        finally:
            pgbench.kill()
            pgbench.communicate()
        wait_until(lambda: not db.query(sessions), "the end of all sessions")
        if len(pids) < 64 or done == 0:
            raise Failed(f"{len(pids)} sessions have made {done} transactions")
        return done / took, used / done * 1e6

    def idle(self):
        """A worker with nothing to do."""
        bench, seconds = self.bench, self.size["idle"]
        bench.set("autovacuum", "off")
        self.settle("shop")
        bench.forget("shop")
        worker = bench.worker("shop")
        transactions = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'shop'"
        time.sleep(6)           # statistics of what was before may be sent at the next wake-up only
        before, cpu = int(bench.db("postgres").value(transactions)), cpu_time(worker)[0]
        time.sleep(seconds)
        ran, cpu = int(bench.db("postgres").value(transactions)) - before, cpu_time(worker)[0] - cpu
        bench.set("autovacuum", "on")
        self.samples["idle"] = dict(seconds=seconds, transactions=ran, cpu=cpu)
        self.row(f"idle worker, {seconds} s", f"{ran} statements, {cpu / seconds:.3%} CPU ({cpu * 1e3:.2f} ms)", "0, 0.0 %", ok=ran == 0 and cpu / seconds < 0.0005)

    def shutdown(self):
        """Fast shutdowns, in turn with an idle worker and with requests that nobody answers."""
        bench, seconds = self.bench, {"idle": [], "hanging": []}
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(64)
            for _ in range(self.size["shutdowns"]):
                bench.worker("shop")
                bench.db("postgres").query("CHECKPOINT")
                seconds["idle"].append(bench.stop_server())
                bench.start_server()
                bench.worker("shop")
                bench.set("tiktok_events.endpoint", f"'http://127.0.0.1:{deaf.getsockname()[1]}/'")
                self.orders(bench.db("shop"), "orders", 5000)
                wait_until(lambda: int(bench.db("shop").value("SELECT in_flight FROM tiktok.worker_status WHERE database = 'shop'")) > 0, "a request under way")
                bench.set("tiktok_events.endpoint", f"'{bench.endpoint}'")
                bench.db("postgres").query("CHECKPOINT")
                if bench.db("shop").value("SELECT in_flight FROM tiktok.worker_status WHERE database = 'shop'") == "0":
                    raise Failed("the requests without an answer came to an end")
                seconds["hanging"].append(bench.stop_server())
                bench.start_server()
        self.samples["shutdown"] = seconds
        idle, hanging = (median(seconds[name]) for name in ("idle", "hanging"))
        self.row("fast shutdown with a hanging endpoint", f"{hanging:.2f} s", "< 1 s", f"{idle:.2f} s with an idle worker", f"{hanging / idle:.1f}", hanging < 1)

    def history(self):
        """The trigger and the drain with a long history, beside the same without one."""
        bench, n, chunk = self.bench, self.size["history"], self.size["small"]
        bench.create_shop("history")
        bench.give_token("history")
        bench.worker("history")
        db = bench.db("history")
        for first in range(1, n, chunk):
            db.query(f"INSERT INTO orders SELECT * FROM sample_orders({first}, {min(first + chunk - 1, n)})")
            db.query("TRUNCATE orders")
        self.settle("history")
        self.say(f"{k(n)} events of history are delivered")
        rate, cost = {"shop": [], "history": []}, {"shop": [], "history": []}
        for turn in range(3):
            for name in rate:
                bench.set("tiktok_events.enabled", "off")
                spent = {row[0]: float(row[1]) for row in bench.db(name).query(f"SELECT * FROM bulk_insert({chunk}, {turn})")}
                cost[name].append(spent["orders"] - spent["orders_plain"])
                last = bench.db(name).value("SELECT coalesce(max(id), 0) FROM tiktok.request")
                bench.set("tiktok_events.enabled", "on")
                self.settle(name)
                rate[name].append(float(bench.db(name).value(f"SELECT sum(events) / extract(epoch FROM max(finished_at) - min(started_at)) FROM tiktok.request WHERE id > {last}")))
        self.samples["history"] = dict(events=n, rate=rate, cost=cost)
        ratio = median(h / s for h, s in zip(rate["history"], rate["shop"]))
        self.row(f"drain of {k(chunk)} with {k(n)} delivered events of history", f"{thousands(median(rate['history']))} events/s", "",
                 f"{thousands(median(rate['shop']))}/s without", f"{ratio:.2f}")
        ratio = median(h / s for h, s in zip(cost["history"], cost["shop"]))
        self.row(f"trigger with {k(n)} delivered events of history", f"{median(cost['history']):.1f} us CPU", "", f"{median(cost['shop']):.1f} us without", f"{ratio:.2f}")

    def retention(self):
        """tiktok.purge beside steady traffic; the old events belong to a source without a token, which the worker leaves alone."""
        bench, n, traffic = self.bench, self.size["retention"], ("-c", "4", "-j", "2", "-R", "100", "-T", "5")
        self.drop_run()
        bench.create_shop("run")
        bench.give_token("run")
        bench.worker("run")
        db = bench.db("run")
        db.query("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('past', 'web', 'CBENCH0000000002')")
        db.query("WITH e AS (INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, payload) "
                 "SELECT s.id, 'Purchase', 'P-' || g, now() - interval '60 days', now() - interval '60 days', json_build_object('filler', repeat('x', 680)) "
                 f"FROM tiktok.source s, generate_series(1, {n}) g WHERE s.name = 'past' RETURNING id, enqueued_at) "
                 "INSERT INTO tiktok.delivery (id, status, at) SELECT id, 'delivered', enqueued_at FROM e")
        alone = self.commit_to_wire("run", *traffic)
        purge = subprocess.Popen(bench.program("psql", "-XqAt", "-c", "\\timing on", "-c", "SELECT events FROM tiktok.purge('30 days')", "run"),
                                 stdout=subprocess.PIPE, text=True, cwd="/")
        beside = self.commit_to_wire("run", *traffic)
        deleted, took = purge.communicate()[0].split()[:3:2]
        if int(deleted) != n:
            raise Failed(f"{deleted} of {n} events were deleted")
        rate, times = n / float(took) * 1000, [(percentile(v, 0.5), percentile(v, 0.99)) for v in (beside, alone)]
        self.samples["retention"] = dict(events=n, rate=rate, beside=times[0], alone=times[1])
        self.row(f"retention: {k(n)} events deleted beside 100 events/s", f"{thousands(rate)} events/s; commit to wire p50 {times[0][0]:.1f} ms, p99 {times[0][1]:.1f} ms", "",
                 f"p50 {times[1][0]:.1f} ms, p99 {times[1][1]:.1f} ms before", f"{times[0][0] / times[1][0]:.1f}")
        self.drop_run()

    def measure(self, parts):
        self.begin = time.monotonic()
        bench = self.bench
        bench.build()
        bench.build_client()
        bench.start_sink()
        bench.start_cluster(f"tiktok_events.endpoint = '{bench.endpoint}'\ntiktok_events.ca_file = '{bench.ca}'\ntiktok_events.databases = 'shop, run, history'")
        self.pages = "huge" if bench.has_huge_pages() else "small"
        self.bench.create_shop("shop")
        self.bench.give_token("shop")
        self.bench.worker("shop")
        for part in PARTS:
            if part in parts:
                self.say(part)
                getattr(self, "drains" if part == "drain" else part)()


def machine():
    """Busy seconds of all CPUs since the start of the system."""
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, softirq, steal = (int(v) for v in f.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own():
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system


def write(run, folder, title, note):
    os.makedirs(folder, exist_ok=True)
    text = f"{title}\n{note}\n\n{report.table(run.rows)}"
    for name, content in (("table.txt", text), ("plot.svg", report.page(run.panels, title, note)), ("samples.json", json.dumps(run.samples, indent=1))):
        with open(os.path.join(folder, name), "w") as f:
            f.write(content)
    print(f"\n{text}\n{folder}/table.txt, plot.svg, samples.json")


def stop(number, frame):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("-o", dest="folder", default=os.path.join(HERE, "results"))
    parser.add_argument("words", nargs="*", metavar="quick|full|PART")
    args = parser.parse_intermixed_args()
    sizes, parts = [w for w in args.words if w in SIZES], [w for w in args.words if w in PARTS]
    if len(sizes) > 1 or len(sizes) + len(parts) < len(args.words):
        parser.error(f"sizes are {', '.join(SIZES)}; parts are {', '.join(PARTS)}")
    size = (sizes or ["normal"])[0]
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, stop)
    began, busy, used, load = time.monotonic(), machine(), own(), os.getloadavg()[0]
    bench = Bench()
    try:
        run = Run(bench, size)
        run.measure(parts or [p for p in PARTS if p != "history" or size == "full"])
    except Failed as failure:
        sys.exit(f"bench/run: {failure}")
    except KeyboardInterrupt:
        sys.exit("bench/run: interrupted")
    finally:
        bench.finish()
    took = time.monotonic() - began
    others = max(machine() - busy - (own() - used), 0) / took / os.cpu_count()
    title = f"tiktok_events on PostgreSQL {bench.major}, {size} sizes, {time.strftime('%Y-%m-%d %H:%M')}, {took:.0f} s"
    note = f"{os.cpu_count()} CPUs, shared memory in {run.pages} pages, load {load:.1f} before and {os.getloadavg()[0]:.1f} after; other processes used {others:.0%} of the machine"
    if others > 0.1:
        note += ": trust ratios and CPU times only"
    write(run, args.folder, title, note)
    sys.exit(1 if any(row[5] == "FAIL" for row in run.rows) else 0)


if __name__ == "__main__":
    main()
