# What tiktok.create_trigger() makes is plain PostgreSQL: pg_dump takes it along, and what is restored makes the same events, also in partitions that are new.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dumped');
my $dir = PostgreSQL::Test::Utils::tempdir();

sub sql { my ($sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql) }

sub restored
{
	my ($db, @command) = @_;
	sql("CREATE DATABASE $db");
	$node->command_ok([ @command, '-d', $node->connstr($db) ], "$db is restored");
}

# All that there is of triggers and functions, and what they may be used by
sub objects
{
	return sql(<<'SQL', $_[0]);
SELECT concat_ws(' | ', p.oid::regprocedure, p.proowner::regrole, p.proacl, obj_description(p.oid, 'pg_proc'), pg_get_functiondef(p.oid)) FROM pg_proc p WHERE p.proname LIKE 'tiktok\_%' ORDER BY 1;
SELECT concat_ws(' | ', t.tgrelid::regclass, t.tgname, t.tgenabled, t.tgdeferrable, t.tginitdeferred, t.tgparentid <> 0, pg_get_triggerdef(t.oid)) FROM pg_trigger t WHERE t.tgfoid = 'tiktok.track_row'::regproc ORDER BY 1;
SELECT concat_ws(' | ', name, event_source, event_source_id, key, currency_policy) FROM tiktok.source ORDER BY 1;
SELECT concat_ws(' | ', source, stage, event, position) FROM tiktok.lead_stage ORDER BY 1;
SQL
}

# The same rows, and what they come to
sub events
{
	my ($db) = @_;
	sql(<<'SQL', $db);
SET ROLE clerk;
BEGIN;
INSERT INTO shop.orders (id, no, customer_id, status, total, day) VALUES (1, 'N-1', 1, 'paid', 0, '2026-11-29'), (2, 'N-2', 1, 'paid', 1, '2026-11-29');
INSERT INTO shop.lines VALUES ('N-1', 'A', 4), ('N-1', 'B', 6);
UPDATE shop.orders SET total = 10 WHERE id = 1;
DELETE FROM shop.orders WHERE id = 2;
COMMIT;
INSERT INTO shop.tenants VALUES (1, 10, 100), (2, 20, 100), (3, 30, 100);
INSERT INTO shop.leads VALUES (1, '7412345678901234567', 1), (2, '7412345678901234568', 2);
RESET ROLE;
SET session_replication_role = replica;
INSERT INTO shop.copied VALUES (1, 'a@example.com');
RESET session_replication_role;
INSERT INTO shop.copied VALUES (2, 'a@example.com');
SQL
	return sql("SELECT concat_ws(' | ', s.source, e.event, e.event_id, s.status, s.reason, s.notes, e.payload -> 'properties', i.user_data) FROM tiktok.event e JOIN tiktok.event_status s USING (id) LEFT JOIN tiktok.identity i USING (id) ORDER BY e.event_id COLLATE \"C\"", $db);
}

