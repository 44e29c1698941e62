# Nobody makes the worker, or a function of the extension, run code of his own: planted functions, operators and temporary tables are not found,
# a schema that is there already is not adopted, and a worker whose tables were tampered with touches nothing.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('privileges');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub becomes { return $node->poll_query_until('postgres', "SELECT status = '$_[1]' FROM tiktok.event_status WHERE event_id = '$_[0]'") }
sub worker { return sql("SELECT $_[0] FROM tiktok.worker_status WHERE database = 'postgres'") }
sub logged { my $log = slurp_file($node->logfile); return scalar(() = $log =~ /$_[0]/g) }

sub view
{
	return "SELECT tiktok.track('shop', 'ViewContent', '$_[0]', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}');";
}

$tiktok->sources($node);

# A schema that is there already, of a user who may create schemas
sql("CREATE ROLE mallory LOGIN; CREATE DATABASE squatted; GRANT CREATE ON DATABASE squatted TO mallory");
$node->safe_psql('squatted', "SET ROLE mallory; CREATE SCHEMA tiktok; CREATE FUNCTION tiktok.track_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'");
my ($rc, $out, $err) = $node->psql('squatted', 'CREATE EXTENSION tiktok_events');
like($err, qr/schema "tiktok" already exists/, 'a schema that is there already is not adopted');

# Functions and operators under the names of those that our statements use; who runs one is named in the log.
my $planted = <<'SQL';
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
DO $do$
DECLARE
	f text;
	t text;
BEGIN
	FOREACH f IN ARRAY '{now(),clock_timestamp(),current_setting(text),pg_current_xact_id(),pg_current_snapshot(),pg_snapshot_xmin(pg_snapshot),
		format(text),length(text),lower(text),to_json(text),json_strip_nulls(json),json_typeof(json),numeric_eq(numeric),count(bigint),min(bigint),unnest(bigint[]),
		nextval(regclass),date_bin(interval),coalesce(bigint),pg_notify(text),upper(text),md5(text)}'::text[] LOOP
		CONTINUE WHEN f IN ('coalesce(bigint)');
		EXECUTE format('CREATE FUNCTION evil.%s RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE LOG ''planted code runs: %s''; RETURN NULL; END$$', f, split_part(f, '(', 1));
	END LOOP;
	FOREACH t IN ARRAY '{int,bigint,text,timestamptz,xid8,boolean,oid,numeric,name}'::text[] LOOP
		EXECUTE format('CREATE FUNCTION evil.compare(%1$s, %1$s) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE LOG ''planted code runs: %1$s''; RETURN true; END$$', t);
		FOREACH f IN ARRAY '{=,<>,<,>,<=,>=}'::text[] LOOP
			EXECUTE format('CREATE OPERATOR evil.%2$s (LEFTARG = %1$s, RIGHTARG = %1$s, FUNCTION = evil.compare)', t, f);
		END LOOP;
	END LOOP;
END $do$;
SQL
sql('CREATE DATABASE planted');
$node->safe_psql('planted', $planted);
sql('ALTER DATABASE planted SET search_path = evil, public, pg_catalog');
$node->safe_psql('planted', 'CREATE EXTENSION tiktok_events');
is(logged('planted code runs'), 0, 'CREATE EXTENSION runs no planted code');
is($node->safe_psql('planted', "SET search_path = pg_catalog; SELECT count(*) > 50 FROM pg_depend WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass"), 't', 'and makes its objects');

