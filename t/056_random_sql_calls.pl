# Whatever is called, with whatever arguments, wherever: the server goes on, no error is an internal one, nothing is leaked, what may not
# write writes nothing, and every event that was committed has one fate.  Every function of the catalog is called with random arguments: in
# transactions of every kind, read only, in parallel workers, subtransactions, cursors, at commit, on a standby, by roles of every kind, in a
# hurry, with odd settings; trigger functions also as triggers of every kind on relations of every kind.
# SEED repeats the calls (not how sessions interleave); SQL_CALLS is how many (10000; a long run: 100000 and more), SQL_CALLS_PLACE the only
# place they are made in.  The scripts of sessions in which something was wrong stay in the temporary folder.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use POSIX qw(WNOHANG);
use Rehearsal;
use List::Util qw(shuffle sum);
use SqlCalls;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = $ENV{SEED} // int(rand(1_000_000));
my $total = $ENV{SQL_CALLS} // 10_000;
my $in_session = $total < 50_000 ? 200 : 1000;
my $at_once = 3;
my $dir = PostgreSQL::Test::Utils::tempdir();
diag("SEED=$seed");

my $tiktok = Rehearsal->start('--keep-bodies', '0', '--keep-events', '0');
my $node = $tiktok->cluster('calls', log_min_messages => 'error', log_error_verbosity => 'terse', log_min_error_statement => 'panic', deadlock_timeout => '100ms', max_worker_processes => 20,
	hot_standby_feedback => 'on', max_standby_streaming_delay => '-1', max_wal_senders => 5, wal_level => 'replica', autovacuum_naptime => '1s');
my $standby;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub worker { return sql("SELECT pid FROM tiktok.worker_status WHERE database = 'postgres'") }
sub megabytes { return slurp_file('/proc/' . worker() . '/status') =~ /RssAnon:\s*(\d+)/ ? int $1 / 1024 : die }