$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'tiktok_events'\ntiktok_events.enabled = off");
$node->start;
sql(<<'SQL');
CREATE EXTENSION tiktok_events;
CREATE ROLE keeper;
CREATE ROLE clerk;
CREATE SCHEMA shop AUTHORIZATION keeper;
INSERT INTO tiktok.source (name, event_source, event_source_id, key) VALUES ('shop', 'web', 'C1', NULL), ('north', 'web', 'C2', '10'), ('south', 'web', 'C3', '20'), ('crm', 'crm', '7003', NULL);
INSERT INTO tiktok.lead_stage VALUES ('crm', 'Won', 'Purchase', 1);
SELECT tiktok.grant_owner('keeper');
SET ROLE keeper;
CREATE TABLE shop.customers (id int PRIMARY KEY, email text);
CREATE TABLE shop.orders (id int, no text, customer_id int REFERENCES shop.customers, status text, total numeric, paid_at timestamptz DEFAULT now(), day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE shop.orders_1 PARTITION OF shop.orders FOR VALUES FROM ('2000-01-01') TO ('2100-01-01');
CREATE TABLE shop.lines (no text, sku text, price numeric);
CREATE TABLE shop.tenants (id int PRIMARY KEY, tenant int, total_cents int);
CREATE TABLE shop.stages (id int PRIMARY KEY, name text);
CREATE TABLE shop.leads (id int PRIMARY KEY, lead text, stage_id int REFERENCES shop.stages);
CREATE TABLE shop.copied (id int PRIMARY KEY, email text);
INSERT INTO shop.customers VALUES (1, 'a@example.com');
INSERT INTO shop.stages VALUES (1, 'New'), (2, 'Won');
GRANT USAGE ON SCHEMA shop TO clerk;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO clerk;
RESET ROLE;
SELECT tiktok.create_trigger('shop.orders', 'shop', 'Purchase', '{"event_id": "no", "event_time": "paid_at", "value": "total", "currency": "''EUR''", "email": "customer_id->email", "url": "''https://example.com/''"}',
	$$status = 'paid'$$, at_commit => true, query => $$SELECT (SELECT jsonb_agg(l.sku ORDER BY l.sku) FROM shop.lines l WHERE l.no = new.no) AS content_ids$$);
SELECT tiktok.create_trigger('shop.tenants', '=tenant', 'Subscribe', '{"event_time": "now", "value": "total_cents", "amounts": "''minor''", "currency": "''EUR''", "external_id": "id", "url": "''https://example.com/''"}', query => $$SELECT 'x' AS description$$);
SELECT tiktok.create_trigger('shop.leads', 'crm', '=stage_id->name', '{"lead_id": "lead", "event_time": "now"}');
SELECT tiktok.create_trigger('shop.copied', 'shop', 'Contact', '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}', replica => true);
SQL
$node->command_ok([ 'pg_dump', '-f', "$dir/plain", '-d', $node->connstr('postgres') ], 'pg_dump');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/custom", '-d', $node->connstr('postgres') ], 'pg_dump -Fc');
$node->command_ok([ 'pg_dump', '-t', 'shop.tenants', '-f', "$dir/table", '-d', $node->connstr('postgres') ], 'pg_dump -t');
restored('plain', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain");
restored('custom', 'pg_restore', '--exit-on-error', "$dir/custom");

my $objects = objects('postgres');
like($objects, qr/^shop\.tiktok_orders_tiktok_shop_purchase\(integer,text\)|.*query of trigger/, 'there is a function');
is(() = $objects =~ /\|\s*R\s*\|/g, 1, 'and a trigger for replicas');
is(objects($_), $objects, "$_ has all of it") for qw(plain custom);

my $events = events('postgres');
is($events, <<'EVENTS' =~ s/\n\z//r, 'what the rows come to');
shop | Purchase | N-1 | pending | {"content_ids":["A","B"],"content_type":"product","value":10,"currency":"EUR"} | {"email":"a@example.com"}
shop | Contact | copied-1 | pending | {"email":"a@example.com"}
crm | Purchase | leads-2-Won | pending
north | Subscribe | tenants-1 | pending | {"value":1.00,"currency":"EUR","description":"x"} | {"external_id":"1"}
south | Subscribe | tenants-2 | pending | {"value":1.00,"currency":"EUR","description":"x"} | {"external_id":"2"}
EVENTS
is(events($_), $events, "it is the same in $_") for qw(plain custom);

# A dump of the dump is the dump
$node->command_ok([ 'pg_dump', '-f', "$dir/again", '-d', $node->connstr('custom'), '--schema-only' ], 'dumped again');
$node->command_ok([ 'pg_dump', '-f', "$dir/schema", '-d', $node->connstr('postgres'), '--schema-only' ], 'and the original');
is(join('', grep { !/^\\(un)?restrict / } split /^/, slurp_file("$dir/again")), join('', grep { !/^\\(un)?restrict / } split /^/, slurp_file("$dir/schema")), 'they are equal');

# Partitions that are new, made by the owner
for my $db (qw(postgres custom))
{
	sql("SET ROLE keeper; CREATE TABLE shop.orders_2 PARTITION OF shop.orders FOR VALUES FROM ('2100-01-01') TO ('2101-01-01')", $db);
	sql("SET ROLE clerk; BEGIN; INSERT INTO shop.orders VALUES (3, 'N-3', 1, 'paid', 0, now(), '2026-11-29'); INSERT INTO shop.lines VALUES ('N-3', 'C', 1); UPDATE shop.orders SET day = '2100-01-01', total = 3 WHERE id = 3; COMMIT", $db);
	is(sql("SELECT string_agg(concat_ws(' ', s.event_id, s.status, s.value), ', ') FROM tiktok.event_status s WHERE s.event_id = 'N-3'", $db), 'N-3 pending 3', "$db: a row that moves to a new partition makes one event, of its newest version");
	sql("UPDATE shop.orders SET status = 'new' WHERE id = 3; UPDATE shop.orders SET status = 'paid', day = '2026-11-29', no = 'N-4' WHERE id = 3", $db);
	is(sql("SELECT concat_ws(' ', s.event_id, s.status, s.value) FROM tiktok.event_status s WHERE s.event_id = 'N-4'", $db), 'N-4 pending 3', "$db: and back");
	is(sql("SELECT tiktok.drop_trigger('shop.orders', 'tiktok_shop_purchase') ~ 'DROP FUNCTION'", $db), 't', "$db: it can be dropped");
	is(sql("SELECT count(*) FROM pg_proc WHERE proname LIKE 'tiktok\\_orders%'", $db), '0', "$db: nothing is left");
}

# A dump of a single table leaves the function out, as PostgreSQL does: an order is stored, and its event says why it cannot be sent
sql('CREATE DATABASE single');
sql("CREATE EXTENSION tiktok_events; INSERT INTO tiktok.source (name, event_source, event_source_id, key) VALUES ('north', 'web', 'C2', '10'); CREATE SCHEMA shop AUTHORIZATION keeper", 'single');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/table", '-d', $node->connstr('single') ], 'a single table is restored');
my ($rc, $out, $err) = $node->psql('single', "INSERT INTO shop.tenants VALUES (9, 10, 100); SELECT status, reason, notes FROM tiktok.event_status");
is($out, 'invalid|mapping|mapping: There is no function "tiktok_tenants_tiktok_tenant_subscribe" in the schema of the table.', 'its events are invalid');
like($err, qr/does not fit table "tenants"/, 'and say so');
sql("DELETE FROM shop.tenants; SELECT tiktok.create_trigger('shop.tenants', '=tenant', 'Subscribe', '{\"event_time\": \"now\", \"external_id\": \"id\", \"url\": \"''https://example.com/''\"}', query => \$\$SELECT 'x' AS description\$\$, replace => true);"
	  . "INSERT INTO shop.tenants VALUES (10, 10, 100)", 'single');
is(sql("SELECT source, status FROM tiktok.event_status WHERE event_id = 'tenants-10'", 'single'), 'north|pending', 'until the trigger is made anew');

done_testing();
