-- A shop's orders four times: without a trigger, with tiktok.track_row, with the same outbox in PL/pgSQL, and with a queue table as it is often written.
CREATE EXTENSION tiktok_events;
INSERT INTO tiktok.source (name, event_source, event_source_id, requests_per_second) VALUES ('shop', 'web', 'CBENCH0000000001', 1000);

CREATE TABLE orders_plain (
	order_no text PRIMARY KEY, status text NOT NULL, total numeric, currency text, email text, phone text, customer text,
	client_ip inet, user_agent text, landing_url text, items jsonb);
CREATE TABLE orders (LIKE orders_plain INCLUDING ALL);
CREATE TABLE orders_plpgsql (LIKE orders_plain INCLUDING ALL);
CREATE TABLE orders_queue (LIKE orders_plain INCLUDING ALL);

CREATE TRIGGER tiktok AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION
	tiktok.track_row('shop', 'Purchase', 'event_id=order_no', 'value=total', 'currency=currency', 'email=email', 'phone=phone',
		'external_id=customer', 'ip=client_ip', 'user_agent=user_agent', 'url=landing_url', 'contents=items');

-- The same outbox in PL/pgSQL: the same columns, the same indexes, identifiers in a table of their own.
CREATE TABLE outbox (LIKE tiktok.event INCLUDING DEFAULTS INCLUDING IDENTITY INCLUDING INDEXES);
ALTER TABLE outbox ALTER payload TYPE jsonb;
CREATE TABLE outbox_identity (id bigint PRIMARY KEY, user_data jsonb NOT NULL);
CREATE FUNCTION outbox() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	new_id bigint;
BEGIN
	INSERT INTO outbox (source_id, event, event_id, event_time, value, currency, match_keys, payload)
	VALUES (1, 'Purchase', NEW.order_no, now(), NEW.total, upper(NEW.currency), 7, jsonb_build_object(
		'event', 'Purchase', 'event_time', extract(epoch FROM now())::bigint, 'event_id', NEW.order_no,
		'page', jsonb_build_object('url', NEW.landing_url),
		'properties', jsonb_build_object('value', NEW.total, 'currency', upper(NEW.currency), 'contents', NEW.items)))
	ON CONFLICT DO NOTHING RETURNING id INTO new_id;
	IF FOUND THEN
		INSERT INTO outbox_identity VALUES (new_id, jsonb_build_object('email', lower(trim(NEW.email)), 'phone', NEW.phone,
			'external_id', NEW.customer, 'ip', host(NEW.client_ip), 'user_agent', NEW.user_agent));
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER outbox AFTER INSERT ON orders_plpgsql FOR EACH ROW EXECUTE FUNCTION outbox();

-- A queue table with a status column as it is often written, hashed in place; client.c drains it.
CREATE TABLE queue (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, status text NOT NULL DEFAULT 'pending', event text NOT NULL, event_id text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(), claimed_at timestamptz, delivered_at timestamptz, payload jsonb NOT NULL,
	UNIQUE (event_id, event));
CREATE INDEX ON queue (id) WHERE status = 'pending';
CREATE FUNCTION queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO queue (event, event_id, payload) VALUES ('Purchase', NEW.order_no, jsonb_build_object(
		'event', 'Purchase', 'event_time', extract(epoch FROM now())::bigint, 'event_id', NEW.order_no,
		'user', jsonb_build_object('email', encode(sha256(lower(trim(NEW.email))::bytea), 'hex'),
			'phone', encode(sha256(NEW.phone::bytea), 'hex'), 'external_id', encode(sha256(NEW.customer::bytea), 'hex'),
			'ip', host(NEW.client_ip), 'user_agent', NEW.user_agent),
		'page', jsonb_build_object('url', NEW.landing_url),
		'properties', jsonb_build_object('value', NEW.total, 'currency', upper(NEW.currency), 'contents', NEW.items)))
	ON CONFLICT DO NOTHING;
	RETURN NULL;