# The whole way of an event in a database whose search path, by default, begins with that schema, and with temporary tables of our names
my $victim = <<'SQL';
CREATE TEMP TABLE event (id int);
CREATE TEMP TABLE source (id int);
CREATE TEMP TABLE identity (id int);
CREATE TEMP TABLE orders (no text PRIMARY KEY, customer text, at timestamptz DEFAULT pg_catalog.now());
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'CPIXEL0000000001');
CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'external_id=customer', 'url=''https://example.com/''', 'event_time=at');
INSERT INTO orders VALUES ('a', 'x'), ('b', 'x');
SELECT tiktok.track('shop', 'ViewContent', 'c', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}');
SELECT tiktok.pixel_base_code('shop'), tiktok.pixel_event('shop', 'ViewContent', 'c'), tiktok.hash_email('ana@example.com');
SELECT tiktok.withdraw_consent('shop', 'orders-b'), tiktok.forget(external_id => 'y'), tiktok.purge();
CALL tiktok.backfill('orders', 't');
SELECT tiktok.set_access_token('shop', 'TOKEN');
SELECT tiktok.wait('20 s');
TABLE tiktok.backlog; TABLE tiktok.worker_status; TABLE tiktok.enqueue_counters; TABLE tiktok.status_counters; TABLE tiktok.unmapped_stage; TABLE tiktok.query_counters; TABLE tiktok.unmapped_source;
SELECT tiktok.retry('shop'), tiktok.discard('shop'), tiktok.pause('shop'), tiktok.resume('shop'), tiktok.set_test_code('shop', 'TEST1'), tiktok.confirm_database();
SELECT tiktok.grant_admin('mallory'), tiktok.revoke_all('mallory');
SQL
$victim =~ s/TOKEN/$Rehearsal::TOKEN/;
$node->safe_psql('planted', $victim);
is($node->safe_psql('planted', 'SELECT pg_catalog.string_agg(event_id || status, $$ $$ ORDER BY event_id USING OPERATOR(pg_catalog.<)) FROM tiktok.event_status'),
	'cdelivered orders-adelivered orders-bsuppressed', 'events are recorded and delivered all the same');
is(logged('planted code runs'), 0, 'none of it runs planted code');
$node->safe_psql('planted', 'SELECT pg_catalog.now() OPERATOR(evil.=) pg_catalog.now()');
is(logged('planted code runs'), 1, 'which would say so');

