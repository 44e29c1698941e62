# Settings of a database and of a role that would stop or mislead a worker that heeded them: events are recorded and delivered all the same.
# Then times that a clock set back has left behind.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start('--keep-bodies', '5');
my $node = $tiktok->cluster('settings');

# what the sessions of this test need for themselves
my $writable = '-c statement_timeout=0 -c idle_session_timeout=0 -c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=off -c role=none '
  . '-c synchronous_commit=local -c temp_file_limit=-1'
  # which parallel workers do not hear in time
  . ($node->pg_version >= 17 ? ' -c transaction_timeout=0 -c max_parallel_workers_per_gather=0' : '');
my $sane = "$writable -c lock_timeout=0 -c search_path=public -c default_transaction_isolation=read\\ committed "
  . '-c session_replication_role=origin -c max_stack_depth=2MB -c enable_indexscan=on -c enable_nestloop=on '
  . '-c client_encoding=UTF8 -c exit_on_error=off -c client_min_messages=error';

my %hostile = (
	statement_timeout => '1ms',
	lock_timeout => '1ms',
	idle_in_transaction_session_timeout => '1ms',
	idle_session_timeout => '1ms',
	deadlock_timeout => '1ms',
	default_transaction_read_only => 'on',
	default_transaction_isolation => 'serializable',
	default_transaction_deferrable => 'on',
	session_replication_role => 'replica',
	row_security => 'off',
	role => 'stranger',
	search_path => 'hostile, pg_catalog',
	DateStyle => 'SQL, DMY',
	IntervalStyle => 'sql_standard',
	TimeZone => 'Pacific/Chatham',
	extra_float_digits => '-15',
	bytea_output => 'escape',
	standard_conforming_strings => 'off',
	array_nulls => 'off',
	transform_null_equals => 'on',
	quote_all_identifiers => 'on',
	client_encoding => 'LATIN1',
	client_min_messages => 'debug1',
	log_min_duration_statement => '0',
	log_statement => 'all',
	debug_print_plan => 'off',
	default_tablespace => 'nowhere',
	temp_tablespaces => 'nowhere',
	default_table_access_method => 'nothing',
	dynamic_library_path => '/nowhere',
	synchronous_commit => 'remote_apply',
	commit_delay => '100000',
	commit_siblings => '0',
	exit_on_error => 'on',
	work_mem => '64kB',
	temp_file_limit => '0',
	max_stack_depth => '100kB',
	jit => 'on',
	jit_above_cost => '0',
	max_parallel_workers_per_gather => '8',
	parallel_setup_cost => '0',
	parallel_tuple_cost => '0',
	min_parallel_table_scan_size => '0',
	min_parallel_index_scan_size => '0',
	plan_cache_mode => 'force_custom_plan',
	random_page_cost => '1e6',
	from_collapse_limit => '1',
	join_collapse_limit => '1',
	geqo_threshold => '2',
	constraint_exclusion => 'on',
	(map { ("enable_$_" => 'off') } qw(seqscan indexscan indexonlyscan bitmapscan tidscan nestloop hashjoin mergejoin sort incremental_sort hashagg material memoize)));
$hostile{transaction_timeout} = '1ms' if $node->pg_version >= 17;
# from there on it says where extensions are looked for, ours like every other
delete $hostile{dynamic_library_path} if $node->pg_version >= 18;
# from there on, release candidates included, it cannot be switched off
delete $hostile{standard_conforming_strings} if $node->pg_version >= '19devel';

$ENV{PGOPTIONS} = $sane;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub restart_worker
{
	my $pid = sql('SELECT pid FROM tiktok.worker_status WHERE pid IS NOT NULL');
	sql("SELECT pg_terminate_backend($pid)");
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM tiktok.worker_status WHERE pid <> $pid AND state <> 'starting'");
	return sql('SELECT pid FROM tiktok.worker_status');
}

# In a session that has all of the settings but those that would keep it from writing at all.
sub hostile_sql
{
	my ($sql) = @_;
	local $ENV{PGOPTIONS} = $writable;
	my ($status, $out, $error) = $node->psql('postgres', $sql, extra_params => [ '-v', 'ON_ERROR_STOP=1' ]);
	is($status, 0, 'a session with hostile settings') or diag($error);
	return $out;
}

sub track
{
	my ($id) = @_;
	return "SELECT tiktok.track('shop', 'Purchase', '$id', properties => '{\"value\": 10.25, \"currency\": \"EUR\"}', "
	  . "user_data => jsonb_build_object('email', '$id\@example.com', 'external_id', 'caf' || pg_catalog.chr(233)), "
	  . "page => '{\"url\": \"https://shop.example.com/\"}');\n";
}

# Operators and functions that answer to the name of those that the extension uses
sub mislead
{
	my $sql = "CREATE SCHEMA hostile; CREATE ROLE stranger;\n";
	for my $type (qw(int4 int8 text oid bool xid8 timestamptz))
	{
		$sql .= "CREATE FUNCTION hostile.wrong($type, $type) RETURNS bool LANGUAGE plpgsql AS "
		  . "\$\$ BEGIN RAISE EXCEPTION 'misled'; END \$\$;\n";
		$sql .= "CREATE OPERATOR hostile.$_ (LEFTARG = $type, RIGHTARG = $type, FUNCTION = hostile.wrong);\n" for qw(= <> < <= > >=);
	}
	$sql .= "CREATE FUNCTION hostile.$_ LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'misled'; END \$\$;\n"
	  for 'now() RETURNS timestamptz', 'clock_timestamp() RETURNS timestamptz', 'pg_current_xact_id() RETURNS xid8',
	  'unnest(int8[]) RETURNS SETOF int8', 'nextval(regclass) RETURNS int8', 'count(int8) RETURNS int8', 'jsonb(text) RETURNS jsonb',
	  'pg_snapshot_xmin(pg_snapshot) RETURNS xid8';
	$sql .= "CREATE VIEW hostile.event AS SELECT 1 AS id; CREATE VIEW hostile.pg_class AS SELECT 1 AS oid;\n";
	return $sql;
}