END $$;
CREATE TRIGGER queue AFTER INSERT ON orders_queue FOR EACH ROW EXECUTE FUNCTION queue();

CREATE SEQUENCE order_number START 100000000;
CREATE FUNCTION sample_orders(first bigint, last bigint) RETURNS SETOF orders_plain LANGUAGE sql STABLE AS $$
	SELECT 'SO-' || n, 'paid', 80.00, 'EUR', 'customer' || n || '@example.com', '+4930' || (10000000 + n % 10000000), 'cust_' || n,
		'203.0.113.24'::inet, 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
		'https://shop.example.com/checkout/thank-you?order=SO-' || n || '&utm_source=tiktok&utm_medium=paid&utm_campaign=autumn-outdoor&utm_content=trail-shoe-video-two-of-three-wide&utm_t',
		'[{"content_id": "1001", "content_name": "Trail shoe, waterproof, wide", "content_category": "Shoes > Outdoor", "brand": "Northwind", "price": 49.90, "quantity": 1},
		  {"content_id": "SOCK-2", "content_name": "Wool sock, long", "content_category": "Clothing > Socks", "brand": "Northwind", "price": 15.05, "quantity": 2}]'::jsonb
	FROM generate_series(first, last) n
$$;

-- What this session has used of a CPU, in microseconds.
CREATE FUNCTION cpu_time() RETURNS float8 LANGUAGE sql VOLATILE AS $$
	SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 / 1000
$$;

-- One bulk insert of n orders into each table, from an order number on, beginning with another table each time.
CREATE FUNCTION bulk_insert(n int, turn int) RETURNS TABLE (target text, cpu float8, wall float8) LANGUAGE plpgsql AS $$
DECLARE
	targets text[] := '{orders_plain,orders,orders_plpgsql,orders_queue}';
	base bigint := nextval('order_number') * n;
	cpu0 float8;
	wall0 timestamptz;
BEGIN
	CREATE TEMP TABLE sample AS SELECT * FROM sample_orders(base, base + n - 1);
	FOR i IN 0..3 LOOP
		target := targets[(turn + i) % 4 + 1];
		cpu0 := cpu_time();
		wall0 := clock_timestamp();
		EXECUTE format('INSERT INTO %I SELECT * FROM sample', target);
		wall := extract(epoch FROM clock_timestamp() - wall0) * 1e6 / n;
		cpu := (cpu_time() - cpu0) / n;
		RETURN NEXT;
	END LOOP;
	DROP TABLE sample;
END $$;

-- The same orders with customers and lines in other tables: events from the row alone, completed by the query of a trigger, and beside the same statement run by
-- a trigger by hand.
CREATE TABLE customers (id int PRIMARY KEY, email text, phone text);
INSERT INTO customers SELECT n, 'customer' || n || '@example.com', '+4930' || 10000000 + n FROM generate_series(1, 20000) n;
CREATE TABLE baskets (id int, position int, sku text, title text, category text, brand text, price numeric, quantity int, PRIMARY KEY (id, position));
INSERT INTO baskets SELECT n, p, 'SKU-' || p, 'Trail shoe, waterproof, wide', 'Shoes > Outdoor', 'Northwind', 40, 1 FROM generate_series(1, 20000) n, generate_series(1, 2) p;
CREATE TABLE related_plain (
	order_no text PRIMARY KEY, total numeric, currency text, client_ip inet, user_agent text, landing_url text,
	customer_id int REFERENCES customers, basket_id int, email text, phone text, items jsonb);