# What the calls are about; what there is is brought back in order again and again.
my $fixtures = <<'SQL';
CREATE ROLE stranger; CREATE ROLE reader; CREATE ROLE tracker; CREATE ROLE admin;
CREATE SCHEMA calls;
GRANT ALL ON SCHEMA calls TO PUBLIC;
CREATE TYPE pair AS (id int, name text);
CREATE TABLE orders (id serial PRIMARY KEY, gone int, name text, email text, total numeric, at timestamptz DEFAULT now(), doc jsonb DEFAULT '{"a": {"b": 1}}', tags text[], "Odd" text);
ALTER TABLE orders DROP COLUMN gone;
CREATE TABLE leads (id int PRIMARY KEY, name varchar(20), email text, total float8, at timestamp, doc json, tags int[]);
CREATE TABLE parts (id int PRIMARY KEY, name text, email text, total numeric, at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE part_low PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (1000);
CREATE TABLE part_high PARTITION OF parts DEFAULT;
CREATE TABLE keyless (id int, name text, email text, total money, at date);
CREATE VIEW in_front AS SELECT id, name, email, total FROM orders;
CREATE MATERIALIZED VIEW snapshot AS SELECT id, name, email, total FROM orders;
CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE away (id int, name text, email text, total numeric) SERVER nowhere;
CREATE TABLE odd (id xid, name bytea, email point, total pair, at interval, doc xml);
CREATE TABLE wide (id int PRIMARY KEY, name text, email text, total numeric, at timestamptz, a text GENERATED ALWAYS AS (name || email) STORED);
INSERT INTO orders (name, email, total) SELECT 'Won', 'c' || n || '@example.com', n FROM generate_series(1, 30) n;
INSERT INTO leads SELECT n, 'Won', 'c' || n || '@example.com', n, now() FROM generate_series(1, 10) n;
INSERT INTO parts SELECT n * 100, 'Won', 'c' || n || '@example.com', n, now() FROM generate_series(1, 20) n;
INSERT INTO keyless SELECT n, 'Won', 'c' || n || '@example.com', n, now() FROM generate_series(1, 10) n;
CREATE TABLE calls.at_commit (call text);
CREATE VIEW calls.truth AS SELECT id::text AS event_id, total AS value, 'EUR' AS currency, at FROM orders;
GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA calls TO PUBLIC;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;

CREATE FUNCTION calls.row_event(o orders) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('external_id', o.id, 'url', 'https://example.com/', o.name, o.email) $$;
CREATE FUNCTION calls.caught(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'SELECT ' || call;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	-- what no one may catch unseen
	IF sqlstate LIKE 'XX%' THEN RAISE; END IF;
	RETURN sqlstate;
END $$;
CREATE FUNCTION calls.run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'SELECT ' || NEW.call;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER run AFTER INSERT ON calls.at_commit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION calls.run();
-- a label that is wrong for most of what it calls
CREATE FUNCTION calls.in_worker(call text) RETURNS void LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN EXECUTE 'SELECT ' || call; END $$;
CREATE FUNCTION calls.is_worker() RETURNS boolean LANGUAGE sql PARALLEL SAFE AS $$ SELECT backend_type = 'parallel worker' FROM pg_stat_activity WHERE pid = pg_backend_pid() $$;
CREATE AGGREGATE calls.phones(text) (SFUNC = tiktok.normalize_phone, STYPE = text);
CREATE OPERATOR calls.@@@ (LEFTARG = text, RIGHTARG = text, FUNCTION = tiktok.normalize_zip_code);

-- what must hold, said by errors of class TT
CREATE FUNCTION calls.check_unwritten() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF pg_current_xact_id_if_assigned() IS NOT NULL THEN RAISE 'a transaction that is read only has written' USING ERRCODE = 'TT001'; END IF;
END $$;
CREATE FUNCTION calls.check_memory() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	used bigint := (SELECT sum(total_bytes) FROM pg_backend_memory_contexts);
	most int := substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+)')::int;
BEGIN
	IF used > 64 * 1024 * 1024 THEN RAISE 'a session holds % bytes', used USING ERRCODE = 'TT002'; END IF;
	IF most > 1024 * 1024 THEN RAISE 'a session held % kB', most USING ERRCODE = 'TT002'; END IF;
END $$;

CREATE FUNCTION calls.restore(tokens text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT tgname, tgrelid::regclass AS relation FROM pg_trigger
		WHERE NOT tgisinternal AND tgparentid = 0 AND tgrelid <> 'calls.at_commit'::regclass AND tgname <> 'base'
			AND tgrelid NOT IN (SELECT oid FROM pg_class WHERE relnamespace = 'tiktok'::regnamespace) LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.relation);
	END LOOP;
	INSERT INTO tiktok.source (name, event_source, event_source_id, identifiers) VALUES
		('shop', 'web', 'CPIXEL0000000001', 'hash_on_delivery'), ('app', 'app', '7400000000000000002', 'hash_on_delivery'),
		('store', 'offline', '7400000000000000001', 'hash_on_delivery'), ('crm', 'crm', '7400000000000000003', 'hash_on_delivery'),
		('hashed', 'web', 'CPIXEL0000000002', 'hash_on_enqueue')
	ON CONFLICT (name) DO UPDATE SET enabled = true, max_event_age = NULL, default_calling_code = '49', batch_size = 1000, consent = 'optional';
	INSERT INTO tiktok.lead_stage VALUES ('crm', 'Won', 'Won', 1), ('crm', 'new', 'Lead', 2) ON CONFLICT DO NOTHING;
	INSERT INTO tiktok.source_of_truth (source, event, relation) VALUES ('shop', 'Purchase', 'calls.truth') ON CONFLICT DO NOTHING;
	INSERT INTO tiktok.platform_count (source, day, event, total) VALUES ('shop', '2026-01-01', 'Purchase', 5) ON CONFLICT DO NOTHING;
	PERFORM tiktok.set_access_token(name, tokens), tiktok.resume(name) FROM tiktok.source;
	PERFORM tiktok.grant_reader('reader'), tiktok.grant_tracker('tracker'), tiktok.grant_admin('admin');
	TRUNCATE calls.at_commit;
END $$;
SELECT calls.restore('TOKEN');
CREATE TRIGGER base AFTER INSERT OR UPDATE ON orders FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'event_id=id', 'value=total', 'currency=''EUR''', 'email=email', 'url=''https://shop.example.com/''', 'event_time=at');
CREATE TRIGGER base AFTER INSERT OR UPDATE ON leads FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('crm', '=name', 'lead_id=id', 'email=email');
UPDATE orders SET total = total + 1; UPDATE leads SET total = total + 1;
CREATE TABLE calls.facts AS SELECT tiktok_internal.report_facts(now() - interval '1 day', now() + interval '1 day', NULL) AS facts;
GRANT SELECT ON calls.facts TO PUBLIC;
SQL
$fixtures =~ s/TOKEN/$Rehearsal::TOKEN/;
sql($fixtures);

