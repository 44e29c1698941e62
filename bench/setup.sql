-- A shop's orders and a source that delivers to the sink; bench/run.
CREATE EXTENSION tiktok_events;
INSERT INTO tiktok.source (name, event_source, event_source_id, requests_per_second) VALUES ('shop', 'web', 'CBENCH0000000001', 1000);
SELECT tiktok.set_access_token('shop', 'bench-token');

CREATE TABLE orders_plain (
	order_no text PRIMARY KEY, status text NOT NULL, total numeric, currency text, email text, phone text, customer text,
	client_ip inet, user_agent text, landing_url text, items jsonb);
CREATE TABLE orders (LIKE orders_plain INCLUDING ALL);
CREATE TABLE orders_plpgsql (LIKE orders_plain INCLUDING ALL);

CREATE TRIGGER tiktok AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION
	tiktok.track_row('shop', 'Purchase', 'event_id=order_no', 'value=total', 'currency=currency', 'email=email', 'phone=phone',
		'external_id=customer', 'ip=client_ip', 'user_agent=user_agent', 'url=landing_url', 'contents=items');

-- The same outbox as people write it by hand: less checked, hashed in place.
CREATE TABLE outbox (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, xid xid8 NOT NULL DEFAULT pg_current_xact_id(), event text, event_id text,
	created_at timestamptz DEFAULT clock_timestamp(), payload jsonb, UNIQUE (event_id, event));
CREATE INDEX ON outbox (xid, id);
CREATE FUNCTION outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO outbox (event, event_id, payload) VALUES ('Purchase', NEW.order_no, jsonb_build_object(
		'event', 'Purchase', 'event_time', extract(epoch FROM now())::bigint, 'event_id', NEW.order_no,
		'user', jsonb_build_object('email', encode(sha256(lower(trim(NEW.email))::bytea), 'hex'),
			'phone', encode(sha256(NEW.phone::bytea), 'hex'), 'external_id', encode(sha256(NEW.customer::bytea), 'hex'),
			'ip', host(NEW.client_ip), 'user_agent', NEW.user_agent),
		'page', jsonb_build_object('url', NEW.landing_url),
		'properties', jsonb_build_object('value', NEW.total, 'currency', upper(NEW.currency), 'contents', NEW.items)))
	ON CONFLICT DO NOTHING;
	RETURN NULL;
END $$;
CREATE TRIGGER outbox AFTER INSERT ON orders_plpgsql FOR EACH ROW EXECUTE FUNCTION outbox();

CREATE SEQUENCE order_number;
CREATE FUNCTION sample_order(n bigint) RETURNS orders_plain LANGUAGE sql AS $$
SELECT 'SO-' || n, 'paid', 80.00, 'EUR', 'customer' || n || '@example.com', '+4930' || (10000000 + n), 'cust_' || n,
	'203.0.113.24'::inet, 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36',
	'https://shop.example.com/checkout/thank-you?order=SO-' || n,
	'[{"content_id": "1001", "content_name": "Trail shoe", "price": 49.90, "quantity": 1}, {"content_id": "SOCK-2", "content_name": "Wool sock", "price": 15.05, "quantity": 2}]'::jsonb
$$;