CREATE TABLE related_row (LIKE related_plain INCLUDING ALL);
CREATE TABLE related_query (LIKE related_plain INCLUDING ALL);
CREATE TABLE related_hand (LIKE related_plain INCLUDING ALL);
ALTER TABLE related_query ADD FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE related_row ADD FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE related_hand ADD FOREIGN KEY (customer_id) REFERENCES customers;
ANALYZE customers, baskets;
CREATE TRIGGER tiktok AFTER INSERT ON related_row FOR EACH ROW EXECUTE FUNCTION
	tiktok.track_row('shop', 'Purchase', 'event_id=order_no', 'value=total', 'currency=currency', 'email=email', 'phone=phone',
		'external_id=customer_id', 'ip=client_ip', 'user_agent=user_agent', 'url=landing_url', 'contents=items');
CREATE TRIGGER tiktok AFTER INSERT ON related_hand FOR EACH ROW EXECUTE FUNCTION
	tiktok.track_row('shop', 'Purchase', 'event_id=order_no', 'value=total', 'currency=currency', 'email=email', 'phone=phone',
		'external_id=customer_id', 'ip=client_ip', 'user_agent=user_agent', 'url=landing_url', 'contents=items');
SELECT tiktok.create_trigger('related_query', 'shop', 'Purchase',
	'{"event_id": "order_no", "event_time": "now", "value": "total", "currency": "currency", "email": "customer_id->email", "phone": "customer_id->phone",
	  "external_id": "customer_id", "ip": "client_ip", "user_agent": "user_agent", "url": "landing_url"}',
	query => $$SELECT (SELECT jsonb_agg(jsonb_build_object('content_id', b.sku, 'content_name', b.title, 'content_category', b.category, 'brand', b.brand,
		'price', b.price, 'quantity', b.quantity) ORDER BY b.position) FROM baskets b WHERE b.id = new.basket_id) AS contents$$);
CREATE FUNCTION related_hand() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	found record;
BEGIN
	SELECT c.email, c.phone, (SELECT jsonb_agg(jsonb_build_object('content_id', b.sku, 'content_name', b.title, 'content_category', b.category, 'brand', b.brand,
		'price', b.price, 'quantity', b.quantity) ORDER BY b.position) FROM baskets b WHERE b.id = NEW.basket_id) AS contents
	INTO found FROM (SELECT) one LEFT JOIN customers c ON c.id = NEW.customer_id;
	RETURN NULL;
END $$;
CREATE TRIGGER related_hand AFTER INSERT ON related_hand FOR EACH ROW EXECUTE FUNCTION related_hand();
CREATE FUNCTION sample_related(first bigint, last bigint) RETURNS SETOF related_plain LANGUAGE sql STABLE AS $$
	SELECT 'RO-' || n, 80.00, 'EUR', '203.0.113.24'::inet, 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'https://shop.example.com/checkout/thank-you?order=RO-' || n,
		c.id, c.id, c.email, c.phone, (SELECT jsonb_agg(jsonb_build_object('content_id', b.sku, 'content_name', b.title, 'content_category', b.category, 'brand', b.brand,
		'price', b.price, 'quantity', b.quantity) ORDER BY b.position) FROM baskets b WHERE b.id = c.id)
	FROM generate_series(first, last) n JOIN customers c ON c.id = n % 20000 + 1
$$;
CREATE FUNCTION related_insert(n int, turn int) RETURNS TABLE (target text, cpu float8) LANGUAGE plpgsql AS $$
DECLARE
	targets text[] := '{related_plain,related_row,related_query,related_hand}';
	base bigint := nextval('order_number') * n;
	cpu0 float8;
BEGIN
	CREATE TEMP TABLE sample AS SELECT * FROM sample_related(base, base + n - 1);
	FOR i IN 0..3 LOOP
		target := targets[(turn + i) % 4 + 1];
		cpu0 := cpu_time();
		EXECUTE format('INSERT INTO %I SELECT replace(order_no, ''RO'', %L), total, currency, client_ip, user_agent, landing_url, customer_id, basket_id, email, phone, items FROM sample', target, target);
		cpu := (cpu_time() - cpu0) / n;
		RETURN NEXT;
	END LOOP;
	DROP TABLE sample;
END $$;
