#!/usr/bin/env python3
"""Tests of the rehearsal server (events_api.py).  Prints TAP.

Starts the server as a user would, on free ports of 127.0.0.1, and talks to it
with the standard library's clients or plain sockets.
"""

import base64
import contextlib
import copy
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER = os.path.join(HERE, "events_api.py")
TRACK = "/open_api/v1.3/event/track/"
TOKEN = "token-of-the-test"
NOW = int(time.time())
DAY = 86400


# ---------------------------------------------------------------------------
# TAP
# ---------------------------------------------------------------------------

class Tap:

    def __init__(self):
        self.count = 0
        self.failed = 0

    def ok(self, passed, name, got=None):
        self.count += 1
        print(f"{'ok' if passed else 'not ok'} {self.count} - {name}", flush=True)
        if not passed:
            self.failed += 1
            print(f"#   got: {got}", flush=True)

    def equal(self, got, wanted, name):
        self.ok(got == wanted, name, f"{got!r}\n#   wanted: {wanted!r}")

    def finish(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.failed else 0)


tap = Tap()


# ---------------------------------------------------------------------------
# The server, and clients of it
# ---------------------------------------------------------------------------

class Server:
    """The server as a subprocess in a directory of its own."""

    def __init__(self, *arguments, tokens=(TOKEN,), https=False, directory=None):
        self.home = tempfile.TemporaryDirectory()
        self.dir = directory or self.home.name
        command = [sys.executable, SERVER, "--dir", self.dir, "--quiet",
                   "--parent-pid", str(os.getpid()), *arguments]
        for token in tokens:
            command += ["--token", token]
        if https:
            command += ["--https-port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.ready = self._wait_until_ready()
        self.client = http.client.HTTPConnection("127.0.0.1", self.ready["http_port"],
                                                 timeout=10)

    def _wait_until_ready(self):
        path = os.path.join(self.dir, "ready")
        deadline = time.monotonic() + 10
        while not os.path.exists(path):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(f"no start: {self.process.stderr.read()}")
            time.sleep(0.01)
        with open(path) as file:
            return json.load(file)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.process.terminate()
        self.output, self.errors = self.process.communicate()
        if self.errors:
            print("# " + self.errors.replace("\n", "\n# "))
        self.home.cleanup()

    def call(self, method, path, body=None, headers=None):
        """One exchange on the kept connection: (status, parsed body or text)."""
        try:
            self.client.request(method, path, body, headers or {})
            response = self.client.getresponse()
            return response.status, parsed(response.read())
        except (OSError, http.client.HTTPException):
            self.client.close()
            raise

    def post(self, body, token=TOKEN, **more):
        """Posts to the track endpoint; body is JSON text or a value."""
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        headers = {"Content-Type": "application/json", "Access-Token": token, **more}
        return self.call("POST", TRACK, body, {name: value for name, value in headers.items()
                                               if value is not None})

    def code(self, body, **more):
        return self.post(body, **more)[1]["code"]

    def get(self, path):
        return self.call("GET", f"/_rehearsal/{path}")[1]

    def control(self, path, value=None):
        return self.call("POST", f"/_rehearsal/{path}", json.dumps(value))[1]

    def script(self, *rules):
        status, answer = self.call("POST", "/_rehearsal/script", json.dumps(rules))
        assert status == 200, answer

    def stats(self):
        return self.get("stats")

    def raw(self, body=None, read=True, length=None):
        """Posts over a fresh socket and reads to the end: what is really sent."""
        data = json.dumps(batch(web()) if body is None else body).encode()
        length = length or len(data)
        request = (f"POST {TRACK} HTTP/1.1\r\nHost: t\r\nAccess-Token: {TOKEN}\r\n"
                   f"Content-Type: application/json\r\nConnection: close\r\n"
                   f"Content-Length: {length}\r\n\r\n").encode() + data
        connection = socket.create_connection(("127.0.0.1", self.ready["http_port"]), 10)
        connection.sendall(request)
        return read_all(connection) if read else connection


def parsed(body):
    with contextlib.suppress(ValueError):
        return json.loads(body)
    return body


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain")
        time.sleep(0.01)


def read_all(connection, limit=1 << 30):
    """The bytes until the end of the stream, and how it ended."""
    received = b""
    with connection:
        while len(received) < limit:
            try:
                piece = connection.recv(65536)
            except ConnectionResetError:
                return received, "reset"
            if not piece:
                return received, "closed"
            received += piece
    return received, "enough"


# ---------------------------------------------------------------------------
# Requests that keep the contract
# ---------------------------------------------------------------------------

def sha(value):
    return hashlib.sha256(value.encode()).hexdigest()


def item(content_id="SKU-1", price=12.5, quantity=2):
    return {"content_id": content_id, "content_name": "Enamel mug",
            "content_category": "Kitchen", "brand": "Example", "price": price,
            "quantity": quantity}


def web(**more):
    return {"event": "Purchase", "event_time": NOW - 60, "event_id": "order-1",
            "user": {"email": sha("someone@example.com"), "ip": "203.0.113.9",
                     "user_agent": "Example/1.0"},
            "page": {"url": "https://shop.example.com/thanks"},
            "properties": {"contents": [item()], "content_ids": ["SKU-1"],
                           "content_type": "product", "num_items": 2,
                           "currency": "EUR", "value": 25},
            **more}


def app(**more):
    return {"event": "LaunchAPP", "event_time": NOW - 60, "event_id": "launch-1",
            "user": {"idfa": "A1B2C3D4-0000-4000-8000-00000000000F",
                     "att_status": "AUTHORIZED"},
            "app": {"app_id": "com.example.mugs", "app_name": "Mugs", "app_version": "2.1"},
            "ad": {"callback": "c", "attributed": True, "attribution_share": 0.5},
            **more}


def offline(**more):
    return {"event": "Purchase", "event_time": NOW - 60, "event_id": "till-1",
            "user": {"phone": sha("+493012345678")},
            "properties": {"currency": "EUR", "value": 3.2, "shop_id": "7",
                           "delivery_category": "in_store"},
            **more}


def crm(**more):
    return {"event": "Qualified", "event_time": NOW - 60, "event_id": "lead-1-qualified",
            "user": {"email": sha("lead@example.com")},
            "lead": {"lead_id": "7412345678901234567", "lead_event_source": "Example CRM"},
            **more}


EVENTS = {"web": web, "app": app, "offline": offline, "crm": crm}
SOURCE_IDS = {"web": "CWEB1", "app": "7000000000000000001", "offline": "7000000000000000002",
              "crm": "7000000000000000003"}


def batch(*events, source="web", **more):
    return {"event_source": source, "event_source_id": SOURCE_IDS[source],
            "data": list(events), **more}


def everything_about_a_web_user():
    return {"email": [sha("a@example.com"), sha("b@example.com")],
            "phone": [sha("+1"), sha("+2"), sha("+3"), sha("+4"), sha("+5")],
            "external_id": sha("customer 9"), "ttclid": "E.C.P." + "x" * 994,
            "ttp": "01HZEXAMPLE", "ip": "2001:db8::7", "user_agent": "Example/1.0 (\u00e4)",
            "locale": "en_US", "first_name": sha("jane"), "last_name": sha("doe"),
            "zip_code": sha("95110"), "city": "sanjose", "state": "ca", "country": "us"}


def everything_about_an_app_user():
    return {"gaid": sha("aaaa-bbbb"), "idfv": "8c1a0f4e-0000-4000-8000-000000000001",
            "email": sha("p@example.com"), "phone": sha("+4"), "ip": "8.8.8.8",
            "user_agent": "Mugs/2", "locale": "de", "att_status": "NOT_APPLICABLE"}


CONFORMING = {
    "a web purchase": batch(web()),
    "several lines of one order": batch(web(properties={
        "contents": [item("A", 1, 1), item("B", 0.5, 3)], "content_ids": ["A", "B"],
        "content_type": "product_group", "num_items": 4, "currency": "JPY", "value": 2.5,
        "order_id": "9", "description": "d", "customer_type": "new", "predicted_ltv": 80.1})),
    "a web user with every field": batch(web(user=everything_about_a_web_user())),
    "limited data use": batch(web(limited_data_use=True)),
    "a test event": batch(web(), test_event_code="TEST123"),
    "a custom event": batch(web(event="Quote_Requested-2")),
    "a legacy event name": batch(web(event="CompletePayment")),
    "an installation": batch(app(event="InstallApp"), source="app"),
    "an app user with every other field": batch(
        app(user=everything_about_an_app_user()), source="app"),
    "a sale at the till": batch(offline(), source="offline"),
    "a lead that moved on": batch(crm(), source="crm"),
    "a batch of two": batch(web(), web(event="ViewContent", event_id="view-1")),
}


def test_conforming(server):
    for name, body in CONFORMING.items():
        tap.equal(server.post(body)[1].get("message"), "OK", f"accepted: {name}")
    status, answer = server.post(batch(web(event_id="envelope")))
    tap.ok(status == 200 and answer.pop("request_id").isalnum()
           and answer == {"code": 0, "message": "OK", "data": {}},
           "the envelope of a success", answer)
    ids = {server.post(batch(web()))[1]["request_id"] for _ in range(20)}
    tap.equal(len(ids), 20, "request ids are unique")
    full = batch(*[web(event_id=f"full-{number}") for number in range(1000)])
    tap.equal(server.code(full), 0, "1000 events are accepted")


# ---------------------------------------------------------------------------
# Each rule: the nearest accepted value and a refused one
# ---------------------------------------------------------------------------

DELETE = object()
HEX = sha("x")
ARRAY = [sha("1"), sha("2")]
IDS = [sha(f"id {number}") for number in range(6)]
IDFA = "A1B2C3D4-0000-4000-8000-00000000000F"

# source, path, accepted, refused; what is refused is named by the path.
RULES = [
    # Strings, never null and never empty
    ("web", "event_id", "7", 7),
    ("web", "event_id", "x" * 128, "x" * 129),
    ("web", "event_id", "a b", "a\nb"),
    ("web", "event_id", "e", "\u00e9"),
    ("web", "event_id", "1", DELETE),
    ("web", "event_id", "1", None),
    ("web", "event_id", "1", ""),
    ("app", "event_id", "1", DELETE),
    ("web", "properties.description", "x", ""),
    ("web", "properties.description", "x", " \t"),
    ("web", "properties.description", DELETE, None),
    ("web", "properties.order_id", "12", 12),
    ("web", "properties.search_string", "mug", ["mug"]),
    ("web", "user.user_agent", "x", True),
    # Time
    ("web", "event_time", NOW - 60, DELETE),
    ("web", "event_time", NOW - 60, str(NOW)),
    ("web", "event_time", NOW - 60, NOW + 0.5),
    ("web", "event_time", NOW - 60, True),
    ("web", "event_time", NOW - 60, -1),
    ("web", "event_time", NOW - 60, (NOW - 60) * 1000),
    ("web", "event_time", NOW + 540, NOW + 700),
    ("web", "event_time", NOW - 7 * DAY + 60, NOW - 7 * DAY - 60),
    ("app", "event_time", NOW - 7 * DAY + 60, NOW - 7 * DAY - 60),
    ("offline", "event_time", NOW - 28 * DAY + 60, NOW - 28 * DAY - 60),
    ("crm", "event_time", NOW - 28 * DAY + 60, NOW - 28 * DAY - 60),
    # Names
    ("web", "event", "Purchase", DELETE),
    ("web", "event", "Purchase", "purchase"),
    ("web", "event", "SubmitForm", "Submitform"),
    ("web", "event", "PlaceAnOrder", "Checkout"),
    ("web", "event", "LaunchAPP", "Registration"),
    ("web", "event", "x" * 50, "x" * 51),
    ("web", "event", "Q1", "1Q"),
    ("web", "event", "Quote_a-b", "Quote a"),
    ("web", "event", "Angebot", "Angebot\u00e4"),
    ("app", "event", "Checkout", "Browse"),
    ("app", "event", "LaunchAPP", "LaunchApp"),
    ("offline", "event", "CompletePayment", "Qualified"),
    ("crm", "event", "\u0e14\u0e35", "\u0e14\u0e35 "),
    ("crm", "event", "Lead", "lead"),
    # Required objects
    ("web", "user", {"ttp": "1"}, DELETE),
    ("web", "user", {"ttp": "1"}, {}),
    ("web", "user", {"ttp": "1"}, []),
    ("web", "page", {"url": "http://a"}, DELETE),
    ("web", "page", {"url": "http://a"}, "http://a"),
    ("web", "page.url", "http://a.example/?b#c", "/thanks"),
    ("web", "page.url", "https://a.example", "https://a .example"),
    ("web", "page.referrer", DELETE, ""),
    ("app", "app", {"app_id": "1"}, DELETE),
    ("app", "app.app_id", "1", DELETE),
    ("app", "app.app_id", "1", 343200656),
    ("offline", "user", {"email": HEX}, DELETE),
    ("crm", "lead", {"lead_id": "1"}, DELETE),
    ("crm", "lead.lead_id", "7412345678901234567", 7412345678901234567),
    ("crm", "lead.lead_id", "1", DELETE),
    # Fields of other sources, and unknown ones
    ("web", "user.idfa", DELETE, IDFA),
    ("web", "user.phone_number", DELETE, HEX),
    ("web", "app", DELETE, {"app_id": "1"}),
    ("web", "lead", DELETE, {"lead_id": "1"}),
    ("web", "test_event_code", DELETE, "TEST1"),
    ("web", "action_source", DELETE, "web"),
    ("web", "page.title", DELETE, "x"),
    ("web", "ad.callback", DELETE, "x"),
    ("web", "properties.status", DELETE, "x"),
    ("web", "properties.query", DELETE, "x"),
    ("web", "properties.contents_ids", DELETE, ["x"]),
    ("web", "properties.contents.0.content_type", DELETE, "product"),
    ("app", "user.external_id", DELETE, HEX),
    ("app", "user.ttclid", DELETE, "x"),
    ("app", "user.first_name", DELETE, HEX),
    ("app", "page", DELETE, {"url": "http://a"}),
    ("app", "app.version", DELETE, "1"),
    ("offline", "user.external_id", DELETE, HEX),
    ("offline", "user.ip", DELETE, "8.8.8.8"),
    ("offline", "page", DELETE, {"url": "http://a"}),
    ("offline", "limited_data_use", DELETE, False),
    ("offline", "properties.customer_type", DELETE, "new"),
    ("crm", "user.external_id", HEX, "x"),
    ("crm", "user.user_agent", DELETE, "x"),
    ("crm", "ad", DELETE, {"ad_id": "1"}),
    ("crm", "lead.stage", DELETE, "x"),
    # Identifiers that must be hashes
    ("web", "user.email", HEX, "someone@example.com"),
    ("web", "user.email", HEX, HEX.upper()),
    ("web", "user.email", HEX, HEX[:-1]),
    ("web", "user.email", HEX, HEX[:-1] + "g"),
    ("web", "user.email", HEX, sha("")),
    ("web", "user.email", sha("nil"), sha("null")),
    ("web", "user.phone", sha("+1"), sha("+")),
    ("web", "user.phone", HEX, "+12025550143"),
    ("web", "user.external_id", sha("1"), sha("0")),
    ("web", "user.external_id", HEX, sha("undefined")),
    ("web", "user.external_id", HEX, sha("none")),
    ("web", "user.first_name", HEX, "jane"),
    ("web", "user.last_name", HEX, sha("n/a")),
    ("web", "user.zip_code", HEX, "95110"),
    ("web", "user.email", ARRAY, []),
    ("web", "user.email", ARRAY, 7),
    ("web", "user.email", ARRAY, ARRAY[:1]),
    ("web", "user.email", ARRAY, ARRAY[:1] * 2),
    ("web", "user.phone", IDS[:5], IDS),
    ("web", "user.first_name", HEX, ARRAY),
    ("web", "user.ttp", "x", ["x", "y"]),
    # Identifiers that must not be
    ("web", "user.city", "sanjose", "San Jose"),
    ("web", "user.city", "koln", "k\u00f6ln"),
    ("web", "user.city", "sanjose", HEX),
    ("web", "user.state", "ca", "CA"),
    ("web", "user.country", "us", "usa"),
    ("web", "user.country", "us", "US"),
    ("web", "user.ttclid", "x" * 1000, "x" * 1001),
    ("web", "user.ttp", "x" * 1000, "x" * 1001),
    ("web", "user.locale", "zh-Hans-CN", "german, I think"),
    ("web", "user.ip", "203.0.113.1", "203.0.113.256"),
    ("web", "user.ip", "203.0.113.1", "203.0.113.01"),
    ("web", "user.ip", "203.0.113.1", "203.0.113.1/32"),
    ("web", "user.ip", "9.255.255.255", "10.0.0.0"),
    ("web", "user.ip", "1.0.0.0", "0.1.2.3"),
    ("web", "user.ip", "100.128.0.1", "100.127.255.255"),
    ("web", "user.ip", "128.0.0.1", "127.0.0.1"),
    ("web", "user.ip", "169.253.1.1", "169.254.1.1"),
    ("web", "user.ip", "172.32.0.1", "172.31.0.1"),
    ("web", "user.ip", "192.167.1.1", "192.168.1.1"),
    ("web", "user.ip", "223.255.255.255", "224.0.0.1"),
    ("web", "user.ip", "198.51.100.1", "255.255.255.255"),
    ("web", "user.ip", "2001:0db8:0000:0000:0000:0000:0000:0001", "::1"),
    ("web", "user.ip", "2001:db8::1", "::"),
    ("web", "user.ip", "fbff::1", "fd00::1"),
    ("web", "user.ip", "fec0::1", "fe80::1"),
    ("web", "user.ip", "2001:db8::1", "fe80::1%eth0"),
    ("web", "user.ip", "2001:db8::1", "ff02::1"),
    ("web", "user.ip", "203.0.113.1", "::ffff:203.0.113.1"),
    ("app", "user.idfa", IDFA, IDFA.lower()),
    ("app", "user.idfa", sha(IDFA), sha(IDFA).upper()),
    ("app", "user.idfa", IDFA, "00000000-0000-0000-0000-000000000000"),
    ("app", "user.idfa", IDFA, sha("00000000-0000-0000-0000-000000000000")),
    ("app", "user.gaid", IDFA.lower(), IDFA),
    ("app", "user.gaid", IDFA.lower(), "not a gaid"),
    ("app", "user.idfv", IDFA, sha(IDFA)),
    ("app", "user.att_status", "RESTRICTED", "restricted"),
    # Money and things
    ("web", "properties.value", 25, "25"),
    ("web", "properties.value", 0, -0.01),
    ("web", "properties.value", 25.5, None),
    ("web", "properties.value", 1, True),
    ("web", "properties.value", 1e300, 10**310),
    ("web", "properties.currency", "EUR", DELETE),
    ("web", "properties.currency", "EUR", "eur"),
    ("web", "properties.currency", "ZAR", "BGN"),
    ("app", "properties.currency", "BGN", "LKR"),
    ("web", "properties.currency", "EUR", "EURO"),
    ("web", "properties.content_type", "product_group", "products"),
    ("web", "properties.customer_type", "returning", "old"),
    ("web", "properties.delivery_category", "curbside", "drone"),
    ("web", "properties.num_items", 2, 3),
    ("web", "properties.num_items", 2, 2.0),
    ("web", "properties.content_ids", ["SKU-1"], ["SKU-2"]),
    ("web", "properties.content_ids", DELETE, []),
    ("web", "properties.content_ids", ["SKU-1"], "SKU-1"),
    ("web", "properties.contents", DELETE, []),
    ("web", "properties.contents", [item()], item()),
    ("web", "properties.contents.0", item(), {}),
    ("web", "properties.contents.0", item(), "SKU-1"),
    ("web", "properties.contents.0.content_id", "SKU-1", 1),
    ("web", "properties.contents.0.price", 0, "12.50"),
    ("web", "properties.contents.0.price", 12, -1),
    ("web", "properties.contents.0.quantity", 2, 2.5),
    ("web", "properties.contents.0.quantity", 2, 0),
    ("web", "properties.contents.0.quantity", 2, -2),
    ("web", "properties.contents.0.quantity", 2, "2"),
    ("web", "properties.predicted_ltv", 1.5, "1.5"),
    ("web", "properties", DELETE, {}),
    # Flags and advertising
    ("web", "limited_data_use", True, "true"),
    ("app", "limited_data_use", False, 0),
    ("app", "ad.attributed", False, "false"),
    ("app", "ad.attribution_share", 1.0, 1.5),
    ("app", "ad.attribution_value", "7", None),
    ("web", "ad.campaign_id", "1", 1),
]

# The request itself: path, accepted, refused.
ROOT_RULES = [
    ("event_source", "web", DELETE),
    ("event_source", "web", "website"),
    ("event_source", "web", 1),
    ("event_source_id", "CWEB1", DELETE),
    ("event_source_id", "7350000000000000000", 7350000000000000000),
    ("event_source_id", "CWEB1", "CWEB 1"),
    ("test_event_code", "TEST1", ""),
    ("test_event_code", "TEST1", 1),
    ("partner_name", DELETE, "x"),
    ("pixel_code", DELETE, "x"),
    ("data", [web()], DELETE),
    ("data", [web()], []),
    ("data", [web()], web()),
]

# Rules about several fields: source, changes accepted, changes refused, path.
JOINT_RULES = [
    ("web", {"user": {"ttclid": "x"}}, {"user": {"user_agent": "x"}}, "user"),
    ("web", {"user": {"ip": "8.8.8.8", "user_agent": "x"}}, {"user": {"ip": "8.8.8.8"}}, "user"),
    ("web", {"user": {"external_id": HEX}}, {"user": {"first_name": HEX}}, "user"),
    ("app", {"user": {"idfv": IDFA}}, {"user": {"att_status": "AUTHORIZED"}}, "user"),
    ("app", {"user": {"ip": "8.8.8.8", "user_agent": "x"}}, {"user": DELETE}, "user"),
    ("crm", {"user": DELETE}, {"user": {}}, "user"),
    ("web", {"page.referrer": "http://a"}, {"page": {"referrer": "http://a"}}, "page.url"),
    ("web", {"limited_data_use": False, "user": {"ttp": "x"}},
     {"limited_data_use": True, "user": {"ttp": "x"}}, "limited_data_use"),
    ("app", {"user.att_status": "RESTRICTED"}, {"user.att_status": "DENIED"}, "user.idfa"),
    ("app", {"user": {"idfv": IDFA, "att_status": "DENIED"}},
     {"user": {"idfv": IDFA, "att_status": "DENIED", "email": HEX}}, "user.email"),
    ("web", {"user.email": ARRAY}, {"user.email": [HEX, "someone@example.com"]},
     "user.email.1"),
    ("web", {"properties": {"currency": "EUR"}}, {"properties": {"value": 1}},
     "properties.currency"),
    ("web", {"properties.contents": [{"content_id": "SKU-1"}], "properties.num_items": 9},
     {"properties.num_items": 9}, "properties.num_items"),
    ("web", {"properties.contents": [item("A"), item("B")], "properties.num_items": 4,
             "properties.content_ids": ["B", "A"]},
     {"properties.contents": [item("A"), item("B")], "properties.num_items": 4,
      "properties.content_ids": ["A"]}, "properties.content_ids"),
]


def changed(value, path, new):
    """A copy of value with the field at the dotted path set or deleted."""
    value = copy.deepcopy(value)
    *containers, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    target = value
    for key in containers:
        target = target[key] if isinstance(target, list) else target.setdefault(key, {})
    if new is not DELETE:
        target[last] = new
    elif isinstance(target, dict):
        target.pop(last, None)
        if not target and containers:
            return changed(value, ".".join(map(str, containers)), DELETE)
    return value


def describe(source, path, refused):
    shown = "nothing" if refused is DELETE else json.dumps(refused)
    return f"{source} {path}: {shown if len(shown) < 50 else shown[:47] + '...'}"


def check_rule(server, source, good, bad, path, name):
    neighbour = EVENTS[source]()
    accepted = server.post(batch(neighbour, good, source=source))[1]
    tap.equal(accepted["message"], "OK", f"accepted beside {name}")
    status, refused = server.post(batch(neighbour, bad, source=source))
    tap.ok(status == 400 and refused["code"] == 40002
           and refused["message"].startswith(f"Batch.1.{path}: "),
           f"refused: {name}", refused)


def test_rules(server):
    for source, path, accepted, refused in RULES:
        event = EVENTS[source]()
        check_rule(server, source, changed(event, path, accepted),
                   changed(event, path, refused), path, describe(source, path, refused))
    for source, accepted, refused, path in JOINT_RULES:
        good = bad = EVENTS[source]()
        for key, value in accepted.items():
            good = changed(good, key, value)
        for key, value in refused.items():
            bad = changed(bad, key, value)
        check_rule(server, source, good, bad, path,
                   f"{source} {path}: {', '.join(refused)} together")


def test_root_rules(server):
    for path, accepted, refused in ROOT_RULES:
        name = describe("request", path, refused)
        tap.equal(server.code(changed(batch(web()), path, accepted)), 0,
                  f"accepted beside {name}")
        message = server.post(changed(batch(web()), path, refused))[1]["message"]
        tap.ok(message.startswith(f"{path}: "), f"refused: {name}", message)
    many = batch(*[web(event_id=f"many-{number}") for number in range(1001)])
    tap.equal(server.code(many), 40002, "1001 events are refused")


def test_all_or_nothing(server):
    server.control("reset")
    bad = web(event_id="bad", event_time="now")
    answer = server.post(batch(web(), web(event_id="order-2"), web(event_id="order-3"), bad))[1]
    tap.ok(answer["message"].startswith("Batch.3.event_time: "), "the index is named", answer)
    stats = server.stats()
    tap.equal((stats["received_events"], stats["refused_events"], stats["accepted_copies"]),
              (4, 4, 0), "nothing of a refused batch is accepted")


def test_bytes(server):
    """What can be seen only in the bytes of the body."""
    good = json.dumps(batch(web()))
    value = '"value": 25'
    near = [
        ("a key twice", '"event_id": "order-1"', '"event_id": "order-1", "event_id": "order-1"'),
        ("NaN", value, '"value": NaN'),
        ("Infinity", value, '"value": Infinity'),
        ("a number beyond all floats", value, '"value": 1e999'),
        ("a leading zero", value, '"value": 025'),
        ("a trailing comma", value, value + ","),
        ("half of a surrogate pair", "SKU-1", "SKU-\\ud83d"),
        ("an escaped NUL", "SKU-1", "SKU-\\u0000"),
        ("a raw control character", "SKU-1", "SKU-\x01"),
    ]
    for name, old, new in near:
        tap.equal(server.code(good.replace(old, new)), 40002, f"refused: {name}")
    for name, new in [("a whole surrogate pair", "SKU-\\ud83d\\ude00"),
                      ("an escaped backslash before u0000", "SKU-\\\\u0000"),
                      ("a quote", "SKU-\\\""), ("an emoji", "SKU-\U0001f600")]:
        tap.equal(server.code(good.replace("SKU-1", new).encode()), 0, f"accepted: {name}")
    for name, body in [("invalid UTF-8", good.replace("SKU-1", "\xe9").encode("latin-1")),
                       ("UTF-16", good.encode("utf-16")),
                       ("a byte order mark", b"\xef\xbb\xbf" + good.encode()),
                       ("an empty body", b""), ("a cut body", good[:-1]),
                       ("two values", good + good), ("an array", f"[{good}]"),
                       ("deep nesting", "[" * 100_000)]:
        tap.equal(server.code(body), 40002, f"refused: {name}")
    big = batch(web(properties={"description": "x" * 10_000_000}))
    status, answer = server.post(big)
    tap.equal((status, answer["code"]), (413, 40002), "refused: more than 10 MB")
    big["data"][0]["properties"]["description"] = "x" * 9_900_000
    tap.equal(server.code(big), 0, "accepted: a little less than 10 MB")


# ---------------------------------------------------------------------------
# Tokens, headers, routes
# ---------------------------------------------------------------------------

def test_headers(server):
    body = batch(web())
    cases = [
        ("no token", 401, 40104, {"token": None}),
        ("an empty token", 401, 40104, {"token": ""}),
        ("a wrong token", 401, 40105, {"token": "wrong"}),
        ("a Bearer token", 401, 40105, {"token": f"Bearer {TOKEN}"}),
        ("a token of another source", 400, 40001, {"token": "narrow"}),
        ("a form", 400, 40002, {"Content-Type": "application/x-www-form-urlencoded"}),
        ("no content type", 400, 40002, {"Content-Type": None}),
        ("a compressed body", 400, 40002, {"Content-Encoding": "gzip"}),
        ("a content type with charset", 200, 0,
         {"Content-Type": "application/json; charset=utf-8"}),
    ]
    for name, status, code, headers in cases:
        got = server.post(body, **headers)
        tap.equal((got[0], got[1]["code"]), (status, code), name)
    tap.equal(server.code(batch(app(), source="app"), token="narrow"), 0,
              "a token's own source is allowed")
    for method, path, status in [("GET", TRACK, 405), ("PUT", TRACK, 405),
                                 ("POST", TRACK[:-1], 404), ("POST", TRACK + "?a=b", 404),
                                 ("POST", "/open_api/v1.2/event/track/", 404),
                                 ("GET", "/", 404)]:
        tap.equal(server.call(method, path)[0], status, f"{method} {path} gives {status}")
    tap.equal(server.post("", **{"Transfer-Encoding": "chunked"})[0], 411,
              "a body whose length is not said")
    before = server.stats()["requests"]
    with server.raw("x", read=False, length=100) as connection:
        connection.shutdown(socket.SHUT_WR)
        tap.equal(read_all(connection), (b"", "closed"), "no answer to half a body")
    tap.equal(server.stats()["requests"], before + 1, "which is a request all the same")
    server.control("tokens", {"tokens": ["new"]})
    tap.equal((server.code(body), server.code(body, token="new")), (40105, 0),
              "tokens can be changed")
    server.control("reset")
    tap.equal(server.code(body), 0, "reset brings the tokens back")


def test_options():
    with Server("--http-200-errors", "--max-age-days", "0", "--lead-id-optional",
                "--whole-events", "--keep-events", "2") as server:
        got = server.post(batch(web(event_time="x")))
        tap.equal((got[0], got[1]["code"]), (200, 40002), "errors with HTTP status 200")
        tap.equal(server.post(batch(web()), token="x")[0], 200, "also those of tokens")
        tap.equal(server.code(batch(web(event_time=1))), 0, "no age limit")
        tap.equal(server.code(batch(changed(crm(), "lead", DELETE), source="crm")), 0,
                  "a crm event by e-mail only")
        nobody = changed(changed(crm(), "lead", DELETE), "user", DELETE)
        tap.equal(server.code(batch(nobody, source="crm")), 40002, "but not by nothing")
        tap.equal([event["data"].get("user") for event in server.get("events")],
                  [crm()["user"], None],
                  "the journal in memory is bounded, and holds whole events")
    with Server("--trust") as server:
        tap.equal(server.code(batch({"event": 1}, [], web())), 0, "trust: nothing is checked")
        tap.equal(server.code("{"), 40002, "trust: but JSON it must be")
        tap.equal(server.code(batch(web()), token="x"), 40105, "trust: and tokens are")
        server.script({"reject_event_ids": ["order-1"]})
        tap.equal(server.post(batch({"event_id": []}, web()))[1]["message"],
                  "Batch.1.event_id: refused by the script", "trust: and bad events are found")


# ---------------------------------------------------------------------------
# Counting
# ---------------------------------------------------------------------------

def counts(server):
    stats = server.stats()
    return stats["accepted_copies"], stats["counted_events"]


def test_counts(server):
    server.control("reset")
    server.code(batch(web(), web()))
    tap.equal(counts(server), (2, 1), "copies within a batch count once")
    server.code(batch(web()))
    tap.equal(counts(server), (3, 1), "copies in another batch too")
    server.code(batch(web(event="Contact")))
    server.code(batch(web(), source="web", event_source_id="CWEB2"))
    tap.equal(counts(server), (5, 3), "another event, another source: not copies")
    server.code(batch(web(event_id="test"), test_event_code="TEST1"))
    tap.equal((counts(server), server.stats()["test_events"]), ((5, 3), 1),
              "test events are not counted")
    server.control("clock", {"offset_seconds": 48 * 3600 - 30})
    server.code(batch(web()))
    tap.equal(counts(server), (6, 3), "a copy just within 48 hours is dropped")
    server.control("clock", {"offset_seconds": 48 * 3600 + 1})
    server.code(batch(web()))
    tap.equal(counts(server), (7, 4), "after 48 hours it counts again")
    server.code(batch(web()))
    tap.equal(counts(server), (8, 4), "and its window starts again")


def test_stats(server):
    server.control("reset")
    for number in range(10):
        server.code(batch(web(event_id=f"v{number}", properties={"value": 0.1, "currency": "EUR"})))
    server.code(batch(web(event_id="v0", properties={"value": 0.1, "currency": "EUR"})))
    server.code(batch(web(event_id="y", properties={"value": 7, "currency": "JPY"})))
    server.code(batch(crm(), source="crm"))
    server.code(batch(web(event_id=1)))
    server.post(batch(web()), token="wrong")
    stats = server.stats()
    tap.equal(stats["values"], {"EUR": "1", "JPY": "7"}, "sums are exact, and of counted events")
    tap.equal(stats["sources"]["CWEB1"], {
        "event_source": "web", "accepted_copies": 12, "counted_events": 11,
        "values": {"EUR": "1", "JPY": "7"},
        "events": {"Purchase": {"accepted_copies": 12, "counted_events": 11,
                                "values": {"EUR": "1", "JPY": "7"}}}}, "stats of a source")
    tap.equal((stats["requests"], stats["received_events"], stats["refused_events"],
               stats["duplicate_copies"]), (15, 15, 2, 1), "totals")
    tap.equal(stats["refusals"], {"40002": 1, "40105": 1}, "refusals by code")
    tap.equal(stats["replies"], {"0": 13, "40002": 1, "40105": 1}, "replies by code")
    tap.equal(stats["max_concurrent_requests"], 1, "one request at a time")


def test_concurrency(server):
    server.control("reset")
    server.script({"action": "delay", "seconds": 0.5, "times": None})
    threads = [threading.Thread(target=server.raw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = server.stats()
    tap.equal((stats["max_concurrent_requests"], stats["connections"]["http"]), (4, 4),
              "concurrent requests and connections are counted")


def test_journal_in_memory(server):
    server.control("reset")
    before = server.code(batch(web(event_id="j1"), web(event_id="j2", event="Contact")))
    server.code(batch(web(event_id="j3", event="CompletePayment"), test_event_code="T"))
    server.code(batch(web(event_id="j4", event="x x")))
    events = server.get("events")
    tap.equal([event["event_id"] for event in events], ["j1", "j2", "j3", "j4"],
              "the journal keeps the order")
    first, last = events[0], events[-1]
    fixed = {key: first[key] for key in first
             if key not in ("seq", "received_at", "request_id")}
    tap.equal(fixed, {"event_source": "web", "event_source_id": "CWEB1", "event": "Purchase",
                      "event_id": "j1", "event_time": NOW - 60, "value": 25,
                      "currency": "EUR", "test_event_code": None,
                      "user_keys": ["email", "ip", "user_agent"], "accepted": True,
                      "counted": True, "refusal": None, "remark": None}, "a line of the journal")
    tap.ok(abs(first["received_at"] - time.time()) < 30, "received just now", first)
    tap.equal((last["accepted"], last["refusal"]["code"], before), (False, 40002, 0),
              "a refused event and its refusal")
    tap.equal((events[2]["counted"], events[2]["remark"]),
              (False, "legacy name of Purchase"), "a remark about a legacy name")
    def ids(query):
        return [event["event_id"] for event in server.get(f"events?{query}")]
    tap.equal(ids("event=Contact"), ["j2"], "filter by event")
    tap.equal(ids("event_source_id=CWEB1&accepted=false"), ["j4"], "filter by source and fate")
    tap.equal(ids(f"since={first['seq']}&limit=2"), ["j2", "j3"], "since and limit")
    tap.equal(server.call("GET", "/_rehearsal/events?evnt=x")[0], 400, "an unknown filter")
    body = server.get("bodies?last=2")[0]
    sent = json.dumps(batch(web(event_id="j3", event="CompletePayment"), test_event_code="T"))
    tap.equal((body["body"], body["sha256"], body["headers"]["Access-Token"]),
              (sent, sha(sent), "***"), "bodies are kept as they came, without the token")


def test_journal_file():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "journal")
        with Server("--journal", path, "--fsync") as server:
            server.code(batch(web(), web(event_id="\u00e9")))
            with open(path, encoding="utf-8") as file:
                lines = [json.loads(line) for line in file]
            tap.equal([(line["event_id"], line["accepted"]) for line in lines],
                      [("order-1", False), ("\u00e9", False)],
                      "the journal is on disk before the answer")
            server.script({"action": "hang", "when": "after"}, {"action": "close"})
            server.raw(read=False).close()
            wait_until(lambda: server.stats()["faults"].get("hang") == 1)
            server.raw()
            tap.equal(lines_of(path)[2:], [(True, None), (False, {"fault": "close"})],
                      "what a fault did is in the journal")
        with Server("--journal", path) as server:
            server.code(batch(web()))
            tap.equal(len(lines_of(path)), 5, "a restart appends")


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return [(line["accepted"], line["refusal"]) for line in map(json.loads, file)]


# ---------------------------------------------------------------------------
# Faults
# ---------------------------------------------------------------------------

def struck(server, rule, body=None):
    """The bytes that come back when the rule strikes, and how they end."""
    server.control("reset")
    server.script(rule)
    return server.raw(body)


def body_of(response):
    return response.partition(b"\r\n\r\n")[2]


def test_fault_answers(server):
    redirect = struck(server, {"action": "redirect", "status": 307,
                               "location": "https://example.com/"})[0]
    tap.ok(redirect.startswith(b"HTTP/1.1 307 ") and b"Location: https://example.com/" in redirect,
           "redirect", redirect)
    busy = struck(server, {"action": "status", "status": 503, "body": "busy",
                           "headers": {"X-A": "b"}, "retry_after": 5})[0]
    tap.ok(busy.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 5\r\n" in busy
           and b"\r\nX-A: b\r\n" in busy and body_of(busy) == b"busy", "status", busy)
    twice = struck(server, {"action": "status", "status": 429, "retry_after": ["1", "x"]})[0]
    tap.ok(b"Retry-After: 1\r\nRetry-After: x\r\n" in twice, "Retry-After twice", twice)
    odd = struck(server, {"action": "status", "status": 0})[0]
    tap.ok(odd.startswith(b"HTTP/1.1 000 Unknown"), "a status that is none", odd)
    binary = struck(server, {"action": "status", "status": 200,
                             "body_base64": base64.b64encode(b"\xff\0").decode()})[0]
    tap.equal(body_of(binary), b"\xff\0", "a body of any bytes")
    for code, status in [(40100, 401), (40002, 400), (50000, 500), (20001, 200)]:
        answer = struck(server, {"action": "code", "code": code})[0]
        tap.ok(f" {status} ".encode() in answer[:20]
               and json.loads(body_of(answer))["code"] == code, f"code {code}", answer)
    answer = struck(server, {"action": "code", "code": 40100, "status": 200, "message": "slow"})[0]
    tap.ok(b" 200 " in answer[:20] and json.loads(body_of(answer))["message"] == "slow",
           "a code in HTTP 200", answer)


def test_fault_bodies(server):
    bodies = {"html": lambda body: b"<html>" in body,
              "empty": lambda body: body == b"",
              "cut_json": lambda body: isinstance(parsed(body), bytes),
              "json_array": lambda body: isinstance(parsed(body), list),
              "code_string": lambda body: parsed(body)["code"] == "0",
              "code_huge": lambda body: parsed(body)["code"] == 2**64,
              "code_missing": lambda body: "code" not in parsed(body)}
    for name, judge in bodies.items():
        response = struck(server, {"action": name})[0]
        tap.ok(b" 200 OK" in response and judge(body_of(response)), name, response)
        tap.equal(counts(server), (0, 0), f"{name}: nothing is accepted")
    large = struck(server, {"action": "oversized", "bytes": 300_000})[0]
    tap.ok(len(large) > 300_000 and parsed(body_of(large))["code"] == 0, "oversized")
    bomb = struck(server, {"action": "gzip_bomb", "bytes": 5_000_000})[0]
    tap.ok(b"Content-Encoding: gzip" in bomb and len(bomb) < 50_000, "gzip_bomb")


def test_fault_shapes(server):
    """The genuine answer, but not as one expects it."""
    response, end = struck(server, {"action": "http10"})
    tap.ok(response.startswith(b"HTTP/1.0 200 OK") and b"Content-Length" not in response
           and parsed(body_of(response))["code"] == 0 and end == "closed", "http10", response)
    tap.equal(counts(server), (1, 1), "http10: accepted")
    response = struck(server, {"action": "huge_header", "bytes": 200_000})[0]
    tap.ok(b"X-Padding: xxxx" in response and len(response) > 200_000, "huge_header")
    response = struck(server, {"action": "many_headers", "count": 1000})[0]
    tap.ok(b"X-Padding-999: x" in response, "many_headers")
    response = struck(server, {"action": "interim_first", "status": 102})[0]
    tap.ok(response.startswith(b"HTTP/1.1 102 ") and b"HTTP/1.1 200 OK" in response,
           "interim_first", response)
    response = struck(server, {"action": "extra_response"})[0]
    tap.equal(response.count(b"HTTP/1.1 200 OK"), 2, "extra_response")
    response = struck(server, {"action": "slow_loris", "seconds": 0.001})[0]
    tap.ok(parsed(body_of(response))["code"] == 0, "slow_loris", response)
    response = struck(server, {"action": "garbage_status"})[0]
    tap.ok(response.startswith(b"HTTP/1.1 abc\r\n"), "garbage_status", response)
    tap.equal(struck(server, {"action": "raw", "body": "ICY 200 OK\r\n\r\n"})[0],
              b"ICY 200 OK\r\n\r\n", "raw")


def test_fault_ends(server):
    """Connections that end before they should."""
    tap.equal(struck(server, {"action": "close"}), (b"", "closed"), "close")
    for name in ("reset_before_body", "reset_mid_body", "reset_after_body"):
        tap.equal(struck(server, {"action": name}), (b"", "reset"), name)
        tap.equal(server.stats()["accepted_copies"], 0, f"{name}: nothing is accepted")
    response, end = struck(server, {"action": "reset_mid_reply"})
    tap.ok(0 < len(response) < 200 and end == "reset", "reset_mid_reply", (response, end))
    tap.equal(counts(server), (1, 1), "reset_mid_reply: accepted")


def test_fault_waits(server):
    started = time.monotonic()
    response = struck(server, {"action": "delay", "seconds": 0.2})[0]
    tap.ok(time.monotonic() - started > 0.2 and parsed(body_of(response))["code"] == 0, "delay")
    tap.equal(unfinished(server, {"action": "delay", "when": "before", "seconds": 1}, 0.1),
              (b"", (0, 0)), "delay before: a client that leaves was not heard")
    started = time.monotonic()
    response = struck(server, {"action": "delay", "when": "before", "seconds": 0.2})[0]
    tap.ok(time.monotonic() - started > 0.2 and counts(server) == (1, 1)
           and parsed(body_of(response))["code"] == 0, "delay before: one that stays is")
    tap.equal(unfinished(server, {"action": "hang"}, 0.2), (b"", (0, 0)), "hang")
    tap.equal(unfinished(server, {"action": "hang", "when": "after"}, 0.2), (b"", (1, 1)),
              "hang after acceptance")
    tap.equal(unfinished(server, {"action": "interim_only"}, 10)[0],
              b"HTTP/1.1 100 Wait\r\n\r\n", "interim_only")
    stalled = unfinished(server, {"action": "stall"}, 10)[0]
    tap.ok(b"\r\n\r\n" in stalled and isinstance(parsed(body_of(stalled)), bytes), "stall", stalled)
    tap.equal(unfinished(server, {"action": "slow_loris", "seconds": 1}, 10)[0], b"H",
              "slow_loris is slow")
    server.script({"action": "endless_chunks"})
    tap.ok(len(read_all(server.raw(read=False), 3_000_000)[0]) >= 3_000_000, "endless_chunks")
    server.script({"action": "hang"})
    connection = server.raw(read=False)
    time.sleep(0.1)
    server.control("reset")
    tap.equal(read_all(connection), (b"", "closed"), "reset lets go of what hangs")


def unfinished(server, rule, seconds):
    """What a client has got that waits no longer than that; and then the counts."""
    server.control("reset")
    server.script(rule)
    with server.raw(read=False) as connection:
        connection.settimeout(seconds)
        try:
            received = connection.recv(65536)
        except TimeoutError:
            received = b""
    # Only our own connection is left once the server has noticed.
    wait_until(lambda: server.stats()["connections"]["open"] == 1)
    return received, counts(server)


def test_script(server):
    def codes(*bodies):
        return [server.code(body) for body in bodies]
    one, other = batch(web()), batch(web(event_id="b"), web(event_id="c", event="Contact"))
    elsewhere = batch(app(), source="app")
    fault = {"action": "code", "code": 1}
    cases = [
        ("once is the default", [fault], [one] * 3, [1, 0, 0]),
        ("times", [{**fault, "times": 2}], [one] * 3, [1, 1, 0]),
        ("for ever", [{**fault, "times": None}], [one] * 3, [1, 1, 1]),
        ("a queue", [{"action": "ok"}, fault, {"action": "code", "code": 2}], [one] * 4,
         [0, 1, 2, 0]),
        ("match event_source_id", [{**fault, "match": {"event_source_id": SOURCE_IDS["app"]}}],
         [one, elsewhere], [0, 1]),
        ("match event_id", [{**fault, "match": {"event_id": "c"}}], [one, other], [0, 1]),
        ("match event", [{**fault, "match": {"event": "Contact"}}], [one, other], [0, 1]),
        ("match token", [{**fault, "match": {"token": "x"}}], [one], [0]),
        ("match min_events", [{**fault, "match": {"min_events": 2}}], [one, other], [0, 1]),
        ("match max_events", [{**fault, "match": {"max_events": 1}}], [other, one], [0, 1]),
        ("match every third", [{**fault, "times": None, "match": {"every": 3}}], [one] * 7,
         [0, 0, 1, 0, 0, 1, 0]),
        ("probability 0", [{**fault, "match": {"probability": 0}}], [one] * 2, [0, 0]),
        ("probability 1", [{**fault, "match": {"probability": 1}}], [one] * 2, [1, 0]),
        ("after, but refused: the rule waits", [{**fault, "when": "after"}],
         [batch(web(event_id=1)), one, one], [40002, 1, 0]),
        ("reject_event_ids", [{"reject_event_ids": ["c"]}], [one, other, other],
         [0, 40002, 40002]),
        ("reject_event_ids with a code", [{"reject_event_ids": ["c"], "code": 40061}], [other],
         [40061]),
    ]
    for name, rules, bodies, wanted in cases:
        server.control("reset")
        server.script(*rules)
        tap.equal(codes(*bodies), wanted, f"script: {name}")


def test_script_details(server):
    server.control("reset")
    server.script({"reject_event_ids": ["c"]})
    body = batch(web(event_id="a"), web(event_id="b"), web(event_id="c"))
    tap.equal(server.post(body)[1]["message"], "Batch.2.event_id: refused by the script",
              "a rejected event is named by its index")
    server.script({"reject_event_ids": ["c"], "name_index": False})
    tap.equal(server.post(body)[1]["message"], "refused by the script", "or not")
    server.script({"reject_event_ids": ["b", "c"], "message": "data[{index}] is bad"})
    tap.equal(server.post(body)[1]["message"], "data[1] is bad", "or in other words")
    tap.equal(server.get("script")[0]["used"], 1, "the script says how often it struck")
    server.script({"action": "code", "code": 1, "times": None, "match": {"probability": 0.5}})
    first = [server.code(body) for _ in range(20)]
    server.script({"action": "code", "code": 1, "times": None, "match": {"probability": 0.5}})
    tap.ok(first == [server.code(body) for _ in range(20)] and 0 < sum(first) < 20,
           "the dice repeat themselves", first)
    server.script({"action": "code", "code": 7, "match": {"reused": True}})
    server.client.close()
    tap.equal((server.stats()["requests"] > 0, server.code(body)), (True, 7), "match reused")
    server.script({"action": "status", "status": 500}, {"action": "reset_before_body"})
    tap.equal((server.raw()[0][:12], server.raw()), (b"HTTP/1.1 500", (b"", "reset")),
              "an early fault waits for its turn")
    server.script({"action": "code", "code": 1, "match": {"event_id": "nobody"}},
                  {"action": "reset_before_body"})
    tap.equal(server.raw(), (b"", "reset"), "but not behind rules that need the body")
    server.script({"action": "ok"})
    server.call("POST", "/_rehearsal/script?append=1", '[{"action": "empty"}]')
    tap.equal([rule["action"] for rule in server.get("script")], ["ok", "empty"], "append")
    for name, rules in [("action", [{"action": "sleep"}]),
                        ("parameter", [{"action": "hang", "a": 1}]),
                        ("match", [{"action": "hang", "match": {"evnt": 1}}]),
                        ("type", [{"action": "delay", "seconds": "1"}]),
                        ("rejection", [{"reject_event_ids": [], "times": 1}]),
                        ("lack", [{"action": "delay"}]), ("script", {"action": "hang"}),
                        ("when", [{"action": "hang", "when": "later"}]),
                        ("early", [{"action": "reset_mid_body", "match": {"event_id": "x"}}])]:
        tap.equal(server.call("POST", "/_rehearsal/script", json.dumps(rules))[0], 400,
                  f"a wrong {name} is refused")
    tap.equal(server.call("GET", "/_rehearsal/nothing")[0], 404, "unknown control path")
    tap.equal(server.call("POST", "/_rehearsal/certificate", '{"certificate": "good"}')[0], 400,
              "no certificate without HTTPS")
    tap.equal(server.get("health")["pid"], server.process.pid, "health")


# ---------------------------------------------------------------------------
# HTTPS
# ---------------------------------------------------------------------------

def https_post(server, context, host="127.0.0.1"):
    """The code of an answer over HTTPS, or the reason why there is none."""
    client = http.client.HTTPSConnection(host, server.ready["https_port"], context=context,
                                         timeout=10)
    try:
        client.request("POST", TRACK, json.dumps(batch(web())),
                       {"Access-Token": TOKEN, "Content-Type": "application/json"})
        return json.loads(client.getresponse().read())["code"]
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except ssl.SSLError as error:
        return str(error)
    finally:
        client.close()


def test_https():
    with Server(https=True) as server:
        trusting = ssl.create_default_context(cafile=server.ready["ca_file"])
        trusting.minimum_version = ssl.TLSVersion.TLSv1_2
        tap.equal(https_post(server, trusting), 0, "HTTPS with the CA")
        tap.equal(https_post(server, trusting, "localhost"), 0, "also by name")
        tap.ok("issuer" in str(https_post(server, ssl.create_default_context())),
               "HTTPS without the CA is refused")
        for variant, reason in [("expired", "expired"), ("not_yet_valid", "not yet valid"),
                                ("self_signed", "self-signed"), ("wrong_host", "mismatch"),
                                ("old_tls", "PROTOCOL_VERSION")]:
            server.control("certificate", {"certificate": variant})
            got = https_post(server, trusting)
            tap.ok(reason in str(got), f"certificate {variant}", got)
        def failures():
            return server.stats()["connections"]["tls_failures"]
        wait_until(lambda: failures() >= 6)
        tap.equal((failures(), server.stats()["connections"]["https"]), (6, 8),
                  "connections and failed handshakes are counted")
        server.control("certificate", {"certificate": "good"})
        tap.equal(https_post(server, trusting), 0, "a good certificate again")
        test_https_faults(server, trusting)


def test_https_faults(server, trusting):
    server.script({"action": "reset_mid_reply"}, {"action": "http10"})
    try:
        got = https_post(server, trusting)
    except (OSError, http.client.HTTPException) as error:
        got = type(error).__name__
    tap.ok(got in ("ConnectionResetError", "IncompleteRead"), "a reset under TLS", got)
    tap.equal(https_post(server, trusting), 0, "the end of the connection as end of the answer")
    with socket.create_connection(("127.0.0.1", server.ready["https_port"])) as connection:
        with trusting.wrap_socket(connection, server_hostname="localhost") as tls:
            tls.sendall(b"GET /_rehearsal/health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            tap.ok(tls.recv(100).startswith(b"HTTP/1.1 404"), "no control interface over HTTPS")


def test_certificate_option():
    with tempfile.TemporaryDirectory() as directory:
        with Server("--certificate", "expired", https=True, directory=directory) as server:
            with open(server.ready["ca_file"]) as file:
                first = file.read()
            trusting = ssl.create_default_context(cafile=server.ready["ca_file"])
            tap.ok("expired" in str(https_post(server, trusting)), "--certificate")
        with Server(https=True, directory=directory) as server:
            with open(server.ready["ca_file"]) as file:
                tap.equal(file.read(), first, "a restart keeps the CA")
            tap.equal(https_post(server, trusting), 0, "which still serves")


# ---------------------------------------------------------------------------
# Beginning and end
# ---------------------------------------------------------------------------

def test_end():
    with Server() as server:
        path = os.path.join(server.dir, "ready")
        server.script({"action": "hang"})
        connection = server.raw(read=False)
        time.sleep(0.1)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        tap.equal(server.process.wait(5), 0, "SIGTERM ends it cleanly")
        tap.ok(time.monotonic() - started < 2, "and at once, even when a request hangs")
        tap.ok(not os.path.exists(path), "the ready file is gone")
        connection.close()
    parent = subprocess.Popen(["sleep", "60"])
    with Server("--parent-pid", str(parent.pid)) as server:
        tap.equal(server.get("health")["status"], "ok", "it lives while its parent does")
        parent.kill()
        tap.equal(server.process.wait(5), 0, "and ends with it")
    parent.wait()


def test_log():
    """The lines for humans name nobody, and no token."""
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen([sys.executable, SERVER, "--dir", directory, "--token", TOKEN],
                                   stdout=subprocess.PIPE, text=True)
        path = os.path.join(directory, "ready")
        wait_until(lambda: os.path.exists(path))
        with open(path) as file:
            ready = json.load(file)
        client = http.client.HTTPConnection("127.0.0.1", ready["http_port"], timeout=10)
        for token in (TOKEN, "wrong"):
            client.request("POST", TRACK, json.dumps(batch(web())),
                           {"Access-Token": token, "Content-Type": "application/json"})
            client.getresponse().read()
        lines = [process.stdout.readline().rstrip() for _ in range(3)]
        process.terminate()
        lines += process.communicate()[0].splitlines()
        tap.ok(len(lines) == 3 and ready["http_url"] in lines[0]
               and "1 events  code 0  http 200" in lines[1] and "code 40105" in lines[2],
               "one line per request", lines)
        tap.ok(not any(word in line for line in lines for word in (TOKEN, "wrong", "order-1")),
               "without tokens and identifiers", lines)
    usage = subprocess.run([sys.executable, SERVER, "--help"], capture_output=True, text=True)
    tap.ok("_rehearsal/script" in usage.stdout and usage.returncode == 0, "--help")
    broken = subprocess.run([sys.executable, SERVER, "--dir", "/proc/nowhere", "--token", "x"],
                            capture_output=True, text=True)
    tap.ok(broken.returncode != 0, "a directory that cannot be made")
    with Server() as server, tempfile.TemporaryDirectory() as directory:
        second = subprocess.run([sys.executable, SERVER, "--dir", directory, "--token", "x",
                                 "--http-port", str(server.ready["http_port"])],
                                capture_output=True, text=True)
        tap.ok(second.returncode == 1 and second.stderr.startswith("cannot start: "),
               "a port in use", second.stderr)


# ---------------------------------------------------------------------------
# Reporting
# ---------------------------------------------------------------------------

READER = "token-that-reads"
ONE_DAY = '{"start_date":"2026-11-29","end_date":"2026-11-29"}'
SALES = {"pixel_event_type": "SHOPPING", "total_count": 0, "browser_event_total_count": 3,
         "server_event_total_count": 4, "attributed_count": 1, "preview_count": 0}
REPORTING = {
    "tokens": {READER: {}, "narrow": {"scopes": [800]}, "neighbour": {"advertisers": ["8"]}},
    "pixels": [{"advertiser_id": "7", "pixel_id": str(1000 + number), "pixel_code": f"C{number}"}
               for number in range(45)]
    + [{"advertiser_id": "8", "pixel_id": "2000", "pixel_code": "CX", "relation": "UNBOUND"}],
    "counts": {"1000": {"2026-11-29": [SALES, {"custom_event_type": "Quote"}],
                        "2026-11-28": [SALES]},
               "2000": {"*": [SALES]}},
}


def ask(server, path, token=READER, **query):
    """The envelope of an answer of reporting."""
    query = "&".join(f"{name}={urllib.parse.quote(value)}" for name, value in query.items())
    headers = {"Access-Token": token} if token else {}
    wait_until(lambda: not hasattr(ask, "last") or time.monotonic() - ask.last > 0.11)
    ask.last = time.monotonic()
    status, answer = server.call("GET", f"/open_api/v1.3/{path}/?{query}", headers=headers)
    assert status == 200 and type(answer["request_id"]) is str, (status, answer)
    return answer


def stats_of(server, ids='["1000"]', span=ONE_DAY, **more):
    return ask(server, "pixel/event/stats",
               **{"advertiser_id": "7", "pixel_ids": ids, "date_range": span, **more})


def test_reporting_list(server):
    one = ask(server, "pixel/list", advertiser_id="7", code="C3")["data"]
    tap.ok([pixel["pixel_id"] for pixel in one["pixels"]] == ["1003"]
           and one["pixels"][0]["asset_ownership"] == {"asset_relation_status": "BOUND"}
           and one["page_info"] == {"page": 1, "page_size": 10, "total_number": 1,
                                    "total_page": 1}, "a Pixel by its code", one)
    pages = [ask(server, "pixel/list", advertiser_id="7", page=str(page), page_size="20")["data"]
             for page in (1, 2, 3, 4)]
    tap.equal([len(page["pixels"]) for page in pages], [20, 20, 5, 0], "pages of Pixels")
    tap.equal(pages[2]["page_info"]["total_page"], 3, "and how many there are")
    unbound = ask(server, "pixel/list", advertiser_id="8")["data"]["pixels"]
    tap.equal([pixel["asset_ownership"]["asset_relation_status"] for pixel in unbound],
              ["UNBOUND"], "a Pixel that is not bound")


def test_reporting_counts(server):
    tap.equal(stats_of(server)["data"], {"list": [{"pixel_id": "1000", "statistics": [
        SALES, {"custom_event_type": "Quote"}]}]}, "counts of a day, as they were told")
    two = stats_of(server, span=ONE_DAY.replace("29", "28", 1))["data"]["list"][0]["statistics"]
    tap.equal([(row.get("browser_event_total_count"), row.get("total_count")) for row in two],
              [(6, 0), (None, None)], "two days are added up")
    quiet = stats_of(server, ids='["1001","1002"]')["data"]["list"]
    tap.equal([row["statistics"] for row in quiet], [[], []], "Pixels without counts")
    tap.equal(stats_of(server, advertiser_id="8", ids='["2000"]')["data"]["list"][0]["statistics"],
              [], "a Pixel that is not bound has none")


REFUSED = [
    ("without a token", 40104, {"token": None}),
    ("a wrong token", 40105, {"token": TOKEN}),
    ("without the scope", 40125, {"token": "narrow"}),
    ("of another advertiser", 40001, {"token": "neighbour"}),
    ("an unknown advertiser", 40300, {"advertiser_id": "9"}),
    ("an advertiser that is no number", 40002, {"advertiser_id": "x"}),
    ("no ids", 40011, {"ids": "[]"}),
    ("eleven ids", 40011, {"ids": json.dumps([str(1000 + n) for n in range(11)])}),
    ("ids as numbers", 40002, {"ids": "[1000]"}),
    ("ids that are no JSON", 40002, {"ids": "1000"}),
    ("somebody else's Pixel", 40001, {"ids": '["2000"]'}),
    ("a day that is none", 40002, {"span": ONE_DAY.replace("29", "31")}),
    ("an end before the start", 40002, {"span": ONE_DAY.replace('29"}', '28"}')}),
    ("31 days", 40002, {"span": '{"start_date":"2026-10-30","end_date":"2026-11-29"}'}),
    ("a date that is no object", 40002, {"span": "2026-11-29"}),
    ("an unknown parameter", 40002, {"page": "1"}),
]


def test_reporting_refusals(server):
    for name, code, query in REFUSED:
        tap.equal(stats_of(server, **query)["code"], code, f"refused: {name}")
    tap.equal(stats_of(server, span='{"start_date":"2026-10-31","end_date":"2026-11-29"}')["code"],
              0, "30 days are accepted")
    tap.equal(ask(server, "pixel/list", token="narrow", advertiser_id="7")["code"], 0,
              "a scope is one of the two endpoints")
    tap.equal(ask(server, "pixel/list", advertiser_id="7", page_size="21")["code"], 40002,
              "refused: a page of 21")
    status, answer = server.call("POST", "/open_api/v1.3/pixel/list/", "{}")
    tap.equal((status, answer["code"]), (404, 40400), "refused: POST")
    codes = []
    for _ in range(11):
        ask.last = 0
        codes.append(ask(server, "pixel/list", advertiser_id="7")["code"])
    tap.equal(codes[-1], 40100, "refused: more than ten calls in a second")


def test_reporting_faults(server):
    time.sleep(1)
    server.script({"action": "code", "code": 50000, "status": 200,
                   "match": {"path": "pixel/list"}},
                  {"action": "oversized", "bytes": 2_000_000,
                   "match": {"path": "pixel/event/stats"}})
    tap.equal(server.code(batch(web(event_id="beside"))), 0, "a rule with a path spares track")
    tap.ok(len(json.dumps(stats_of(server))) > 2_000_000, "an answer of 2 MB")
    tap.equal(ask(server, "pixel/list", advertiser_id="7")["code"], 50000, "a scripted code")
    tap.equal(ask(server, "pixel/list", advertiser_id="7")["code"], 0, "and then a good answer")
    server.script({"action": "code", "code": 50000, "times": None})
    tap.equal(stats_of(server)["code"], 0, "a rule without a path is for track alone")
    server.script()
    notes = server.get("reports")
    tap.ok(notes[-1]["path"] == "pixel/event/stats" and notes[-1]["code"] == 0
           and notes[-1]["query"]["date_range"] == ONE_DAY and TOKEN not in json.dumps(notes)
           and READER not in json.dumps(notes), "requests are written down, without tokens", notes)
    tap.equal(server.call("POST", "/_rehearsal/reporting", '{"x": 1}')[0], 400,
              "an unknown key of reporting")
    server.control("reset")
    tap.equal(stats_of(server)["code"], 40105, "a reset forgets tokens")


def test_reporting(server):
    server.control("reset")
    server.control("reporting", REPORTING)
    test_reporting_list(server)
    test_reporting_counts(server)
    test_reporting_refusals(server)
    test_reporting_faults(server)


def main():
    with Server(tokens=(TOKEN, f"narrow={SOURCE_IDS['app']},other")) as server:
        test_conforming(server)
        test_rules(server)
        test_root_rules(server)
        test_all_or_nothing(server)
        test_bytes(server)
        test_headers(server)
        test_counts(server)
        test_stats(server)
        test_concurrency(server)
        test_journal_in_memory(server)
        test_fault_answers(server)
        test_fault_bodies(server)
        test_fault_shapes(server)
        test_fault_ends(server)
        test_fault_waits(server)
        test_script(server)
        test_script_details(server)
        test_reporting(server)
    test_options()
    test_journal_file()
    test_https()
    test_certificate_option()
    test_end()
    test_log()
    tap.ok(server.errors == "", "the server had nothing to complain about", server.errors)
    tap.finish()


if __name__ == "__main__":
    main()
