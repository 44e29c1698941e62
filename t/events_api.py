#!/usr/bin/env python3
"""A rehearsal server of TikTok's Events API 2.0.

It answers POST /open_api/v1.3/event/track/ on 127.0.0.1 as TikTok does, so
that delivery can be tested, shown and measured without sending anything to
TikTok.  It also answers GET pixel/list/ and pixel/event/stats/, by which counts
are read back, with what it was told to count.  Needs Python 3.11 and, for HTTPS, the openssl command; nothing else.

Three things differ from TikTok, all on purpose:

* It is stricter.  TikTok ignores a field it does not know and answers OK;
  here every field, type and value that the contract does not allow is
  refused, because a misspelt field that nobody notices is lost data.
* It remembers.  Every received event goes to a journal, and is counted as
  TikTok would count it: once per (event_source_id, event, event_id) within
  48 hours.
* It misbehaves on request.  A script of rules makes it hang, cut, reset,
  redirect, throttle or lie, before or after a batch was accepted.

The control interface (plain HTTP only) is described by --help.

The parts, in order: what the contract says; checking a request against it;
the ledger, which counts; reporting; the script of faults; what each fault does;
the rehearsal, which judges; HTTP; certificates; the command line.
"""

import argparse
import base64
import collections
import contextlib
import datetime
import decimal
import functools
import gc
import hashlib
import http.client
import http.server
import itertools
import json
import math
import os
import random
import re
import select
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import typing
import unicodedata
import urllib.parse
import warnings
import zlib

TRACK_PATH = "/open_api/v1.3/event/track/"
API_PATH = "/open_api/v1.3/"
CONTROL_PATH = "/_rehearsal/"

MAX_BODY = 10 * 1000 * 1000
MAX_DRAIN = 64 * 1000 * 1000
MAX_EVENTS = 1000
DEDUPLICATION_SECONDS = 48 * 3600
FUTURE_SECONDS = 600
DAY = 86400

CODE_OK = 0
CODE_NO_PERMISSION = 40001
CODE_INVALID = 40002
CODE_NOT_IMPLEMENTED = 40008
CODE_TOO_MANY_IDS = 40011
CODE_TOO_FREQUENT = 40100
CODE_TOKEN_MISSING = 40104
CODE_TOKEN_WRONG = 40105
CODE_NO_SCOPE = 40125
CODE_NO_ADVERTISER = 40300
CODE_NO_ROUTE = 40400
CODE_SYSTEM_ERROR = 50000


# ---------------------------------------------------------------------------
# What the contract says
# ---------------------------------------------------------------------------

# The letters of the field tables below.
SOURCES = {"web": "W", "app": "A", "offline": "O", "crm": "C"}

AGE_LIMIT_DAYS = {"web": 7, "app": 7, "offline": 28, "crm": 28}

# Web, offline and crm share one list of standard events; apps have their own.
STANDARD_EVENTS = frozenset("""
    AddPaymentInfo AddToCart AddToWishlist ApplicationApproval
    CompleteRegistration Contact CustomizeProduct Download FindLocation
    InitiateCheckout Lead Purchase Schedule Search StartTrial
    SubmitApplication Subscribe ViewContent""".split())

APP_EVENTS = frozenset("""
    AchieveLevel AddPaymentInfo AddToCart AddToWishlist Checkout
    CompleteTutorial CreateGroup CreateRole GenerateLead InAppADClick
    InAppADImpr InstallApp JoinGroup LaunchAPP LoanApplication LoanApproval
    LoanDisbursal Login Purchase Rate Registration Search SpendCredits
    StartTrial Subscribe UnlockAchievement ViewContent""".split())

# Old names that TikTok still takes; the journal carries the remark.
LEGACY_EVENTS = {
    "CompletePayment": "legacy name of Purchase",
    "SubmitForm": "legacy name of Lead",
    "PlaceAnOrder": "deprecated, supported until 2027",
    "ClickButton": "deprecated, supported until 2027",
}

# TikTok maps these to other events, so they cannot be custom names.
RESERVED_EVENTS = {
    "AddBilling": "AddPaymentInfo",
    "Browse": "PageView",
    "Checkout": "InitiateCheckout",
    "ClickForm": "Lead",
    "ClickInDownloadPage": "ClickButton",
    "ClickToDownload": "Download",
    "Consult": "Contact",
    "ConsultByPhone": "Contact",
    "Registration": "CompleteRegistration",
    "StartCheckout": "InitiateCheckout",
    "ViewConsultationPage": "ViewContent",
    "ViewDownloadPage": "ViewContent",
    "ViewForm": "ViewContent",
}

CURRENCIES = frozenset("""
    AED ARS AUD BDT BHD BIF BOB BRL CAD CHF CLP CNY COP CRC CZK DKK DZD EGP
    EUR GBP GTQ HKD HNL HUF IDR ILS INR ISK JPY KES KHR KRW KWD KZT MAD MOP
    MXN MYR NGN NIO NOK NZD OMR PEN PHP PKR PLN PYG QAR RON RUB SAR SEK SGD
    THB TRY TWD UAH USD VES VND ZAR""".split())

# Of apps TikTok's SDK knows these, too
APP_CURRENCIES = CURRENCIES | frozenset("BGN IQD JOD LBP TZS".split())

# An event that names nobody is worth nothing: it needs one of these, or (web
# and app) the pair of ip and user_agent.
MATCH_KEYS = {
    "web": frozenset(("ttclid", "ttp", "email", "phone", "external_id")),
    "app": frozenset(("idfa", "idfv", "gaid", "email", "phone")),
    "offline": frozenset(("email", "phone")),
    "crm": frozenset(("email", "phone")),
}

# What must not leave a device whose owner refused tracking.
DENIED_KEYS = ("idfa", "gaid", "email", "phone")

# Hashes of values that stand for nobody: a client that sends one has hashed
# a missing value.
JUNK_VALUES = ("", "+", "0", "null", "undefined", "none", "n/a",
               "00000000-0000-0000-0000-000000000000")
JUNK_HASHES = frozenset(hashlib.sha256(value.encode()).hexdigest()
                        for value in JUNK_VALUES)

# Better advice than "unknown field" for the mistakes people make.
MISPLACED = {
    "test_event_code": "stands at the root of the request only",
    "contents_ids": "is spelt content_ids",
    "phone_number": "is called phone in the Events API",
    "query": "is called search_string in the Events API",
    "timestamp": "belongs to version 1.0; send event_time in seconds",
    "context": "belongs to version 1.0",
    "type": "belongs to version 1.0",
    "pixel_code": "belongs to version 1.0; send event_source_id",
    "action_source": "belongs to another network",
}


# ---------------------------------------------------------------------------
# Checks of single values.  A check returns nothing or raises Violation.
# ---------------------------------------------------------------------------

class Violation(Exception):
    """A broken rule.  The path grows outwards as it leaves the containers."""

    def __init__(self, explanation, *path):
        super().__init__(explanation)
        self.explanation = explanation
        self.path = path

    def within(self, key):
        self.path = (key, *self.path)
        return self

    def __str__(self):
        if not self.path:
            return self.explanation
        return f"{'.'.join(map(str, self.path))}: {self.explanation}"


def kind_of(value):
    kinds = {type(None): "null", bool: "a boolean", int: "a number",
             float: "a number", str: "a string", list: "an array",
             dict: "an object"}
    return kinds[type(value)]


def text(value):
    if type(value) is not str:
        raise Violation(f"must be a string, not {kind_of(value)}")
    if not value or value.isspace():
        raise Violation("must not be an empty string")


def flag(value):
    if type(value) is not bool:
        raise Violation(f"must be a boolean, not {kind_of(value)}")


def amount(value):
    """Money and the like: a JSON number, finite, not negative."""
    if type(value) is not float and type(value) is not int:
        raise Violation(f"must be a number, not {kind_of(value)}")
    if not 0 <= value <= sys.float_info.max:
        raise Violation("must not be negative" if value < 0 else "is too large a number")


def share(value):
    amount(value)
    if value > 1:
        raise Violation("must lie between 0 and 1")


def whole_number(value):
    if type(value) is not int:
        raise Violation("must be an integer without a fraction, not "
                        + ("a float" if type(value) is float else kind_of(value)))
    if value < 0:
        raise Violation("must not be negative")


def positive_number(value):
    whole_number(value)
    if value == 0:
        raise Violation("must be positive")


def text_or_number(value):
    if type(value) is str:
        text(value)
    else:
        amount(value)


def text_up_to(limit):
    def check(value):
        text(value)
        if len(value) > limit:
            raise Violation(f"is longer than {limit} characters")
    return check


def matching(pattern, explanation):
    fullmatch = re.compile(pattern).fullmatch

    def check(value):
        if type(value) is not str or not fullmatch(value):
            text(value)
            raise Violation(explanation)
    return check


def one_of(words, explanation=None):
    words = frozenset(words)
    explanation = explanation or f"must be one of {', '.join(sorted(words))}"

    def check(value):
        if type(value) is not str or value not in words:
            text(value)
            raise Violation(explanation)
    return check


is_sha256 = re.compile("[0-9a-f]{64}").fullmatch


def hashed(value):
    if type(value) is not str or not is_sha256(value):
        text(value)
        raise Violation("must be a SHA-256 in 64 lower-case hexadecimal digits")
    if value in JUNK_HASHES:
        raise Violation("is the hash of a missing value")


def hashed_one_or_several(value):
    """One value is a scalar; only several make an array."""
    if type(value) is str:
        return hashed(value)
    if type(value) is not list:
        raise Violation(f"must be a string or an array, not {kind_of(value)}")
    if not 2 <= len(value) <= 5:
        raise Violation(f"an array must have 2 to 5 elements, not {len(value)}")
    for index, element in enumerate(value):
        try:
            hashed(element)
        except Violation as violation:
            raise violation.within(index)
    if len(set(value)) < len(value):
        raise Violation("holds the same value twice")


def device_id(digits, hash_allowed, case):
    """An advertising id: digits in groups, or (if allowed) its hash."""
    raw = re.compile(f"[{digits}]+(-[{digits}]+)+").fullmatch

    def check(value):
        text(value)
        if hash_allowed and is_sha256(value):
            return hashed(value)
        if not raw(value) or len(value) > 40:
            raise Violation(f"must be a raw id in {case}"
                            + (" or its SHA-256" if hash_allowed else ""))
        if not value.strip("0-"):
            raise Violation("is the id of nobody (only zeros)")
    return check