my %slow = map { $_ => 0.1 } qw(health checklist failure_modes report_html self_test wait reconcile differences bridge create_trigger backfill), qw(checks source_checks), map { "report_$_" } qw(facts health compared sales pixel);
my %often = (track => 12, preview => 2, retry => 2, discard => 2, withdraw_consent => 2, pixel_event => 2);
my (@functions, @trigger_functions, @weighted);
for my $row (split /\n/, sql(<<'SQL'))
SELECT concat_ws(E'\t', pronamespace::regnamespace, proname, prokind, prorettype::regtype, pronargdefaults,
	array_to_string(ARRAY(SELECT t::regtype FROM unnest(proargtypes) t), ','), array_to_string(proargnames[1:pronargs], ','))
FROM pg_proc WHERE pronamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) ORDER BY oid::regprocedure::text
SQL
{
	my ($schema, $name, $kind, $returns, $defaults, $types, $names) = split /\t/, $row, -1;
	next if $name eq 'free_key';	# takes an event's status away; triggers call it that replace the event
	my $f = { name => $name, full_name => "$schema.$name", kind => $kind, returns => $returns, defaults => $defaults, types => [ split /,/, $types ], names => [ split /,/, $names // '' ] };

	push @functions, $f;
	push @trigger_functions, $f if $returns eq 'trigger';
	push @weighted, ($f) x (10 * ($slow{$name} // $often{$name} // 1));
}

sub one_of { return $_[ int rand @_ ] }
sub call { return SqlCalls::call(one_of(grep { $_->{kind} eq 'f' } @weighted)) }
sub statements { return map { SqlCalls::statement(one_of(@weighted)) } 1 .. $_[0] }

# Statements that may fail without an end of the transaction.
sub transaction
{
	my ($begin, @statements) = @_;
	return ('\set ON_ERROR_ROLLBACK on', $begin, @statements, one_of('COMMIT', 'COMMIT', 'ROLLBACK'), '\set ON_ERROR_ROLLBACK off');
}

# Without savepoints: core's functions of language sql keep a snapshot from one FETCH to the next.
sub cursor
{
	return ('BEGIN', 'DECLARE c CURSOR ' . one_of('', 'WITH HOLD ') . 'FOR SELECT ' . call() . ' FROM generate_series(1, 5)',
		'FETCH 2 FROM c', 'FETCH ALL FROM c', one_of('COMMIT', 'ROLLBACK'), 'CLOSE ALL');
}

# Triggers on our own tables are not left there: the worker would refuse to work.
sub trigger
{
	my ($create, @statements) = SqlCalls::trigger(one_of(@trigger_functions));
	my @transaction = transaction('BEGIN', $create, @statements);

	$transaction[-2] = 'ROLLBACK' if $create =~ /ON tiktok/;
	return @transaction;
}

sub uses
{
	my ($a, $b) = map { SqlCalls::odd_text() . '::text' } 1 .. 2;
	return 'SELECT ' . one_of("calls.phones(x) FROM unnest(ARRAY[$a, $b]) x", "calls.phones(x) OVER (ORDER BY x) FROM unnest(ARRAY[$a, $b]) x", "$a OPERATOR(calls.@@@) $b");
}

my $parallel = $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
my @odd_settings = ("search_path = ''", 'search_path = nowhere, pg_temp, tiktok', "DateStyle = 'German'", "TimeZone = 'Pacific/Chatham'", "IntervalStyle = 'sql_standard'",
	'extra_float_digits = -15', 'bytea_output = escape', 'row_security = off', 'session_replication_role = replica', 'tiktok_events.test_event = on',
	'quote_all_identifiers = on', 'work_mem = 64', 'enable_seqscan = off', 'enable_indexscan = off', 'jit_above_cost = 0', 'plan_cache_mode = force_generic_plan', 'max_stack_depth = 100',
	'default_transaction_read_only = on', "default_transaction_isolation = 'serializable'", 'constraint_exclusion = on', "client_encoding = 'LATIN1'", 'check_function_bodies = off', 'array_nulls = off');

# How much of all is called there, and statements with ten calls.
my %places = (
	plain => [ 20, sub { return statements(10) } ],
	transaction => [ 8, sub { return transaction('BEGIN', statements(10)) } ],
	repeatable => [ 4, sub { return transaction('BEGIN ISOLATION LEVEL REPEATABLE READ', statements(10)) } ],
	serializable => [ 4, sub { return transaction('BEGIN ISOLATION LEVEL SERIALIZABLE', statements(10)) } ],
	read_only => [ 8, sub { return transaction('BEGIN READ ONLY', statements(10), 'SELECT calls.check_unwritten()') } ],
	parallel => [ 8, sub { return ("SET $parallel = on", statements(3), map { 'SELECT calls.in_worker($call$' . call() . '$call$)' } 1 .. 7) } ],
	cursor => [ 4, sub { return map { cursor() } 1 .. 10 } ],
	hurry => [ 6, sub { return ('SET statement_timeout = ' . one_of(1 .. 5), 'SET lock_timeout = 1', statements(10), "SET statement_timeout = '300ms'") } ],
	settings => [ 8, sub { return ((map { "SET $_" } one_of(@odd_settings), one_of(@odd_settings)), statements(10), 'RESET ALL', "SET statement_timeout = '300ms'") } ],
	triggers => [ 14, sub { return map { trigger() } 1 .. 10 } ],
	uses => [ 2, sub { return map { uses() } 1 .. 10 } ],
	configuration => [ 4, sub { return ('SET SESSION AUTHORIZATION admin', transaction('BEGIN', map { SqlCalls::configuration() } 1 .. 10)) } ],
	standby => [ 6, sub { return one_of(sub { statements(10) }, sub { transaction('BEGIN READ ONLY', statements(10)) })->() } ],
	map { my $role = $_; $role => [ 3, sub { return ("SET SESSION AUTHORIZATION $role", statements(10)) } ] } qw(stranger reader tracker admin));

# Writes the script of a session, of one statement a line.
sub write_script
{
	my ($place, $file) = @_;
	my @lines = ('\set VERBOSITY verbose', '\pset pager off', '\o /dev/null', "SET statement_timeout = '300ms'", 'SET client_min_messages = warning');

	push @lines, "SELECT calls.restore('$Rehearsal::TOKEN')" if $place ne 'standby';
	push @lines, $places{$place}[1]->() for 1 .. $in_session / 10;
	push @lines, 'RESET SESSION AUTHORIZATION', 'RESET ALL', 'SELECT calls.check_memory()';
	open my $script, '>:encoding(UTF-8)', $file or die $!;
	print $script map { /^\\/ ? "$_\n" : "$_;\n" } @lines;
	close $script;
}

# Errors that are internal ones, and are not ours.
my @accepted = (
	qr/tuple concurrently (updated|deleted)/,    # GRANT and DDL of several sessions on the same object: core has no better word for it
	qr/during a parallel operation/,    # what core says of functions whose label is wrong
);
my (%errors, @wrong);
my $said = 0;

sub judge
{
	my ($place, $file, $status) = @_;
	my @lines = split /\n/, slurp_file($file);
	my $output = slurp_file("$file.err");
	my $wrong = @wrong;

	push @wrong, "$place: psql ends with status $status: " . substr $output, -300 if $status != 0;
	for (split /(?=^psql:)/m, $output)
	{
		my ($line, $kind, $state, $message) = /^psql:[^\n]*?:(\d+): (ERROR|WARNING|NOTICE|FATAL|PANIC):  (\w{5}): (.*)/ or (push(@wrong, "$place: $_"), next);
		$errors{$state}++ if $kind eq 'ERROR';
		$said++;
		next unless $kind =~ /FATAL|PANIC/ || $state =~ /^(XX|TT|58|53200)/ || $message =~ /cache lookup failed|unrecognized|leak|not owned|non-empty SPI|was not closed|alloc set/;
		next if grep { $message =~ $_ } @accepted;
		push @wrong, substr("$place: $_", 0, 600) . 'STATEMENT: ' . substr $lines[$line - 1] // '', 0, 3000;
	}
	unlink $file, "$file.err" if $wrong == @wrong;
}

sub start_session
{
	my ($place, $number) = @_;
	my $file = "$dir/$number";
	my $server = $place eq 'standby' ? $standby : $node;

	write_script($place, $file);
	my $pid = fork // die "fork: $!";
	return ($pid, [ $place, $file ]) if $pid;
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', "$file.err";
	exec 'psql', '-Xq', '-d', $server->connstr('postgres'), '-f', $file or POSIX::_exit(1);
}

sub run_sessions
{
	my @todo = @_;
	my %running;
	my $number = 0;

	while (@todo || %running)
	{
		while (@todo && keys %running < $at_once)
		{
			my ($pid, $session) = start_session(shift @todo, ++$number);
			$running{$pid} = $session;
		}
		for my $pid (keys %running)
		{
			next if waitpid($pid, WNOHANG) == 0;
			my ($place, $file) = @{ delete $running{$pid} };
			judge($place, $file, $?);
			@todo = () if $? != 0;
		}
		sleep 0.05;
	}
}

$node->backup('copy');
$standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is(sql("SET $parallel = on; SELECT calls.is_worker()"), 't', 'a query runs in a parallel worker');

my @places = defined $ENV{SQL_CALLS_PLACE} ? $ENV{SQL_CALLS_PLACE} : sort keys %places;
my $shares = sum(map { $places{$_}[0] } @places);
my @sessions = map { ($_) x (int($total * $places{$_}[0] / $shares / $in_session + 0.5) || 1) } @places;
srand($seed);
@sessions = shuffle(@sessions);

ok(Rehearsal::drained($node, 60), 'the worker is at work');
my $worker = worker();
my $before = time;
run_sessions(@sessions);
note(sprintf '%d calls in %d s; errors: %s', @sessions * $in_session, time - $before, join ', ', map { "$_ $errors{$_}" } sort { $errors{$b} <=> $errors{$a} } keys %errors);
is(scalar @wrong, 0, 'no internal error, no leak, no lost connection') or diag(join "\n", splice @wrong, 0, 10);
cmp_ok($said, '>', $total / 4, 'most calls are refused');
is(worker(), $worker, 'the worker is the same');
cmp_ok(megabytes(), '<', 64, 'and is not large');

# What is left is in order
sql("SELECT calls.restore('$Rehearsal::TOKEN'); UPDATE tiktok.source SET enabled = true, event_source_id = CASE event_source WHEN 'web' THEN 'C' ELSE '74' END || lpad(id::text, 17, '0')");
ok(Rehearsal::drained($node, 60), 'everything is finished');
is(sql(<<'SQL'), '0', 'every event has one fate');
SELECT count(*) FROM tiktok.event e WHERE (SELECT count(*) FROM tiktok.delivery d WHERE d.id = e.id) + (SELECT count(*) FROM tiktok.retry r WHERE r.id = e.id) <> 1
SQL
is(sql(<<'SQL'), '0', 'no fate and no identifier is without its event');
SELECT count(*) FROM (SELECT id FROM tiktok.delivery UNION ALL SELECT id FROM tiktok.retry UNION ALL SELECT id FROM tiktok.identity) x WHERE NOT EXISTS (SELECT FROM tiktok.event e WHERE e.id = x.id)
SQL
is(sql(<<'SQL'), '0', 'no identifier is kept of what is final, but for rejected and uncertain');
SELECT count(*) FROM tiktok.identity JOIN tiktok.delivery USING (id) WHERE status NOT IN ('rejected', 'uncertain')
SQL
cmp_ok(sql('SELECT count(*) FROM tiktok.event'), '>', $total / 1000, 'there are events');
note(Rehearsal::statuses($node));
is($node->psql('postgres', "SELECT count(*) FROM tiktok.$_"), 0, "view $_ can be read") for split /\n/, sql("SELECT relname FROM pg_class WHERE relnamespace = 'tiktok'::regnamespace AND relkind = 'v' ORDER BY 1");
$standby->stop;
$node->stop;
unlike(slurp_file($_->logfile), qr/PANIC|terminated by signal|TRAP/, $_->name . ' has not crashed') for $node, $standby;

done_testing();
