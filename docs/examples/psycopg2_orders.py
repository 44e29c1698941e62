#!/usr/bin/python3
"""A shop's checkout with psycopg2, as the role "app": orders that the trigger of docs/clients.md reports, the script for the page that
thanks, what became of an order at TikTok, and a direct call that is refused.

usage: psycopg2_orders.py CONNECTION_STRING
"""
import sys
import time

import psycopg2
from psycopg2.extras import Json


def place_order(connection, email, total):
    """The order is stored, and nothing is reported yet."""
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders (status, total, currency, email, landing_url) VALUES ('new', %s, 'EUR', %s, %s) "
                       "RETURNING order_no", (total, email, "https://shop.example.com/cart"))
        return cursor.fetchone()[0]


def pay_order(connection, order_no):
    """The trigger records a Purchase, in the transaction that makes the order paid."""
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE orders SET status = 'paid' WHERE order_no = %s", (order_no,))


def script_of_thanks(connection, order_no, email):
    """What the page has to contain so that the browser reports the same purchase under the same event_id."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT tiktok.pixel_event('shop', 'Purchase', %s, %s)", (order_no, Json({"email": email})))
        return cursor.fetchone()[0]


def status(connection, order_no):
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT status, reason FROM tiktok.event_status WHERE source = 'shop' AND event = 'Purchase' AND event_id = %s",
                       (order_no,))
        return cursor.fetchone()


def report_search(connection, event_id, properties):
    """A call, where the trigger would be of no use. Its errors are the application's; the transaction is rolled back."""
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT tiktok.track('shop', 'Search', %s, properties => %s, user_data => %s, page => %s)",
                           (event_id, Json(properties), Json({"external_id": "customer-1"}), Json({"url": "https://shop.example.com/"})))
            return cursor.fetchone()[0]
    except psycopg2.DataError as error:
        print(f"refused: {type(error).__name__} {error.pgcode}: {error.diag.message_primary}")
        return None


def main():
    connection = psycopg2.connect(sys.argv[1])
    order_no = place_order(connection, "ana@example.com", "49.90")
    print("placed:", status(connection, order_no))
    pay_order(connection, order_no)
    print(script_of_thanks(connection, order_no, "ana@example.com"))
    deadline = time.monotonic() + 30
    while status(connection, order_no)[0] in ("pending", "retrying") and time.monotonic() < deadline:
        time.sleep(0.1)
    print("paid:", status(connection, order_no))
    report_search(connection, "search-1", {"value": "a lot"})
    print("recorded:", report_search(connection, "search-2", {"search_string": "shoes"}) is not None)


main()