def network(address, bits):
    number = int.from_bytes(socket.inet_pton(socket.AF_INET, address), "big")
    return number >> (32 - bits), 32 - bits


# Documentation ranges are not here: examples must be sendable.
NOT_PUBLIC_4 = [network(*pair) for pair in (
    ("0.0.0.0", 8), ("10.0.0.0", 8), ("100.64.0.0", 10), ("127.0.0.0", 8),
    ("169.254.0.0", 16), ("172.16.0.0", 12), ("192.168.0.0", 16),
    ("224.0.0.0", 4), ("240.0.0.0", 4))]


def public_4(packed):
    number = int.from_bytes(packed, "big")
    return not any(number >> shift == prefix for prefix, shift in NOT_PUBLIC_4)


def public_6(packed):
    if packed[:10] == bytes(10):
        return False    # unspecified, loopback, IPv4 in IPv6 clothes
    unique_local = packed[0] & 0xfe == 0xfc
    link_local = packed[0] == 0xfe and packed[1] & 0xc0 == 0x80
    multicast = packed[0] == 0xff
    return not (unique_local or link_local or multicast)


def public_address(value):
    text(value)
    version_6 = ":" in value
    try:
        packed = socket.inet_pton(
            socket.AF_INET6 if version_6 else socket.AF_INET, value)
    except (OSError, ValueError):
        raise Violation("is not an IP address") from None
    if not (public_6(packed) if version_6 else public_4(packed)):
        raise Violation("is not a public IP address")


plain_place = matching("[a-z0-9]{1,63}",
                       "must be plain lower-case letters and digits without blanks")
full_url = matching(r"https?://[^\s/?#]+\S*", "must be a full URL")
ttclid = text_up_to(1000)


# ---------------------------------------------------------------------------
# Checks of arrays and objects
# ---------------------------------------------------------------------------

def array_of(check_element):
    def check(value):
        if type(value) is not list:
            raise Violation(f"must be an array, not {kind_of(value)}")
        if not value:
            raise Violation("must not be an empty array")
        for index, element in enumerate(value):
            try:
                check_element(element)
            except Violation as violation:
                raise violation.within(index)
    return check


def object_of(checks, required=(), whose=""):
    def check(value):
        if type(value) is not dict:
            raise Violation(f"must be an object, not {kind_of(value)}")
        if not value:
            raise Violation("must not be an empty object")
        for key, member in value.items():
            check_member = checks.get(key)
            if check_member is None:
                raise Violation(MISPLACED.get(key, f"is not a field{whose}"), key)
            try:
                check_member(member)
            except Violation as violation:
                raise violation.within(key)
        for key in required:
            if key not in value:
                raise Violation("is required", key)
    return check


# Which source takes which field, and how it is checked.
USER_FIELDS = {
    "email": ("WAOC", hashed_one_or_several),
    "phone": ("WAOC", hashed_one_or_several),
    "external_id": ("WC", hashed_one_or_several),
    "ttclid": ("W", ttclid),
    "ttp": ("W", ttclid),
    "ip": ("WA", public_address),
    "user_agent": ("WA", text),
    "locale": ("WA", matching("[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*",
                              "must be a language tag such as en-US")),
    "first_name": ("W", hashed),
    "last_name": ("W", hashed),
    "zip_code": ("W", hashed),
    "city": ("W", plain_place),
    "state": ("W", plain_place),
    "country": ("W", matching("[a-z]{2}", "must be two lower-case letters")),
    "idfa": ("A", device_id("0-9A-F", True, "upper case")),
    "idfv": ("A", device_id("0-9A-Fa-f", False, "hexadecimal groups")),
    "gaid": ("A", device_id("0-9a-f", True, "lower case")),
    "att_status": ("A", one_of(("AUTHORIZED", "DENIED", "NOT_DETERMINED",
                                "RESTRICTED", "NOT_APPLICABLE"))),
}

CONTENT_ITEM = object_of({
    "price": amount,
    "quantity": positive_number,
    "content_id": text,
    "content_category": text,
    "content_name": text,
    "brand": text,
}, whose=" of an item of contents")

PROPERTY_FIELDS = {
    "contents": ("WAOC", array_of(CONTENT_ITEM)),
    "content_ids": ("WAOC", array_of(text)),
    "content_type": ("WAOC", one_of(("product", "product_group"))),
    "currency": ("WAOC", one_of(CURRENCIES, "is not a currency TikTok accepts")),
    "value": ("WAOC", amount),
    "num_items": ("WAOC", whole_number),
    "search_string": ("WAOC", text),
    "description": ("WAOC", text),
    "order_id": ("WAOC", text),
    "shop_id": ("WAOC", text),
    "customer_type": ("WA", one_of(("new", "returning"))),
    "delivery_category": ("WAOC", one_of(("in_store", "curbside", "home_delivery"))),
    "predicted_ltv": ("WAOC", amount),
}

PAGE_FIELDS = {"url": ("W", full_url), "referrer": ("W", full_url)}

APP_FIELDS = {"app_id": ("A", text), "app_name": ("A", text),
              "app_version": ("A", text)}

AD_FIELDS = {
    "callback": ("A", text),
    "campaign_id": ("WA", text),
    "ad_id": ("WA", text),
    "creative_id": ("WA", text),
    "is_retargeting": ("A", flag),
    "attributed": ("A", flag),
    "attribution_type": ("A", text),
    "attribution_method": ("A", text),
    "attribution_provider": ("WA", text),
    "attribution_share": ("A", share),
    "attribution_value": ("A", text_or_number),
}

APP_PROPERTY_FIELDS = PROPERTY_FIELDS | {
    "currency": ("A", one_of(APP_CURRENCIES, "is not a currency TikTok accepts")),
}

LEAD_FIELDS = {"lead_id": ("C", text), "lead_event_source": ("C", text)}

REQUIRED_SECTIONS = {"web": ("user", "page"), "app": ("app",),
                     "offline": ("user",), "crm": ()}

event_id = matching(r"[\x20-\x7e]{1,128}",
                    "must be 1 to 128 printable ASCII characters")
event_source_id = matching("[A-Za-z0-9_-]+",
                           "must be letters and digits without blanks")


def check_properties(properties):
    """What fields of properties say about each other."""
    if "value" in properties and "currency" not in properties:
        raise Violation("is required beside value", "currency")
    items = properties.get("contents")
    if not items:
        return
    ids = {item["content_id"] for item in items if "content_id" in item}
    if "content_ids" in properties and ids != set(properties["content_ids"]):
        raise Violation("does not repeat the ids of contents", "content_ids")
    if "num_items" in properties:
        quantities = [item.get("quantity", 0) for item in items]
        if all(quantities) and sum(quantities) != properties["num_items"]:
            raise Violation("is not the sum of the quantities", "num_items")


@functools.lru_cache(maxsize=4096)
def event_name_problem(source, name):
    """Why the name cannot be sent for this source, or None."""
    standard = APP_EVENTS if source == "app" else STANDARD_EVENTS
    if name in standard or name in LEGACY_EVENTS:
        return None
    for known in standard | LEGACY_EVENTS.keys():
        if known.lower() == name.lower():
            return f"is spelt {known}"
    if source == "offline":
        return "offline events have standard names only"
    if name in RESERVED_EVENTS:
        return f"is reserved; send {RESERVED_EVENTS[name]}"
    if not custom_name(name, ascii_only=source != "crm"):
        return ("a custom name has at most 50 letters, digits, underscores and "
                "dashes, and begins with a letter")
    return None


def custom_name(name, ascii_only):
    if ascii_only and not name.isascii():
        return False
    # Vowel signs of some scripts are marks, not letters.
    return (len(name) <= 50 and name[0].isalpha()
            and all(char.isalnum() or char in "_-"
                    or unicodedata.category(char).startswith("M")
                    for char in name))


class EventRules:
    """What one element of data must be, for one event source."""

    def __init__(self, source, max_age_days, lead_id_required):
        self.source = source
        self.max_age = max_age_days * DAY if max_age_days else math.inf
        self.match_keys = MATCH_KEYS[source]
        self.lead_id_required = lead_id_required
        self.check_shape = self._shape()

    def _section(self, table, required=()):
        letter = SOURCES[self.source]
        checks = {name: check for name, (letters, check) in table.items()
                  if letter in letters}
        return object_of(checks, required, f" of {self.source} events")

    def _shape(self):
        properties = APP_PROPERTY_FIELDS if self.source == "app" else PROPERTY_FIELDS
        checks = {"event": text, "event_time": whole_number, "event_id": event_id,
                  "user": self._section(USER_FIELDS),
                  "properties": self._section(properties)}
        if self.source == "web":
            checks["page"] = self._section(PAGE_FIELDS, ("url",))
        if self.source == "app":
            checks["app"] = self._section(APP_FIELDS, ("app_id",))
        if self.source in ("web", "app"):
            checks["ad"] = self._section(AD_FIELDS)
            checks["limited_data_use"] = flag
        required = ["event", "event_time", "event_id", *REQUIRED_SECTIONS[self.source]]
        if self.source == "crm":
            lead_required = ("lead_id",) if self.lead_id_required else ()
            checks["lead"] = self._section(LEAD_FIELDS, lead_required)
            required += ["lead"] if self.lead_id_required else []
        return object_of(checks, required, f" of {self.source} events")

    def check(self, event, now):
        self.check_shape(event)
        problem = event_name_problem(self.source, event["event"])
        if problem:
            raise Violation(problem, "event")
        self.check_time(event["event_time"], now)
        self.check_user(event)
        if "properties" in event:
            try:
                check_properties(event["properties"])
            except Violation as violation:
                raise violation.within("properties")

    def check_time(self, event_time, now):
        if event_time > now + FUTURE_SECONDS:
            raise Violation("lies in the future"
                            + (" (milliseconds?)" if event_time > 10**11 else ""),
                            "event_time")
        if event_time < now - self.max_age:
            raise Violation(f"is more than {self.max_age / DAY:g} days ago", "event_time")

    def check_user(self, event):
        user = event.get("user", {})
        if not self.has_match_key(event, user):
            raise Violation("holds nothing by which a person can be matched", "user")
        if event.get("limited_data_use") and "ip" not in user:
            raise Violation("needs user.ip", "limited_data_use")
        if user.get("att_status") == "DENIED":
            for key in DENIED_KEYS:
                if key in user:
                    raise Violation("must not be sent when att_status is DENIED",
                                    "user", key)

    def has_match_key(self, event, user):
        return (not self.match_keys.isdisjoint(user)
                or "ip" in user and "user_agent" in user
                or "lead_id" in event.get("lead", ()))