$tiktok->sources($node);
sql(mislead());
sql("CREATE TABLE public.orders (id int PRIMARY KEY, total numeric, email text, url text, at timestamptz DEFAULT pg_catalog.now());"
	  . "CREATE TRIGGER tiktok_purchase AFTER INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION "
	  . "tiktok.track_row('shop', 'Purchase', 'event_id=id', 'value=total', 'currency=''EUR''', 'email=email', 'url=url', 'event_time=at');");
sql(join '', map { "ALTER DATABASE postgres SET $_ = " . join(', ', map { "'$_'" } split /, /, $hostile{$_}) . ";\n" }
	  grep { $_ ne 'DateStyle' } sort keys %hostile);
sql("ALTER DATABASE postgres SET DateStyle = 'SQL, DMY'");
sql("ALTER ROLE postgres SET lock_timeout = '1ms'; ALTER ROLE postgres SET default_transaction_read_only = on;");
my $worker = restart_worker();
is(sql("SELECT backend_type FROM pg_stat_activity WHERE pid = $worker"), 'tiktok_events worker', 'the worker starts with hostile settings');

hostile_sql(track('called'));
hostile_sql("SET session_replication_role = origin; INSERT INTO public.orders VALUES (7, 12.50, 'seven\@example.com', 'https://shop.example.com/7')");
ok(Rehearsal::drained($node, 30), 'what is recorded with hostile settings is delivered');
is(Rehearsal::statuses($node), 'delivered 2', 'in full');
is_deeply([ map { "$_->{event_id} $_->{value} $_->{currency} @{ $_->{user_keys} }" } sort { $a->{event_id} cmp $b->{event_id} } @{ $tiktok->events } ],
	[ '7 12.5 EUR email', 'called 10.25 EUR email external_id' ], 'and right');
is(hostile_sql("SET default_transaction_isolation = 'read committed'; SELECT tiktok.wait('5 s')"), 't', 'tiktok.wait is not misled');
is(hostile_sql("SELECT status FROM tiktok.event_status WHERE event_id OPERATOR(pg_catalog.=) 'called'"), 'delivered', 'nor is tiktok.event_status');
is(hostile_sql("SELECT pending, retrying FROM tiktok.backlog WHERE source OPERATOR(pg_catalog.=) 'shop'"), '0|0', 'nor is tiktok.backlog');

# a batch that is refused, retried and taken apart
$tiktok->script({ action => 'status', status => 500, when => 'after' }, { reject_event_ids => ['b7'] });
hostile_sql(join '', 'BEGIN READ WRITE;', (map { track("b$_") } 1 .. 30), 'COMMIT');
ok(Rehearsal::drained($node, 30), 'the same for trouble');
is(Rehearsal::statuses($node, "event_id ~ '^b'"), 'delivered 29, rejected 1', 'and its end');
hostile_sql("BEGIN READ WRITE; SELECT pg_catalog.count(tiktok.track('shop', 'ViewContent', 'many' || n, user_data => '{\"external_id\": \"7\"}', "
	  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series(1, 3000) n; COMMIT");
ok(Rehearsal::drained($node, 30), 'and for large batches');

# a synchronous standby that is not there holds up whoever waits for it, but not the worker
$node->append_conf('postgresql.conf', "synchronous_standby_names = 'absent'");
$node->reload;
sql(track('alone'));
ok(Rehearsal::drained($node, 30), 'the worker does not wait for a synchronous standby');
is(sql('SELECT pid FROM tiktok.worker_status'), $worker, 'all of this by one worker');
is(sql('SELECT count(*) FROM tiktok.worker_status WHERE last_error IS NOT NULL'), 0, 'without an error');
my $log = slurp_file($node->logfile);
is_deeply([ grep { /\[$worker\] (?!LOG:  tiktok_events: |WARNING:  invalid value for parameter|DETAIL:  Table)/ } split /\n/, $log ], [], 'and nothing else of it is logged');

# Times that are years away, as after the clock was set back
$tiktok->script({ action => 'status', status => 500, when => 'after', match => { event_id => 'far' } },
	{ action => 'status', status => 500, when => 'after', match => { event_id => 'further' } });
for my $id (qw(far further))
{
	sql(track($id));
	$node->poll_query_until('postgres', "SELECT status = 'retrying' FROM tiktok.event_status WHERE event_id = '$id'");
	sql("UPDATE tiktok.retry SET next_attempt_at = now() + interval '10 years'");
	restart_worker() if $id eq 'further';
	ok(Rehearsal::drained($node, 30), 'an attempt that is due in years is due now' . ($id eq 'further' ? ' for a new worker, too' : ''));
	is(sql("SELECT status, attempts FROM tiktok.event_status WHERE event_id = '$id'"), 'delivered|2', 'and is the second');
}
$tiktok->script({ action => 'status', status => 500, when => 'after' });
sql(track('soon'));
$node->poll_query_until('postgres', "SELECT status = 'retrying' FROM tiktok.event_status WHERE event_id = 'soon'");
sql("UPDATE tiktok.retry SET next_attempt_at = now() + interval '7 hours'");
restart_worker();
is(sql("SELECT tiktok.wait('3 s')"), 'f', 'one that is due in some hours is not');

$node->stop('fast');
done_testing();