# Tampering with the tables, as the owner can
sql(<<'SQL');
CREATE FUNCTION public.planted() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE LOG 'planted trigger runs'; RETURN NULL; END$$;
CREATE FUNCTION public.planted(bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE LOG 'planted check runs'; RETURN true; END$$;
CREATE ROLE someone;
SQL
my @tampering = (
	[ 'delivery', 'trigger', 'CREATE TRIGGER t AFTER INSERT ON tiktok.delivery FOR EACH ROW EXECUTE FUNCTION planted(); ALTER TABLE tiktok.delivery ENABLE ALWAYS TRIGGER t',
		'DROP TRIGGER IF EXISTS t ON tiktok.delivery' ],
	[ 'request', 'rule', 'CREATE RULE r AS ON INSERT TO tiktok.request DO ALSO SELECT planted(1)', 'DROP RULE IF EXISTS r ON tiktok.request' ],
	[ 'cursor', 'row security', 'ALTER TABLE tiktok.cursor FORCE ROW LEVEL SECURITY', 'ALTER TABLE tiktok.cursor NO FORCE ROW LEVEL SECURITY' ],
	[ 'retry', 'row security', 'CREATE POLICY p ON tiktok.retry USING (planted(id)); ALTER TABLE tiktok.retry ENABLE ROW LEVEL SECURITY',
		'DROP POLICY p ON tiktok.retry; ALTER TABLE tiktok.retry DISABLE ROW LEVEL SECURITY' ],
	[ 'source_state', 'owner', 'ALTER TABLE tiktok.source_state OWNER TO someone', 'ALTER TABLE tiktok.source_state OWNER TO CURRENT_USER' ],
	[ 'source', 'trigger', "CREATE TRIGGER t AFTER UPDATE ON tiktok.source FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent'); ALTER TABLE tiktok.source ENABLE REPLICA TRIGGER t",
		'DROP TRIGGER IF EXISTS t ON tiktok.source' ],
	[ 'identity', 'trigger', 'CREATE TRIGGER t AFTER DELETE ON tiktok.identity FOR EACH ROW WHEN (planted(old.id)) EXECUTE FUNCTION tiktok_internal.configuration_changed(); ALTER TABLE tiktok.identity ENABLE ALWAYS TRIGGER t',
		'DROP TRIGGER IF EXISTS t ON tiktok.identity' ]);
my $n = 0;
my $pid = worker('pid');
my ($monitored) = slurp_file(dirname(__FILE__) . '/../docs/monitoring/tiktok_events.yaml') =~ /^tiktok_events_worker:.*?query: \|\n(.*?)^  metrics:/ms;
is(sql("SELECT up FROM ($monitored) x"), 1, 'monitoring counts the worker');

for my $act (@tampering)
{
	my ($table, $what, $do, $undo) = @$act;
	sql($do);
	sql(view('e' . ++$n));
	ok($node->poll_query_until('postgres', "SELECT state = 'refused' FROM tiktok.worker_status WHERE database = 'postgres'"), "refused: $do");
	like(worker('last_error'), qr/"tiktok\.$table".*$what/, 'it says why');
	is(sql("SELECT detail FROM tiktok.health() WHERE check_name = 'foreign_objects' AND state = 'fail'"), worker('last_error'), 'and health does');
	is(sql("SELECT up FROM ($monitored) x"), 0, 'monitoring counts no worker');
	is(sql('SELECT DISTINCT state, reason FROM tiktok.backlog'), 'refused|' . worker('last_error'), 'so does the backlog');
	is(sql("SELECT status FROM tiktok.event_status WHERE event_id = 'e$n'"), 'pending', 'the event waits');
	my $remedy = sql("SELECT hint FROM tiktok.health() WHERE check_name = 'foreign_objects'") =~ s/^Until it is undone the worker touches nothing: //r;
	sql($remedy);
	is(sql("SELECT state IN ('ok', 'warn') FROM tiktok.health() WHERE check_name = 'foreign_objects'"), 't', "the hint undoes it: $remedy");
	sql("$undo; " . view("after$n"));
	ok(becomes("e$n", 'delivered'), 'and goes when the table is in order again');
	is(logged(qr/nothing is sent in database "postgres": table "tiktok/), $n, 'one line in the log');
}
is(worker('last_error'), '', 'nothing is left of it in the status');
is(worker('pid'), $pid, 'it was the same worker all the time');
is(logged("\\[$pid\\] LOG:  planted"), 0, 'the worker ran none of it');

# What nobody but the owner can add, or what does not take part in what the worker writes, is no reason to refuse
my @harmless = (
	[ 'an index', 'CREATE INDEX harmless ON tiktok.event (enqueued_at)', 'DROP INDEX tiktok.harmless' ],
	[ 'a partial index', "CREATE INDEX harmless ON tiktok.event (id) WHERE event = 'Purchase'", 'DROP INDEX tiktok.harmless' ],
	[ 'an index on an expression', 'CREATE INDEX harmless ON tiktok.delivery (abs(id))', 'DROP INDEX tiktok.harmless' ],
	[ 'a constraint', 'ALTER TABLE tiktok.delivery ADD CONSTRAINT harmless CHECK (id > 0)', 'ALTER TABLE tiktok.delivery DROP CONSTRAINT harmless' ],
	[ 'a foreign key', 'CREATE TABLE public.mine (id int REFERENCES tiktok.source (id))', 'DROP TABLE public.mine' ],
	[ 'a child table', 'CREATE TABLE public.child () INHERITS (tiktok.identity)', 'DROP TABLE public.child' ],
	[ 'a policy without row security', 'CREATE POLICY harmless ON tiktok.retry USING (planted(id))', 'DROP POLICY harmless ON tiktok.retry' ],
	[ 'an ordinary trigger', 'CREATE TRIGGER harmless AFTER INSERT OR DELETE ON tiktok.delivery FOR EACH ROW EXECUTE FUNCTION planted()', 'DROP TRIGGER harmless ON tiktok.delivery' ]);
for my $act (@harmless)
{
	my ($what, $do, $undo) = @$act;
	sql("$do; " . view('harmless' . ++$n));
	ok(becomes("harmless$n", 'delivered'), "$what is no reason to refuse");
	is(sql("SELECT state FROM tiktok.health() WHERE check_name = 'foreign_objects'"), $what =~ /trigger/ ? 'warn' : 'ok', 'as health says');
	sql($undo);
}
is(logged("\\[$pid\\] LOG:  planted"), 0, 'the worker ran none of it');

# What happens while the worker idles is noticed, too
sql($tampering[0][2]);
ok($node->poll_query_until('postgres', "SELECT state = 'refused' FROM tiktok.worker_status WHERE database = 'postgres'"), 'an idle worker notices');
sql($tampering[0][3]);
ok($node->poll_query_until('postgres', "SELECT state = 'idle' FROM tiktok.worker_status WHERE database = 'postgres'"), 'both ways');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'no crash');

done_testing();