class Contract:
    """Every rule of the contract that can be seen in one request."""

    ROOT_CHECKS = {"event_source": one_of(SOURCES), "event_source_id": event_source_id,
                   "test_event_code": text, "data": array_of(lambda event: None)}

    def __init__(self, max_age_days=None, lead_id_required=True):
        self.check_root = object_of(
            self.ROOT_CHECKS, ("event_source", "event_source_id", "data"), " of a request")
        self.rules = {
            source: EventRules(source, AGE_LIMIT_DAYS[source] if max_age_days is None
                               else max_age_days, lead_id_required)
            for source in SOURCES}

    def check(self, root, now):
        """Raises Violation for the first offender; its path is TikTok's."""
        self.check_root(root)
        events = root["data"]
        if len(events) > MAX_EVENTS:
            raise Violation(f"has {len(events)} events, at most {MAX_EVENTS} are allowed",
                            "data")
        check_event = self.rules[root["event_source"]].check
        for index, event in enumerate(events):
            try:
                check_event(event, now)
            except Violation as violation:
                raise violation.within(index).within("Batch")


# ---------------------------------------------------------------------------
# Reading JSON more strictly than the standard library does
# ---------------------------------------------------------------------------

def unique_members(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        counts = collections.Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise Violation(f"the body has the key {twice} twice in one object")
    return members


def refuse_constant(name):
    raise Violation(f"the body is not JSON: {name} is no number")


def finite_float(digits):
    """1e999 is good JSON, but no float: stay a number, and too large a one."""
    value = float(digits)
    if math.isinf(value):
        return 10**309 if value > 0 else -10**309
    return value


STRICT_JSON = json.JSONDecoder(object_pairs_hook=unique_members,
                               parse_float=finite_float,
                               parse_constant=refuse_constant)


def read_json(raw):
    try:
        characters = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Violation("the body is not valid UTF-8") from None
    try:
        value = STRICT_JSON.decode(characters)
    except RecursionError:
        raise Violation("the body is nested too deeply") from None
    except ValueError as error:
        raise Violation(f"the body is not JSON: {error}") from None
    if "\\u" in characters:
        check_escapes(value)
    return value


def check_escapes(value):
    """Escapes can smuggle in what UTF-8 cannot say: half characters, and NUL."""
    characters = json.dumps(value, ensure_ascii=False)
    try:
        characters.encode("utf-8")
    except UnicodeEncodeError:
        raise Violation("the body holds half of a surrogate pair") from None
    # dumps() writes a NUL as this escape, and a backslash as two of them.
    if "\\u0000" in characters.replace("\\\\", ""):
        raise Violation("the body holds a NUL character")


# ---------------------------------------------------------------------------
# One request on its way through the server
# ---------------------------------------------------------------------------

class Answer(typing.NamedTuple):
    status: int
    code: int
    message: str
    data: dict = {}


class Exchange:
    """A request to the track endpoint (path: None), and what was found in it."""

    path = None

    def __init__(self, request_id, received_at, headers, reused):
        self.request_id = request_id
        self.received_at = received_at
        self.headers = headers
        self.token = headers.get("Access-Token")
        self.reused = reused        # not the first request of its connection
        self.raw = None             # None while the body is unread
        self.violation = None
        self.root = {}
        self.events = []

    def read_body(self, raw):
        self.raw = raw
        try:
            root = read_json(raw)
        except Violation as violation:
            self.violation = violation
            return
        if type(root) is not dict:
            self.violation = Violation(f"the body must be an object, not {kind_of(root)}")
            return
        self.root = root
        if type(root.get("data")) is list:
            self.events = root["data"]

    def root_text(self, key):
        value = self.root.get(key)
        return value if type(value) is str else None

    def has_event(self, key, wanted):
        return any(type(event) is dict and event.get(key) == wanted
                   for event in self.events)


# ---------------------------------------------------------------------------
# The ledger: journal, counts, deduplication
# ---------------------------------------------------------------------------

# Made once: json.dumps() would make a new encoder for every line.
dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class EventNote(typing.NamedTuple):
    """A line of the journal."""
    seq: int
    received_at: float
    request_id: str
    event_source: str
    event_source_id: str
    event: str
    event_id: str
    event_time: int
    value: float
    currency: str
    test_event_code: str
    user_keys: list
    accepted: bool
    counted: bool
    refusal: dict
    remark: str
    data: dict


class EventCount:
    """Sums for one event name of one event source."""

    def __init__(self):
        self.copies = 0
        self.counted = 0
        self.values = {}

    def add_value(self, value, currency):
        # Through repr(): the shortest decimal that means this number is the
        # one the client wrote, so sums come out exact.
        exact = decimal.Decimal(repr(value))
        self.values[currency] = self.values.get(currency, 0) + exact


class Ledger:
    """Remembers what arrived.  Every method may be called by any thread."""

    def __init__(self, journal=None, fsync=False, keep_events=100_000,
                 keep_bodies=20, whole_events=False):
        self.lock = threading.Lock()
        self.journal = journal and open(journal, "ab")
        self.fsync = fsync
        self.whole_events = whole_events
        self.notes = collections.deque(maxlen=keep_events)
        self.bodies = collections.deque(maxlen=keep_bodies)
        self.seq = 0
        self.active = 0             # requests being answered
        self.open = 0               # connections
        self.clear()

    def clear(self):
        with self.lock:
            self.clock_offset = 0
            self.notes.clear()
            self.bodies.clear()
            self.first_seen = {}    # deduplication key -> time
            self.totals = collections.Counter()
            self.connections = collections.Counter()
            self.replies = collections.Counter()
            self.refusals = collections.Counter()
            self.faults = collections.Counter()
            self.counts = {}        # event_source_id -> event -> EventCount
            self.source_kinds = {}  # event_source_id -> event_source
            self.max_active = self.active

    def now(self):
        return time.time() + self.clock_offset

    # Connections and requests

    def count_connection(self, kind):
        with self.lock:
            self.connections[kind] += 1

    @contextlib.contextmanager
    def connection(self, kind):
        with self.lock:
            self.connections[kind] += 1
            self.open += 1
        try:
            yield
        finally:
            with self.lock:
                self.open -= 1

    @contextlib.contextmanager
    def request(self):
        with self.lock:
            self.totals["requests"] += 1
            self.active += 1
            self.max_active = max(self.max_active, self.active)
        try:
            yield
        finally:
            with self.lock:
                self.active -= 1

    def keep_body(self, exchange):
        with self.lock:
            self.totals["bytes"] += len(exchange.raw)
            self.bodies.append(exchange)

    def count_reply(self, code):
        with self.lock:
            self.replies[code] += 1

    # Events

    def record(self, exchange, refusal=None):
        """Writes a batch to the journal; refusal says why it was not accepted."""
        with self.lock:
            if refusal:
                self._count_refusal(refusal)
            notes = [self._note(exchange, event, refusal) for event in exchange.events]
            self.notes.extend(notes)
            if self.journal and notes:
                self._write(notes)

    def _count_refusal(self, refusal):
        if "fault" in refusal:
            self.faults[refusal["fault"]] += 1
        else:
            self.refusals[refusal["code"]] += 1

    def count_fault(self, action):
        with self.lock:
            self.faults[action] += 1

    def _note(self, exchange, event, refusal):
        # A refused batch may hold anything, so nothing is taken for granted.
        event = event if type(event) is dict else {}
        user = event.get("user")
        properties = event.get("properties")
        properties = properties if type(properties) is dict else {}
        self.seq += 1
        name, identifier = event.get("event"), event.get("event_id")
        value, currency = properties.get("value"), properties.get("currency")
        test_code = exchange.root_text("test_event_code")
        counted = self._count(exchange, name, identifier, value, currency,
                              test_code, refusal)
        return EventNote(
            self.seq, exchange.received_at, exchange.request_id,
            exchange.root_text("event_source"), exchange.root_text("event_source_id"),
            name, identifier, event.get("event_time"), value, currency, test_code,
            list(user) if type(user) is dict else [], refusal is None, counted, refusal,
            LEGACY_EVENTS.get(name) if type(name) is str else None,
            event if self.whole_events else None)

    def _count(self, exchange, name, identifier, value, currency, test_code, refusal):
        """Does TikTok count this copy?"""
        self.totals["received"] += 1
        if refusal:
            self.totals["refused"] += 1
            return False
        if test_code:
            self.totals["test"] += 1
            return False
        source_id = exchange.root_text("event_source_id")
        self.source_kinds[source_id] = exchange.root_text("event_source")
        count = self._event_count(source_id, str(name))
        count.copies += 1
        key = source_id, str(name), str(identifier)
        if identifier is not None and not self._is_first(key, exchange.received_at):
            return False
        count.counted += 1
        if type(value) in (int, float):
            count.add_value(value, str(currency))
        return True

    def _event_count(self, source_id, name):
        by_name = self.counts.setdefault(source_id, {})
        if name not in by_name:
            by_name[name] = EventCount()
        return by_name[name]

    def _is_first(self, key, now):
        """First copy, or the first after the window of an earlier one ended."""
        first = self.first_seen.get(key)
        if first is not None and now - first < DEDUPLICATION_SECONDS:
            return False
        self.first_seen[key] = now
        return True

    def _write(self, notes):
        lines = [dump(self.as_object(note)) for note in notes]
        lines.append("")
        self.journal.write("\n".join(lines).encode("utf-8", "replace"))
        self.journal.flush()
        if self.fsync:
            os.fsync(self.journal.fileno())

    # Reports

    def as_object(self, note):
        line = note._asdict()
        if not self.whole_events:
            del line["data"]
        return line

    def select(self, wanted, since=0, limit=None):
        """Notes later than sequence number since whose fields have the wanted texts."""
        with self.lock:
            notes = list(self.notes)
        found = (self.as_object(note) for note in notes if note.seq > since
                 and all(as_text(getattr(note, key)) == value
                         for key, value in wanted.items()))
        return list(itertools.islice(found, limit))

    def last_bodies(self, count):
        with self.lock:
            return list(self.bodies)[-count:]

    def stats(self):
        with self.lock:
            totals = self.totals
            counted = [count for by_name in self.counts.values()
                       for count in by_name.values()]
            copies = sum(count.copies for count in counted)
            distinct = sum(count.counted for count in counted)
            return {
                "requests": totals["requests"],
                "bytes_received": totals["bytes"],
                "received_events": totals["received"],
                "accepted_copies": copies,
                "counted_events": distinct,
                "duplicate_copies": copies - distinct,
                "test_events": totals["test"],
                "refused_events": totals["refused"],
                "values": sum_values(counted),
                "sources": {source_id: self._source_stats(source_id)
                            for source_id in self.counts},
                "replies": by_text(self.replies),
                "refusals": by_text(self.refusals),
                "faults": by_text(self.faults),
                "connections": {
                    "http": self.connections["http"],
                    "https": self.connections["https"],
                    "tls_failures": self.connections["tls_failure"],
                    "open": self.open,
                },
                "max_concurrent_requests": self.max_active,
                "clock_offset_seconds": self.clock_offset,
            }

    def _source_stats(self, source_id):
        by_name = self.counts[source_id]
        return {
            "event_source": self.source_kinds[source_id],
            "accepted_copies": sum(count.copies for count in by_name.values()),
            "counted_events": sum(count.counted for count in by_name.values()),
            "values": sum_values(by_name.values()),
            "events": {name: {"accepted_copies": count.copies,
                              "counted_events": count.counted,
                              "values": sum_values([count])}
                       for name, count in by_name.items()},
        }


def sum_values(counts):
    sums = {}
    for count in counts:
        for currency, value in count.values.items():
            sums[currency] = sums.get(currency, 0) + value
    return {currency: format(value.normalize(), "f") for currency, value in sorted(sums.items())}


def as_text(value):
    return value if type(value) is str else dump(value)


def by_text(counter):
    return {str(key): count for key, count in counter.items()}


# ---------------------------------------------------------------------------
# Reporting: the Pixels of an advertiser, and what TikTok counted of their events
# ---------------------------------------------------------------------------

LIST_PATH = "pixel/list"
STATS_PATH = "pixel/event/stats"

# The scope that each endpoint needs; 8 stands for both.
SCOPES = {LIST_PATH: 800, STATS_PATH: 802}

CALLS_PER_SECOND = 10
MOST_PIXEL_IDS = 10
MOST_DAYS = 30


class Refusal(Exception):
    """A code, and why."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Question:
    """A request to an endpoint of reporting; what a rule needs of an Exchange."""

    root, events = {}, []

    def __init__(self, path, query, headers, reused):
        self.path = path
        self.query = query
        self.token = headers.get("Access-Token")
        self.reused = reused

    @staticmethod
    def root_text(key):
        return None

    @staticmethod
    def has_event(key, wanted):
        return False


class Reporting:
    """What it was told by POST /_rehearsal/reporting, and how it answers.

    Other than track, it answers errors with HTTP 200, and has tokens of its
    own, each with scopes and advertisers.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.clear()

    def clear(self):
        with self.lock:
            self.tokens = {}
            self.pixels = []
            self.counts = {}
            self.notes = collections.deque(maxlen=1000)
            self.moments = collections.deque(maxlen=CALLS_PER_SECOND)

    def load(self, spec):
        unknown = spec.keys() - {"tokens", "pixels", "counts"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        with self.lock:
            for name in spec:
                setattr(self, name, spec[name])

    def answer(self, question):
        """The data of the answer; raises Refusal."""
        with self.lock:
            self._check_rate()
            query = dict(question.query)
            self._check_token(question, query)
            try:
                if question.path == LIST_PATH:
                    return self._list(query)
                return self._statistics(query)
            except (ValueError, TypeError, KeyError) as error:
                raise Refusal(CODE_INVALID, str(error)) from None

    def _check_rate(self):
        now = time.monotonic()
        full = len(self.moments) == CALLS_PER_SECOND
        if full and now - self.moments[0] < 1:
            raise Refusal(CODE_TOO_FREQUENT, "Too many requests. Please retry in some time.")
        self.moments.append(now)

    def _check_token(self, question, query):
        if not question.token:
            raise Refusal(CODE_TOKEN_MISSING, "Access token is empty")
        token = self.tokens.get(question.token)
        if token is None:
            raise Refusal(CODE_TOKEN_WRONG, "Access token is incorrect or has been revoked")
        scopes = token.get("scopes", [8])
        if 8 not in scopes and SCOPES[question.path] not in scopes:
            raise Refusal(CODE_NO_SCOPE, "The access token lacks the scope "
                                         f"{SCOPES[question.path]}")
        advertiser = query.pop("advertiser_id", "")
        if not re.fullmatch("[0-9]{1,20}", advertiser):
            raise Refusal(CODE_INVALID, "advertiser_id: must be digits")
        if not any(pixel["advertiser_id"] == advertiser for pixel in self.pixels):
            raise Refusal(CODE_NO_ADVERTISER, "Advertiser does not exist")
        if advertiser not in token.get("advertisers", [advertiser]):
            raise Refusal(CODE_NO_PERMISSION, "No permission to operate on this advertiser")
        self.advertiser = advertiser

    def _mine(self):
        return [pixel for pixel in self.pixels if pixel["advertiser_id"] == self.advertiser]

    def _list(self, query):
        code = query.pop("code", None)
        page = self._number(query, "page", 1, 1, 1 << 31)
        size = self._number(query, "page_size", 10, 1, 20)
        self._none_left(query)
        found = [pixel for pixel in self._mine()
                 if code in (None, pixel["pixel_code"]) or pixel.get("whatever_code")]
        shown = found[(page - 1) * size:page * size]
        return {"pixels": [self._described(pixel) for pixel in shown],
                "page_info": {"page": page, "page_size": size, "total_number": len(found),
                              "total_page": -(-len(found) // size)}}

    @staticmethod
    def _described(pixel):
        status = pixel.get("relation", "BOUND")
        return {"pixel_id": pixel["pixel_id"], "pixel_code": pixel["pixel_code"],
                "pixel_name": pixel.get("pixel_name", "Pixel"),
                "asset_ownership": {"asset_relation_status": status},
                "enable_expanded_data_sharing": True,
                "advanced_matching_fields": {"email": True, "phone_number": False},
                "events": [{"event_type": "SHOPPING", "deprecated": False}]}

    @staticmethod
    def _number(query, name, default, low, high):
        number = query.pop(name, str(default))
        if not re.fullmatch("[0-9]{1,10}", number) or not low <= int(number) <= high:
            raise ValueError(f"{name}: must be a number from {low} to {high}")
        return int(number)

    @staticmethod
    def _none_left(query):
        if query:
            raise ValueError(f"{', '.join(sorted(query))}: is not a parameter")

    def _statistics(self, query):
        ids = json.loads(query.pop("pixel_ids"))
        span = json.loads(query.pop("date_range"))
        self._none_left(query)
        if type(ids) is not list or not all(type(one) is str and one.isdigit() for one in ids):
            raise ValueError("pixel_ids: must be an array of strings of digits")
        if not 1 <= len(ids) <= MOST_PIXEL_IDS:
            raise Refusal(CODE_TOO_MANY_IDS, f"pixel_ids: 1 to {MOST_PIXEL_IDS}")
        days = self._days(span)
        mine = {pixel["pixel_id"]: pixel for pixel in self._mine()}
        if not mine.keys() >= set(ids):
            raise Refusal(CODE_NO_PERMISSION, "No permission to operate on this pixel")
        return {"list": [{"pixel_id": one, "statistics": self._sums(mine[one], days)}
                         for one in ids]}

    @staticmethod
    def _days(span):
        if type(span) is not dict or span.keys() != {"start_date", "end_date"}:
            raise ValueError("date_range: must have start_date and end_date")
        first, last = (datetime.datetime.strptime(span[name], "%Y-%m-%d").date()
                       for name in ("start_date", "end_date"))
        if not 0 <= (last - first).days < MOST_DAYS:
            raise ValueError(f"date_range: must be 1 to {MOST_DAYS} days")
        return [str(first + datetime.timedelta(days=number))
                for number in range((last - first).days + 1)]

    def _sums(self, pixel, days):
        """As they were told, if it is one day; else added up."""
        if pixel.get("relation") == "UNBOUND":
            return []
        by_day = self.counts.get(pixel["pixel_id"], {})
        rows = [row for day in days for row in by_day.get(day, by_day.get("*", []))]
        if len(days) == 1:
            return rows
        sums = {}
        for row in rows:
            name = row.get("pixel_event_type") or row.get("custom_event_type")
            total = sums.setdefault(name, {key: 0 if type(value) is int else value
                                           for key, value in row.items()})
            for key, value in row.items():
                if type(value) is int:
                    total[key] = total.get(key, 0) + value
        return list(sums.values())

    def note(self, question, code):
        with self.lock:
            self.notes.append({"path": question.path, "query": question.query, "code": code,
                               "reused": question.reused, "at": time.time()})

    def report(self):
        with self.lock:
            return list(self.notes)


# ---------------------------------------------------------------------------
# The script: rules that make the server misbehave
# ---------------------------------------------------------------------------

class ScriptError(Exception):
    """A rule that cannot be understood."""


HEADER_MATCHES = {"token": str, "reused": bool, "path": str}
BODY_MATCHES = {"event_source_id": str, "event": str, "event_id": str,
                "min_events": int, "max_events": int}
DICE_MATCHES = {"every": int, "probability": (int, float), "seed": int}
MATCHES = HEADER_MATCHES | BODY_MATCHES | DICE_MATCHES

PARAMETERS = {"status": int, "code": int, "message": str, "headers": dict,
              "body_base64": str, "location": str, "line": str, "bytes": int,
              "count": int, "seconds": (int, float), "retry_after": (int, str, list)}


def check_types(values, kinds):
    for name, value in values.items():
        if name in kinds and not isinstance(value, kinds[name]):
            raise ScriptError(f"{name} has the wrong type")


class Rule:
    """A fault, the requests it is for, and how often it strikes."""

    def __init__(self, spec):
        spec = dict(spec)
        self.spec = dict(spec)
        self.name = spec.pop("action", "ok")
        if self.name not in ACTIONS:
            raise ScriptError(f"unknown action {self.name}; "
                              f"known are {', '.join(sorted(ACTIONS))}")
        self.action = ACTIONS[self.name]
        self.match = spec.pop("match", {})
        self.times = spec.pop("times", 1)
        self.when = spec.pop("when", self.action.when)
        self.parameters = spec
        self.used = 0
        self.seen = 0
        self._check()
        self.dice = random.Random(self.match.get("seed", 0))

    def _check(self):
        unknown = self.match.keys() - MATCHES.keys()
        if unknown:
            raise ScriptError(f"unknown in match: {', '.join(sorted(unknown))}")
        check_types(self.match, MATCHES)
        check_types(self.parameters, PARAMETERS)
        check_types({"times": self.times}, {"times": (int, type(None))})
        unknown = self.parameters.keys() - self.action.parameters
        if unknown:
            raise ScriptError(f"unknown for {self.name}: {', '.join(sorted(unknown))}")
        missing = self.action.required - self.parameters.keys()
        if missing:
            raise ScriptError(f"{self.name} needs {', '.join(sorted(missing))}")
        if self.when not in ("before", "after"):
            raise ScriptError("when is before or after")
        if self.action.early and (self.when == "after"
                                  or self.match.keys() & BODY_MATCHES.keys()):
            raise ScriptError(f"{self.name} strikes before the body is read")

    def spent(self):
        return self.times is not None and self.used >= self.times

    def fits_headers(self, exchange):
        return (self.match.get("path") == exchange.path
                and self.match.get("token") in (None, exchange.token)
                and self.match.get("reused") in (None, exchange.reused))

    def fits(self, exchange):
        """Does the request match, dice apart?"""
        match, events = self.match, exchange.events
        return (self.fits_headers(exchange)
                and match.get("event_source_id") in (None, exchange.root_text("event_source_id"))
                and len(events) >= match.get("min_events", 0)
                and len(events) <= match.get("max_events", math.inf)
                and ("event_id" not in match or exchange.has_event("event_id", match["event_id"]))
                and ("event" not in match or exchange.has_event("event", match["event"])))

    def strikes(self):
        """Throws the dice; called once for each request that fits."""
        self.seen += 1
        if self.seen % self.match.get("every", 1):
            return False
        return ("probability" not in self.match
                or self.dice.random() < self.match["probability"])

    def certain(self):
        """Will it strike any request whose headers fit?"""
        return self.match.keys() <= HEADER_MATCHES.keys()

    def report(self):
        return {**self.spec, "used": self.used}


class RejectRule:
    """Some events are bad: a batch with one of them is refused as a whole."""

    KEYS = {"reject_event_ids", "name_index", "code", "message"}

    def __init__(self, spec):
        if spec.keys() - self.KEYS:
            raise ScriptError("a rule with reject_event_ids takes only "
                              + ", ".join(sorted(self.KEYS)))
        self.spec = spec
        self.event_ids = frozenset(spec["reject_event_ids"])
        self.code = spec.get("code", CODE_INVALID)
        named = "Batch.{index}.event_id: refused by the script"
        unnamed = "refused by the script"
        self.message = spec.get("message", named if spec.get("name_index", True) else unnamed)
        self.used = 0

    def offender(self, events):
        """The index of the first bad event, or None."""
        for index, event in enumerate(events):
            identifier = event.get("event_id") if type(event) is dict else None
            if type(identifier) is str and identifier in self.event_ids:
                return index
        return None

    def refuse(self, index):
        self.used += 1
        return self.code, self.message.replace("{index}", str(index))

    def report(self):
        return {**self.spec, "used": self.used}


class Script:
    """The rules in force, in order.  The first that fits a request strikes it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rules = []
        self.rejects = []

    def load(self, specs, append=False):
        if type(specs) is not list or not all(type(spec) is dict for spec in specs):
            raise ScriptError("a script is a JSON array of rules")
        rejects = [RejectRule(spec) for spec in specs if "reject_event_ids" in spec]
        rules = [Rule(spec) for spec in specs if "reject_event_ids" not in spec]
        with self.lock:
            self.rules = self.rules + rules if append else rules
            self.rejects = self.rejects + rejects if append else rejects

    def take_early(self, exchange):
        """A fault that must strike before the body is read, if its turn has come.

        Rules in front of it that need the body, or dice, to decide do not
        hold it up; a rule that is certain to strike does.
        """
        with self.lock:
            for rule in self.rules:
                if rule.spent() or not rule.fits_headers(exchange):
                    continue
                if rule.action.early:
                    if rule.strikes():
                        return self._use(rule)
                elif rule.certain():
                    return None
        return None

    def take(self, exchange):
        """The fault for a request whose body has been read, or None."""
        with self.lock:
            for rule in self.rules:
                if (not rule.spent() and not rule.action.early
                        and rule.fits(exchange) and rule.strikes()):
                    return self._use(rule)
        return None

    @staticmethod
    def _use(rule):
        rule.used += 1
        return rule

    def give_back(self, rule):
        """The rule was for an accepted batch, but this one was refused."""
        with self.lock:
            rule.used -= 1

    def rejection(self, events):
        with self.lock:
            for rule in self.rejects:
                index = rule.offender(events)
                if index is not None:
                    return rule.refuse(index)
        return None

    def report(self):
        with self.lock:
            return [rule.report() for rule in self.rejects + self.rules]


# ---------------------------------------------------------------------------
# What each fault does
#
# A fault gets the connection, the parameters of its rule, and the answer the
# client would have got.  The early ones are called before the body is read.
# ---------------------------------------------------------------------------

class Action(typing.NamedTuple):
    run: typing.Callable
    when: str
    early: bool
    required: set
    parameters: set


ACTIONS = {}


def action(name, required="", optional="", when="before", early=False):
    def register(run):
        needed = set(required.split())
        ACTIONS[name] = Action(run, when, early, needed,
                               needed | set(optional.split()) | {"retry_after"})
        return run
    return register


def body_bytes(parameters, default=b""):
    """The body of a rule: text, any JSON value, or bytes in base64."""
    if "body_base64" in parameters:
        return base64.b64decode(parameters["body_base64"])
    body = parameters.get("body", default)
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def success_body(**extra):
    return json.dumps({"code": CODE_OK, "message": "OK", "request_id": "0", "data": {},
                       **extra}).encode()


HTML = b"<!DOCTYPE html><html><body><h1>Please log in</h1></body></html>"


# Whole answers, but not the right ones

@action("ok", when="after")
def answer_genuine(connection, parameters, genuine):
    """Nothing wrong: holds a place in a queue of rules."""
    connection.send(connection.response(genuine.status, connection.envelope(genuine)))


@action("status", "status", "body body_base64 headers")
def answer_status(connection, parameters, genuine):
    connection.send(connection.response(parameters["status"], body_bytes(parameters),
                                        parameters.get("headers")))


@action("code", "code", "message status headers")
def answer_code(connection, parameters, genuine):
    code = parameters["code"]
    answer = Answer(parameters.get("status", connection.rehearsal.status_of(code)), code,
                    parameters.get("message", "refused by the script"))
    connection.send(connection.response(answer.status, connection.envelope(answer),
                                        parameters.get("headers")))


@action("redirect", "location", "status")
def answer_redirect(connection, parameters, genuine):
    connection.send(connection.response(parameters.get("status", 302), b"",
                                        {"Location": parameters["location"]}))


@action("html")
def answer_html(connection, parameters, genuine):
    connection.send(connection.response(200, HTML, {"Content-Type": "text/html"}))


def register_body(name, body):
    @action(name)
    def answer(connection, parameters, genuine):
        connection.send(connection.response(200, body))


register_body("empty", b"")
register_body("cut_json", success_body()[:-10])
register_body("json_array", b"[" + success_body() + b"]")
register_body("code_string", success_body(code="0"))
register_body("code_huge", success_body(code=2**64))
register_body("code_missing", b'{"message": "OK", "request_id": "0", "data": {}}')


@action("oversized", "bytes")
def answer_oversized(connection, parameters, genuine):
    """Good JSON and code 0, if one reads that far."""
    padding = "x" * parameters["bytes"]
    connection.send(connection.response(200, success_body(data={"padding": padding})))


@action("gzip_bomb", optional="bytes")
def answer_gzip_bomb(connection, parameters, genuine):
    size = parameters.get("bytes", 64_000_000)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1_000_000)
    packed = b"".join(packer.compress(block) for _ in range(size // len(block) + 1))
    connection.send(connection.response(200, packed + packer.flush(),
                                        {"Content-Encoding": "gzip"}))


# The genuine answer in a strange shape

@action("http10", when="after")
def answer_http10(connection, parameters, genuine):
    """No length: the answer ends with the connection."""
    connection.send(f"HTTP/1.0 {genuine.status} OK\r\nContent-Type: application/json\r\n\r\n"
                    .encode() + connection.envelope(genuine))
    connection.drop()


@action("huge_header", optional="bytes", when="after")
def answer_huge_header(connection, parameters, genuine):
    connection.send(connection.response(
        genuine.status, connection.envelope(genuine),
        {"X-Padding": "x" * parameters.get("bytes", 10_000_000)}))


@action("many_headers", optional="count", when="after")
def answer_many_headers(connection, parameters, genuine):
    headers = {f"X-Padding-{number}": "x" for number in range(parameters.get("count", 100_000))}
    connection.send(connection.response(genuine.status, connection.envelope(genuine), headers))


@action("interim_first", optional="status", when="after")
def answer_interim_first(connection, parameters, genuine):
    connection.send(interim(parameters))
    answer_genuine(connection, parameters, genuine)


@action("extra_response", when="after")
def answer_twice(connection, parameters, genuine):
    """A second answer that nobody asked for."""
    response = connection.response(genuine.status, connection.envelope(genuine))
    connection.send(response + response)


@action("slow_loris", optional="seconds", when="after")
def answer_slowly(connection, parameters, genuine):
    """One byte at a time."""
    response = connection.response(genuine.status, connection.envelope(genuine))
    for position in range(len(response)):
        connection.send(response[position:position + 1])
        if connection.peer_left(parameters.get("seconds", 1)):
            break
    else:
        return
    connection.drop()


@action("delay", "seconds", when="after")
def answer_late(connection, parameters, genuine):
    connection.peer_left(parameters["seconds"])
    answer_genuine(connection, parameters, genuine)


# No answer, or no end of it

@action("hang")
def hang(connection, parameters, genuine):
    connection.wait_for_peer_to_leave()
    connection.drop()


@action("interim_only", optional="status")
def hang_after_interim(connection, parameters, genuine):
    connection.send(interim(parameters))
    hang(connection, parameters, genuine)


def interim(parameters):
    return f"HTTP/1.1 {parameters.get('status', 100)} Wait\r\n\r\n".encode()


@action("stall")
def hang_after_headers(connection, parameters, genuine):
    body = connection.envelope(genuine)
    connection.send(connection.response(genuine.status, body)[:-len(body) // 2])
    hang(connection, parameters, genuine)


@action("endless_chunks")
def answer_endlessly(connection, parameters, genuine):
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    while not connection.rehearsal.resets_since(connection.generation):
        connection.send(chunk)
    connection.drop()


@action("garbage_status", optional="line")
def answer_garbage(connection, parameters, genuine):
    body = success_body()
    connection.send(f"{parameters.get('line', 'HTTP/1.1 abc')}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    connection.drop()


@action("raw", optional="body body_base64")
def answer_raw(connection, parameters, genuine):
    """These bytes in place of a response, then the end of the connection."""
    connection.send(body_bytes(parameters))
    connection.drop()


@action("close")
def close(connection, parameters, genuine):
    connection.drop()


@action("reset_before_body", early=True)
def reset_before_body(connection, parameters, genuine):
    connection.reset()


@action("reset_mid_body", early=True)
def reset_mid_body(connection, parameters, genuine):
    connection.rfile.read(connection.content_length() // 2)
    connection.reset()


@action("reset_after_body")
def reset_after_body(connection, parameters, genuine):
    connection.reset()


@action("reset_mid_reply", when="after")
def reset_mid_reply(connection, parameters, genuine):
    response = connection.response(genuine.status, connection.envelope(genuine))
    connection.send(response[:len(response) // 2])
    connection.reset()


# ---------------------------------------------------------------------------
# The rehearsal: what all connections share, and the judgement of a request
# ---------------------------------------------------------------------------

def status_of(code):
    """The HTTP status TikTok documents for a code, or the likeliest."""
    known = {CODE_OK: 200, CODE_NOT_IMPLEMENTED: 405, CODE_NO_ROUTE: 404, 20001: 200}
    if code in known:
        return known[code]
    if 40100 <= code <= 40105:
        return 401
    return 400 if 40000 <= code < 50000 else 500


def parse_tokens(specs):
    """TOKEN or TOKEN=source_id,source_id -> which sources it may report for."""
    tokens = {}
    for spec in specs:
        token, _, scope = spec.partition("=")
        if not token:
            raise ValueError("an access token must not be empty")
        tokens[token] = frozenset(scope.split(",")) if scope else None
    return tokens


class Rehearsal:

    def __init__(self, options):
        self.options = options
        self.contract = Contract(options.max_age_days, not options.lead_id_optional)
        self.ledger = Ledger(options.journal, options.fsync, options.keep_events,
                             options.keep_bodies, options.whole_events)
        self.reporting = Reporting()
        self.script = Script()
        self.certificates = {}      # variant -> SSLContext
        self.generation = 0
        self.numbers = itertools.count(1)
        self.log_lock = threading.Lock()
        self.restore_options()

    def restore_options(self):
        """What can be changed at runtime goes back to the command line's."""
        self.tokens = parse_tokens(self.options.token)
        self.certificate = self.options.certificate

    def reset(self):
        self.generation += 1        # lets go of what hangs
        self.restore_options()
        self.script.load([])
        self.reporting.clear()
        self.ledger.clear()

    def resets_since(self, generation):
        return self.generation != generation

    def new_request_id(self):
        """Looks like TikTok's: the time, then digits that make it unique."""
        moment = time.strftime("%Y%m%d%H%M%S", time.gmtime())
        return f"{moment}{next(self.numbers):08d}{random.getrandbits(48):012X}"

    def status_of(self, code):
        if self.options.http_200_errors and code not in (CODE_NO_ROUTE, CODE_NOT_IMPLEMENTED):
            return 200
        return status_of(code)

    def refuse(self, code, message):
        return Answer(self.status_of(code), code, message)

    def judge(self, exchange):
        """The answer to a request, as TikTok would give it."""
        return (self.judge_headers(exchange)
                or self.judge_body(exchange)
                or Answer(200, CODE_OK, "OK"))

    def judge_headers(self, exchange):
        if not exchange.token:
            return self.refuse(CODE_TOKEN_MISSING, "Access token is empty")
        if exchange.token not in self.tokens:
            return self.refuse(CODE_TOKEN_WRONG, "Access token is incorrect or has been revoked")
        content_type = exchange.headers.get("Content-Type", "").replace(" ", "").lower()
        if content_type not in ("application/json", "application/json;charset=utf-8"):
            return self.refuse(CODE_INVALID, "Content-Type must be application/json")
        if "Content-Encoding" in exchange.headers:
            return self.refuse(CODE_INVALID, "Content-Encoding is not supported")
        return None

    def judge_body(self, exchange):
        if exchange.violation:
            return self.refuse(CODE_INVALID, str(exchange.violation))
        scope = self.tokens[exchange.token]
        if scope and exchange.root_text("event_source_id") not in scope:
            return self.refuse(CODE_NO_PERMISSION,
                               "No permission to operate on this event_source_id")
        if not self.options.trust:
            try:
                # The age of an event is judged by the real clock: moving the
                # virtual one only moves the deduplication window.
                self.contract.check(exchange.root, time.time())
            except Violation as violation:
                return self.refuse(CODE_INVALID, str(violation))
        rejection = self.script.rejection(exchange.events)
        return rejection and self.refuse(*rejection)

    def log(self, line):
        if self.options.quiet:
            return
        with self.log_lock, contextlib.suppress(OSError):
            print(time.strftime("%H:%M:%S"), line, flush=True)


# ---------------------------------------------------------------------------
# HTTP
# ---------------------------------------------------------------------------

class BodyRefused(Exception):
    """The body cannot even be read."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status
        self.message = message


class Connection(http.server.BaseHTTPRequestHandler):
    """One client connection, in its own thread, for as many requests as it likes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.rehearsal = self.server.rehearsal
        self.generation = self.rehearsal.generation
        self.requests_seen = 0

    def handle(self):
        with self.rehearsal.ledger.connection(self.server.kind):
            # Clients that leave in the middle are what this server is for.
            with contextlib.suppress(OSError):
                if self.shake_hands():
                    super().handle()
                    self.end_tls()

    def shake_hands(self):
        if not self.server.tls:
            return True
        self.request.settimeout(10)
        try:
            self.request.do_handshake()
        except OSError:
            self.rehearsal.ledger.count_connection("tls_failure")
            return False
        self.request.settimeout(None)
        return True

    def end_tls(self):
        """Says goodbye, so that the client knows that nothing was cut off."""
        if self.server.tls and self.request.fileno() >= 0:
            self.request.settimeout(1)
            self.request.unwrap()

    def log_message(self, *args):
        pass

    # Routing

    def do_POST(self):
        self.route()

    do_GET = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = do_POST

    def route(self):
        self.requests_seen += 1
        self.generation = self.rehearsal.generation
        if self.path.startswith(CONTROL_PATH) and not self.server.tls:
            Control(self).answer()
        elif self.path == TRACK_PATH and self.command == "POST":
            with self.rehearsal.ledger.request():
                self.track()
        elif self.command == "GET" and self.reporting_path() in SCOPES:
            self.report()
        else:
            self.refuse_route()

    def refuse_route(self):
        if self.path == TRACK_PATH:
            answer = self.rehearsal.refuse(CODE_NOT_IMPLEMENTED, "Method is not allowed")
        else:
            answer = self.rehearsal.refuse(CODE_NO_ROUTE, "Path is not found")
        self.request_id = self.rehearsal.new_request_id()
        with contextlib.suppress(BodyRefused):
            self.read_body()
        self.rehearsal.ledger.count_reply(answer.code)
        self.send(self.response(answer.status, self.envelope(answer)))

    # The endpoints of reporting

    def reporting_path(self):
        path = urllib.parse.urlsplit(self.path).path
        return path.removeprefix(API_PATH).removesuffix("/") if path.endswith("/") else None

    def report(self):
        self.request_id = self.rehearsal.new_request_id()
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query,
                                            keep_blank_values=True))
        question = Question(self.reporting_path(), query, self.headers, self.requests_seen > 1)
        with contextlib.suppress(BodyRefused):
            self.read_body()
        rule = self.rehearsal.script.take(question)
        try:
            answer = Answer(200, CODE_OK, "OK", self.rehearsal.reporting.answer(question))
        except Refusal as refusal:
            answer = Answer(200, refusal.code, str(refusal))
        self.rehearsal.reporting.note(question, None if rule else answer.code)
        if rule:
            self.rehearsal.ledger.count_fault(rule.name)
            self.strike(rule, answer)
        else:
            self.send(self.response(answer.status, self.envelope(answer)))
        self.rehearsal.log(f"{question.path}  "
                           + (f"fault {rule.name}" if rule else f"code {answer.code}"))

    # The track endpoint

    def track(self):
        started = time.monotonic()
        self.request_id = self.rehearsal.new_request_id()
        exchange = Exchange(self.request_id, self.rehearsal.ledger.now(), self.headers,
                            self.requests_seen > 1)
        rule = self.rehearsal.script.take_early(exchange)
        outcome = self.strike_early(rule) if rule else self.receive(exchange)
        self.rehearsal.log(f"{len(exchange.events):4d} events  {outcome}  "
                           f"{(time.monotonic() - started) * 1000:.1f} ms")

    def strike_early(self, rule):
        self.rehearsal.ledger.count_fault(rule.name)
        rule.action.run(self, rule.parameters, None)
        return f"fault {rule.name}"

    def receive(self, exchange):
        """Reads, judges, writes down, answers; returns what came of it."""
        try:
            exchange.read_body(self.read_body())
        except BodyRefused as refused:
            answer = Answer(refused.status, CODE_INVALID, refused.message)
            self.rehearsal.ledger.record(exchange, {"code": answer.code,
                                                    "message": answer.message})
            return self.reply(answer)
        self.rehearsal.ledger.keep_body(exchange)
        rule = self.rehearsal.script.take(exchange)
        if rule and rule.when == "before":
            return self.strike_before(rule, exchange)
        return self.accept(exchange, rule)

    def strike_before(self, rule, exchange):
        """The fault in place of an answer; nothing is accepted."""
        if rule.name == "delay" and not self.peer_left(rule.parameters["seconds"]):
            self.rehearsal.ledger.count_fault(rule.name)
            return self.accept(exchange, None)
        self.rehearsal.ledger.record(exchange, {"fault": rule.name})
        failure = Answer(self.rehearsal.status_of(CODE_SYSTEM_ERROR), CODE_SYSTEM_ERROR,
                         "System error")
        self.strike(rule, failure)
        return f"fault {rule.name}, not accepted"

    def strike(self, rule, answer):
        self.retry_after = rule.parameters.get("retry_after")
        rule.action.run(self, rule.parameters, answer)

    def accept(self, exchange, rule):
        answer = self.rehearsal.judge(exchange)
        if answer.code != CODE_OK:
            if rule:
                self.rehearsal.script.give_back(rule)
            self.rehearsal.ledger.record(exchange, {"code": answer.code,
                                                    "message": answer.message})
            return self.reply(answer)
        self.rehearsal.ledger.record(exchange)
        if not rule:
            return self.reply(answer)
        self.rehearsal.ledger.count_fault(rule.name)
        self.strike(rule, answer)
        return f"fault {rule.name}, accepted"

    def reply(self, answer):
        self.rehearsal.ledger.count_reply(answer.code)
        self.send(self.response(answer.status, self.envelope(answer)))
        return f"code {answer.code}  http {answer.status}"

    def envelope(self, answer):
        return json.dumps({"code": answer.code, "message": answer.message,
                           "request_id": self.request_id, "data": answer.data}).encode()

    # Reading and writing

    def content_length(self):
        length = self.headers.get("Content-Length", "")
        return int(length) if re.fullmatch("[0-9]{1,15}", length) else 0

    def read_body(self):
        if "Transfer-Encoding" in self.headers:
            self.drop()     # where the body ends is not known
            raise BodyRefused(411, "Content-Length is required")
        length = self.content_length()
        if length > MAX_BODY:
            self.drain(length)
            raise BodyRefused(413, f"the body is longer than {MAX_BODY} bytes")
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the client left in the middle of the body")
        return body

    def drain(self, length):
        """Reads what will not be used: closing before would cut off our answer."""
        self.drop()
        left = min(length, MAX_DRAIN)
        while left > 0:
            piece = self.rfile.read(min(left, 65536))
            if not piece:
                break
            left -= len(piece)

    retry_after = None

    def response(self, status, body=b"", headers=None):
        """A whole HTTP response; headers replace those of the same name.

        A list as value makes the header appear as often as it has elements.
        """
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        if self.retry_after is not None:
            fields["Retry-After"] = self.retry_after
            self.retry_after = None
        if self.close_connection:
            fields["Connection"] = "close"
        fields.update(headers or {})
        reason = http.client.responses.get(status, "Unknown")
        head = "".join(f"{name}: {value}\r\n" for name, values in fields.items()
                       for value in (values if isinstance(values, list) else [values]))
        return f"HTTP/1.1 {status:03d} {reason}\r\n{head}\r\n".encode("latin-1") + body

    def send(self, data):
        self.wfile.write(data)      # unbuffered: leaves at once, in one piece

    # Ending it

    def peer_left(self, seconds):
        """Waits, but not longer than the client does."""
        poll = select.poll()
        poll.register(self.request.fileno(), select.POLLRDHUP)
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            # In short steps, so that a reset of the rehearsal ends it too.
            if poll.poll(max(0, min(left, 0.1)) * 1000):
                return True
            if left <= 0 or self.rehearsal.resets_since(self.generation):
                return False

    def wait_for_peer_to_leave(self):
        while not self.rehearsal.resets_since(self.generation) and not self.peer_left(3600):
            pass

    def drop(self):
        self.close_connection = True

    def reset(self):
        """RST in place of FIN."""
        self.drop()
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                b"\1\0\0\0" + bytes(4))
        # A plain close() would wait for rfile and wfile, and the base class
        # would send a FIN before.
        os.close(self.request.detach())


class Control:
    """The control interface: one method per path below /_rehearsal/."""

    def __init__(self, connection):
        self.connection = connection
        self.rehearsal = connection.rehearsal
        parts = urllib.parse.urlsplit(connection.path)
        self.command = parts.path.removeprefix(CONTROL_PATH)
        self.query = dict(urllib.parse.parse_qsl(parts.query))

    def answer(self):
        method = self.connection.command.lower()
        run = getattr(self, f"{method}_{self.command}", None)
        try:
            body = self.connection.read_body()
            if run is None:
                return self.reply(404, {"error": f"there is no {method.upper()} {self.command}"})
            result = run(json.loads(body)) if method == "post" and body else run()
        except (BodyRefused, ScriptError, ValueError, KeyError, TypeError,
                AttributeError) as error:
            return self.reply(400, {"error": str(error)})
        self.reply(200, result)

    def reply(self, status, result):
        self.connection.send(self.connection.response(status, json.dumps(result).encode()))

    def get_health(self):
        return {"status": "ok", "pid": os.getpid()}

    def get_stats(self):
        return self.rehearsal.ledger.stats()

    def get_events(self):
        since = int(self.query.pop("since", 0))
        limit = int(self.query.pop("limit", sys.maxsize))
        unknown = self.query.keys() - set(EventNote._fields)
        if unknown:
            raise ValueError(f"unknown filter {', '.join(sorted(unknown))}")
        return self.rehearsal.ledger.select(self.query, since, limit)

    def get_bodies(self):
        exchanges = self.rehearsal.ledger.last_bodies(int(self.query.get("last", 1)))
        return [self.describe(exchange) for exchange in exchanges]

    @staticmethod
    def describe(exchange):
        headers = dict(exchange.headers)
        for name in headers:
            if name.lower() == "access-token":
                headers[name] = "***"
        return {"request_id": exchange.request_id, "headers": headers,
                "bytes": len(exchange.raw),
                "sha256": hashlib.sha256(exchange.raw).hexdigest(),
                "body": exchange.raw.decode("utf-8", "replace")}

    def get_script(self):
        return self.rehearsal.script.report()

    def post_script(self, specs=None):
        self.rehearsal.script.load(specs if specs is not None else [],
                                   append=self.query.get("append") == "1")
        return self.get_script()

    def post_clock(self, body):
        self.rehearsal.ledger.clock_offset = float(body["offset_seconds"])
        return {"offset_seconds": self.rehearsal.ledger.clock_offset}

    def post_tokens(self, body):
        self.rehearsal.tokens = parse_tokens(body["tokens"])
        return {"tokens": len(self.rehearsal.tokens)}

    def post_certificate(self, body):
        variant = body["certificate"]
        if variant not in self.rehearsal.certificates:
            raise ValueError("no such certificate, or no HTTPS")
        self.rehearsal.certificate = variant
        return {"certificate": variant}

    def post_reporting(self, spec):
        self.rehearsal.reporting.load(spec)
        return {"pixels": len(self.rehearsal.reporting.pixels)}

    def get_reports(self):
        return self.rehearsal.reporting.report()

    def post_reset(self, body=None):
        self.rehearsal.reset()
        return {"status": "ok"}


class Server(http.server.ThreadingHTTPServer):
    """One port: HTTP, or HTTPS with the certificate chosen at the moment."""

    request_queue_size = 512
    daemon_threads = True       # what hangs must not hold up the end

    def __init__(self, rehearsal, port, tls):
        self.rehearsal = rehearsal
        self.tls = tls
        self.kind = "https" if tls else "http"
        super().__init__(("127.0.0.1", port), Connection)

    def server_bind(self):
        # The base class would ask the name service for the host's name.
        socketserver.TCPServer.server_bind(self)

    def get_request(self):
        request, address = super().get_request()
        if self.tls:
            context = self.rehearsal.certificates[self.rehearsal.certificate]
            # The handshake is left to the connection's own thread.
            request = context.wrap_socket(request, server_side=True,
                                          do_handshake_on_connect=False)
        return request, address

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def url(self, path=""):
        return f"{self.kind}://127.0.0.1:{self.server_address[1]}{path}"


# ---------------------------------------------------------------------------
# Certificates
# ---------------------------------------------------------------------------

CERTIFICATES = ("good", "expired", "not_yet_valid", "self_signed", "wrong_host", "old_tls")

OPENSSL_CONFIG = """
[ca]
default_ca = rehearsal
[rehearsal]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = policy
unique_subject = no
[policy]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[this_host]
subjectAltName = IP:127.0.0.1, DNS:localhost, DNS:two.test
extendedKeyUsage = serverAuth
[other_host]
subjectAltName = IP:192.0.2.1, DNS:events.example.com
extendedKeyUsage = serverAuth
"""


class CertificateMaker:
    """A certificate authority of our own, and a server certificate of each kind.

    All is made with "openssl ca", because that is the one command whose old
    versions too can make a certificate of the past or of the future.
    """

    def __init__(self, directory):
        self.directory = directory

    def path(self, name):
        return os.path.join(self.directory, name)

    def make(self):
        """Makes what is missing: a restart keeps the CA that clients trust."""
        names = ["ca", *self.server_certificates()]
        if all(os.path.exists(self.path(f"{name}.pem")) for name in names):
            return
        with tempfile.TemporaryDirectory(dir=self.directory) as self.workshop:
            self._write("config", OPENSSL_CONFIG)
            self._write("index.txt", "")
            self._make_authority()
            for name, (first_day, last_day, extensions) in self.server_certificates().items():
                self._sign(name, first_day, last_day, extensions)
            self._self_sign("self_signed", "localhost", "this_host")
            self._move_out()

    @staticmethod
    def server_certificates():
        """Name -> first day and last day, counted from today, and host."""
        return {"good": (-1, 3650, "this_host"),
                "expired": (-60, -30, "this_host"),
                "not_yet_valid": (30, 3650, "this_host"),
                "wrong_host": (-1, 3650, "other_host")}

    def _write(self, name, content):
        with open(os.path.join(self.workshop, name), "w") as file:
            file.write(content)

    def _openssl(self, *arguments):
        try:
            subprocess.run(["openssl", *arguments], cwd=self.workshop, check=True,
                           stdin=subprocess.DEVNULL, capture_output=True, text=True)
        except FileNotFoundError:
            sys.exit("HTTPS needs the openssl command")
        except subprocess.CalledProcessError as error:
            sys.exit(f"openssl {arguments[0]} failed: {error.stderr}")

    def _make_key(self, name):
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-out", f"{name}.key")

    def _make_authority(self):
        self._make_key("ca")
        self._make_key("server")
        self._self_sign("ca", "Events API rehearsal CA", "authority", "ca")
        self._openssl("req", "-new", "-config", "config", "-key", "server.key",
                      "-subj", "/CN=localhost", "-out", "server.csr")

    def _self_sign(self, name, common_name, extensions, key="server"):
        self._openssl("req", "-x509", "-config", "config", "-key", f"{key}.key",
                      "-subj", f"/CN={common_name}", "-extensions", extensions,
                      "-days", "3650", "-out", f"{name}.pem")

    def _sign(self, name, first_day, last_day, extensions):
        self._openssl("ca", "-batch", "-notext", "-config", "config", "-cert", "ca.pem",
                      "-keyfile", "ca.key", "-in", "server.csr", "-out", f"{name}.pem",
                      "-startdate", self._date(first_day), "-enddate", self._date(last_day),
                      "-extensions", extensions)

    @staticmethod
    def _date(days):
        day = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        return day.strftime("%Y%m%d%H%M%SZ")

    def _move_out(self):
        for name in ("ca.pem", "server.key", "self_signed.pem",
                     *(f"{name}.pem" for name in self.server_certificates())):
            os.replace(os.path.join(self.workshop, name), self.path(name))

    def contexts(self):
        return {variant: self._context(variant) for variant in CERTIFICATES}

    def _context(self, variant):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if variant == "old_tls":
            # A good certificate, but a protocol no client should take any more.
            variant = "good"
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.load_cert_chain(self.path(f"{variant}.pem"), self.path("server.key"))
        context.set_alpn_protocols(["http/1.1"])
        return context


# ---------------------------------------------------------------------------
# The command line
# ---------------------------------------------------------------------------

EPILOG = """\
An example:

  python3 t/events_api.py --dir /tmp/rehearsal --http-port 8080 --token secret

When DIR/ready exists, the server answers.  It is a JSON object with pid,
http_port, https_port, http_url, https_url (both of the track endpoint, null
without HTTPS), control_url and ca_file.

The control interface (HTTP port only; JSON in, JSON out):

  GET  /_rehearsal/health
  GET  /_rehearsal/stats        requests, copies, counted events, values, ...
  GET  /_rehearsal/events       the journal; filters: any field of it, as
                                ?event_source_id=..&event=Purchase&accepted=true
                                and since=SEQ (later than), limit=N
  GET  /_rehearsal/bodies?last=N    the last requests: headers (without the
                                token), body, its SHA-256
  GET  /_rehearsal/script       the rules in force, each with "used"
  POST /_rehearsal/script       [RULE, ...] replaces the rules; ?append=1 adds
  POST /_rehearsal/clock        {"offset_seconds": 172800} moves the clock of
                                the deduplication window
  POST /_rehearsal/tokens       {"tokens": ["new", "other=SOURCE"]}
  POST /_rehearsal/certificate  {"certificate": "expired"} for connections to
                                come
  POST /_rehearsal/reporting    what GET pixel/list/ and pixel/event/stats/ know:
                                {"tokens": {"T": {"scopes": [800, 802],
                                "advertisers": ["7"]}}, "pixels": [{"advertiser_id":
                                "7", "pixel_id": "1", "pixel_code": "C1",
                                "relation": "UNBOUND"}], "counts": {"1":
                                {"2026-11-29": [STATISTIC, ..], "*": [..]}}}
  GET  /_rehearsal/reports      the requests to these two
  POST /_rehearsal/reset        as after the start (the journal file stays)

A rule of the script:

  {"action": "status", "status": 503, "body": "busy", "retry_after": "5",
   "match": {"event_source_id": "C1", "min_events": 2}, "times": 3,
   "when": "before"}

  match   all optional: path (pixel/list or pixel/event/stats; without it the
          rule is for track), event_source_id, token, event_id and event (one of the
          batch has it), min_events, max_events, reused (not the first request
          of its connection), every (each Nth that fits), probability and seed
  times   how often it strikes; default 1, null: for ever
  when    "before": nothing is accepted.  "after": the batch is judged and
          accepted first; if it is refused, the client learns that, and the
          rule waits.  The default is before, except for the actions marked *

  The first rule that fits a request strikes it.  Actions with parameters:

%(actions)s

  Every action takes "retry_after": a number, a text, or a list for a header
  that comes several times.  The actions marked * shape the genuine answer;
  with "before" that is code 50000.  But "delay" with "before" waits first and
  then handles the request, unless the client has left.  Actions that strike
  before the body is read (reset_before_body, reset_mid_body) cannot match
  what is in it.

  {"reject_event_ids": ["a", "b"]} stands for ever: a batch with one of these
  is refused with 40002, and the message names the index of the first.
  Optional: "name_index": false, "code", "message" (with {index}).
"""


def describe_actions():
    lines = []
    for name, known in sorted(ACTIONS.items()):
        parameters = [*sorted(known.required),
                      *(f"[{name}]" for name in
                        sorted(known.parameters - known.required - {"retry_after"}))]
        mark = "*" if known.when == "after" else " "
        lines.append(f"  {mark} {name:20}{' '.join(parameters)}".rstrip())
    return "\n".join(lines)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="A rehearsal server of TikTok's Events API 2.0, on 127.0.0.1. "
                    "Stricter than TikTok: what the contract does not allow is refused.",
        epilog=EPILOG % {"actions": describe_actions()},
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dir", required=True, help="where certificates and the file \"ready\" go")
    add("--token", action="append", required=True, metavar="TOKEN[=ID,ID]",
        help="an access token, and which event source ids it may report for "
             "(default: any); repeatable")
    add("--http-port", type=int, default=0, metavar="N", help="0 (default): a free one")
    add("--https-port", type=int, metavar="N",
        help="serve HTTPS too; 0: a free port. Needs the openssl command")
    add("--certificate", choices=CERTIFICATES, default="good",
        help="what to show HTTPS clients (default: good)")
    add("--max-age-days", type=float, metavar="N",
        help="age limit of events, 0: none (default: 7 for web and app, 28 for "
             "offline and crm)")
    add("--lead-id-optional", action="store_true",
        help="crm events may come with email or phone instead of lead_id")
    add("--http-200-errors", action="store_true",
        help="errors come with HTTP status 200, as TikTok used to do")
    add("--trust", action="store_true", help="only parse the JSON, for load tests")
    add("--journal", metavar="FILE", help="append every event as a line of JSON")
    add("--fsync", action="store_true", help="flush the journal to disk before answering")
    add("--whole-events", action="store_true",
        help="the journal keeps whole events, not just the names of the user keys")
    add("--keep-events", type=int, default=100_000, metavar="N",
        help="events to hold in memory for /_rehearsal/events (default: 100000)")
    add("--keep-bodies", type=int, default=20, metavar="N",
        help="requests to hold in memory for /_rehearsal/bodies (default: 20)")
    add("--parent-pid", type=int, metavar="PID", help="end when this process is gone")
    add("--quiet", action="store_true", help="no line per request")
    return parser, parser.parse_args()


def write_ready(path, servers, ca_file):
    http_server, https_server = servers["http"], servers.get("https")
    ready = {
        "pid": os.getpid(),
        "http_port": http_server.server_address[1],
        "https_port": https_server and https_server.server_address[1],
        "http_url": http_server.url(TRACK_PATH),
        "https_url": https_server and https_server.url(TRACK_PATH),
        "control_url": http_server.url(CONTROL_PATH),
        "ca_file": ca_file,
    }
    # Renamed into place, so that nobody reads half of it.
    with open(f"{path}.new", "w") as file:
        json.dump(ready, file)
    os.replace(f"{path}.new", path)


def start_servers(rehearsal, options):
    """Starts the ports asked for; returns the servers and the CA's file."""
    servers = {"http": Server(rehearsal, options.http_port, tls=False)}
    ca_file = None
    if options.https_port is not None:
        maker = CertificateMaker(options.dir)
        maker.make()
        ca_file = maker.path("ca.pem")
        rehearsal.certificates = maker.contexts()
        servers["https"] = Server(rehearsal, options.https_port, tls=True)
    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return servers, ca_file


def watch_signals():
    """A descriptor that becomes readable when the server is told to end."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return reader


def wait_for_end(signals, parent_pid):
    poll = select.poll()
    poll.register(signals, select.POLLIN)
    if parent_pid:
        try:
            poll.register(os.pidfd_open(parent_pid), select.POLLIN)
        except ProcessLookupError:
            return
    poll.poll()


def main():
    parser, options = parse_arguments()
    options.dir = os.path.abspath(options.dir)
    os.makedirs(options.dir, exist_ok=True)
    ready = os.path.join(options.dir, "ready")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(ready)
    # A batch is thousands of objects, none of them in a cycle: with the usual
    # threshold the cycle collector would run in the middle of each.
    gc.set_threshold(100_000, 20, 100)
    signals = watch_signals()
    try:
        rehearsal = Rehearsal(options)
        servers, ca_file = start_servers(rehearsal, options)
    except (OSError, ValueError) as error:
        parser.exit(1, f"cannot start: {error}\n")
    write_ready(ready, servers, ca_file)
    for server in servers.values():
        rehearsal.log(f"listening on {server.url(TRACK_PATH)}")
    wait_for_end(signals, options.parent_pid)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(ready)
    # Not a return: threads that hang, as asked, must not delay the end.  The
    # lock is held so that no batch is cut in the middle of the journal.
    rehearsal.ledger.lock.acquire()
    os._exit(0)


if __name__ == "__main__":
    main()
