# The launcher: which databases get a worker, what happens when there is no slot or no connection for one, that a
# worker which dies at once makes no storm, that hundreds of reloads leak nothing, and that an upgrade is left alone.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(time);

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('lifecycle', 'tiktok_events.max_workers' => 2, log_min_messages => 'debug1');

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }

# The states of worker_status, as "postgres idle, other resting", become what they should be.
sub states
{
	my ($expected, $name) = @_;
	my $query = "SELECT coalesce(string_agg(database || ' ' || CASE state WHEN 'sending' THEN 'idle' ELSE state END, ', ' ORDER BY database), '') FROM tiktok.worker_status";
	my $state;
	for (1 .. 300)
	{
		$state = sql($query);
		last if $state eq $expected;
		select undef, undef, undef, 0.1;
	}
	is($state, $expected, $name);
}

sub setting
{
	my ($action, @lines) = @_;
	$node->append_conf('postgresql.conf', join("\n", @lines, ''));
	$node->$action;
}

# How often a line stands in the log from an offset on.
sub count_log
{
	my ($pattern, $offset) = @_;
	my $log = substr(slurp_file($node->logfile), $offset // 0);
	return scalar(() = $log =~ /$pattern/g);
}
my $started_worker = qr/starting background worker process "tiktok_events worker"/;
my $no_slot = qr/wait for a background worker/;

# True when the log comes to have so many of the lines.
sub log_has
{
	my ($n, $pattern, $offset) = @_;
	for (1 .. 300)
	{
		return 1 if count_log($pattern, $offset) >= $n;
		select undef, undef, undef, 0.1;
	}
	return 0;
}

sub track
{
	my ($db, $id) = @_;
	sql("SELECT tiktok.track('shop', 'ViewContent', '$id', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')", $db);
}

sub received
{
	my ($id) = @_;
	for (1 .. 300)
	{
		return 1 if @{ $tiktok->events("?event_id=$id&accepted=true") };
		select undef, undef, undef, 0.1;
	}
	return 0;
}

sub pid { return sql("SELECT pid FROM tiktok.worker_status WHERE database = '$_[0]'") }

sub resident { return slurp_file("/proc/$_[0]/status") =~ /RssAnon:\s*(\d+)/ ? $1 : die 'no RssAnon' }

# But for files of tables and catalogs, which the server keeps open and closes by itself
sub descriptors { return scalar grep { (readlink // '') !~ m{/(?:base|global)/} } glob "/proc/$_[0]/fd/*" }

# A database with the extension has a worker, which says what it is
$tiktok->sources($node);
states('postgres idle', 'a database with the extension has a worker');
track('postgres', 'first');
ok(Rehearsal::drained($node, 20), 'it delivers');
is(sql("SELECT count(*) FROM tiktok.worker_status WHERE pid > 0 AND since <= now() AND in_flight = 0 AND requests = 1 AND delivered = 1 AND failed = 0 "
	  . "AND last_error IS NULL AND last_error_at IS NULL AND heartbeat > now() - interval '30 s'"), 1, 'worker_status has its counters');
is(sql("SELECT string_agg(backend_type || ', ' || wait_event_type || ', ' || coalesce(datname, '-') || ', ' || state, '; ' ORDER BY backend_type) FROM pg_stat_activity WHERE backend_type LIKE 'tiktok_events%'"),
	'tiktok_events launcher, Extension, -, idle; tiktok_events worker, Extension, postgres, idle', 'pg_stat_activity shows launcher and worker, idle');
ok($node->poll_query_until('postgres', "SELECT n_tup_ins = 1 AND n_live_tup = 1 FROM pg_stat_user_tables WHERE relid = 'tiktok.delivery'::regclass"),
	'autovacuum hears of what the worker writes');

# Databases without the extension, and a transaction that takes it back
sql('CREATE DATABASE plain');
sql('CREATE DATABASE other');
my $offset = -s $node->logfile;
$node->reload;
ok(log_has(2, $started_worker, $offset), 'databases without the extension are looked into');
$offset = -s $node->logfile;
sql('BEGIN; CREATE EXTENSION tiktok_events; ROLLBACK', 'plain');
sql('SELECT pg_sleep(0.5)');
is(count_log($started_worker, $offset), 0, 'a rolled back CREATE EXTENSION wakes nobody');
my (undef, undef, $err) = $node->psql('plain', "BEGIN; CREATE EXTENSION tiktok_events; PREPARE TRANSACTION 'x'");
like($err, qr/cannot PREPARE a transaction that has created the extension/, 'nor can it be prepared, which would wake nobody later');
sql('CREATE EXTENSION tiktok_events', 'other');
$tiktok->sources($node, 'other');
states('other idle, postgres idle', 'a committed one does');
is(count_log($started_worker, $offset), 1, 'and only this database is looked into');

# All max_workers are taken: a look into further databases needs none of them
$offset = -s $node->logfile;
sql('CREATE DATABASE plain2');
$node->reload;
ok(log_has(1, $started_worker, $offset), 'one more without the extension is looked into');
states('other idle, postgres idle', 'it has no worker');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname LIKE 'plain%'"), 'nobody stays in such a database');
is(count_log($no_slot), 0, 'nothing is missing');

# One database more than max_workers
sql('CREATE EXTENSION tiktok_events', 'plain');
$tiktok->sources($node, 'plain');
states('other idle, plain idle, postgres resting', 'for one database more than max_workers the one that was idle for longest makes room');
is(sql("SELECT pid IS NULL AND since <= now() FROM tiktok.worker_status WHERE database = 'postgres'"), 't', 'since when it says');
track('plain', 'waits');
ok(received('waits'), 'it delivers');
track('postgres', 'rests');
ok(received('rests'), 'and so does the other');
states('other resting, plain idle, postgres idle', 'which has got a worker again');
my $since = time;
sql('DROP DATABASE other');
cmp_ok(time - $since, '<', 5, 'DROP DATABASE does not mind that its slot has a new owner');
states('plain idle, postgres idle', 'it is gone');
is(count_log($no_slot), 0, 'none has waited for long');

# max_worker_processes is too small: the launcher, one worker, and a parallel query that takes the last
setting('stop', 'max_worker_processes = 3', 'max_logical_replication_workers = 0', 'tiktok_events.max_workers = 3', "tiktok_events.databases = 'postgres, plain2'");
$offset = -s $node->logfile;
$node->start;
states('postgres idle', 'another server, with three slots and a list of databases');
ok(log_has(1, qr/background worker "tiktok_events worker" \(PID \d+\) exited with exit code 0/, $offset), 'the look into the other database has ended');
sql("CREATE TABLE slow AS SELECT generate_series(1, 50000) AS a; ALTER TABLE slow SET (parallel_workers = 2)");
my $parallel = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
	"SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET parallel_leader_participation = off; SELECT count(*) FROM slow WHERE CASE WHEN a = 1 THEN pg_sleep(60) IS NOT NULL END" ],
	'>', \my $out, '2>', \my $parallel_err);
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'parallel worker'");
$offset = -s $node->logfile;
sql('CREATE EXTENSION tiktok_events', 'plain2');
$tiktok->sources($node, 'plain2');
states('plain2 idle, postgres resting', 'a worker makes room because max_worker_processes is too small');
track('plain2', 'waits2');
ok(received('waits2'), 'the other database is served');
track('postgres', 'rests2');
states('plain2 resting, postgres idle', 'and then the first again');
ok(received('rests2'), 'which delivers, too');
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%FROM slow%' AND backend_type = 'client backend' AND pid <> pg_backend_pid()");
$parallel->finish;
track('plain2', 'waits3');
states('plain2 idle, postgres idle', 'until another program leaves');
ok(received('waits3'), 'both deliver');
is(count_log($no_slot, $offset), 0, 'none has waited for long');

# The list of databases is read again
setting('reload', "tiktok_events.databases = '\"plain\", postgres, missing'");
track('postgres', 'listed');
states('plain idle, postgres idle', 'a reload honours another list of databases');
setting('restart', "tiktok_events.databases = '*'", 'max_worker_processes = 10', 'tiktok_events.max_workers = 8');
states('plain idle, plain2 idle, postgres idle', 'or none');

# Templates, databases without connections, and invalid ones
sql("CREATE DATABASE $_ TEMPLATE plain2") for qw(locked invalid);
$node->reload;
states('invalid idle, locked idle, plain idle, plain2 idle, postgres idle', 'copies have a worker');
sql('ALTER DATABASE plain2 IS_TEMPLATE true');
sql('ALTER DATABASE locked ALLOW_CONNECTIONS false');
sql("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'invalid'");
$node->reload;
states('plain idle, postgres idle', 'a template, a locked and an invalid database lose it');
$offset = -s $node->logfile;
$node->restart;
states('plain idle, postgres idle', 'and are not given one');
is(count_log(qr/FATAL:(?!  terminating (?:background worker|connection))|ERROR/, $offset), 0, 'nor tried');

# No free connection: a worker that has gone is replaced all the same
setting('restart', 'max_connections = 6', 'superuser_reserved_connections = 1', 'max_wal_senders = 0');
states('plain idle, postgres idle', 'few connections');
my $killed = pid('plain');
my @sessions;
for (1 .. 100)
{
	# one that is refused is tried again: a session before us may still be about to end
	my $session = { in => "SELECT 'ready';\n", out => '' };
	my $run = $session->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('plain') ], '<', \$session->{in}, '>', \$session->{out}, '2>', \$session->{err}, IPC::Run::timeout(60));
	$run->pump while $session->{out} !~ /ready/ && $run->pumpable;
	push @sessions, $session if $session->{out} =~ /ready/;
	last if @sessions == 6;
	select undef, undef, undef, 0.1;
}
isnt($node->psql('postgres', 'SELECT 1'), 0, 'nobody can connect');
$sessions[0]{in} = "SELECT pg_terminate_backend($killed), tiktok.track('shop', 'ViewContent', 'crowded', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}');\n";
$sessions[0]{run}->pump until $sessions[0]{out} =~ /t\|/;
$sessions[0]{in} = "SELECT 'gone' WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $killed) \\watch 0.2\n";
$sessions[0]{run}->pump until $sessions[0]{out} =~ /gone/;
ok(received('crowded'), 'a new worker comes and delivers');
$_->{run}->kill_kill for @sessions;
setting('restart', 'max_connections = 20');
states('plain idle, postgres idle', 'connections again');
isnt(pid('plain'), $killed, 'it was a new one');

# A worker that dies at once
sql('ALTER TABLE tiktok.access_token RENAME TO gone', 'plain');
$offset = -s $node->logfile;
$since = time;
sql("SELECT pg_terminate_backend(pid) FROM tiktok.worker_status WHERE database = 'plain'");
ok(log_has(3, qr/ERROR:  relation "tiktok.access_token" does not exist/, $offset), 'a worker that dies at once is started again');
sql('SELECT pg_sleep(4)');
my $starts = count_log($started_worker, $offset);
cmp_ok($starts, '<=', 2 + log(1 + time - $since) / log(2), "after a pause that doubles: $starts times in " . int(time - $since) . ' s');
is(count_log(qr/ERROR|FATAL:(?!  terminating (?:background worker|connection))/, $offset), count_log(qr/ERROR:  relation "tiktok.access_token"/, $offset), 'with one line for each attempt');
sql('ALTER TABLE tiktok.gone RENAME TO access_token', 'plain');
states('plain idle, postgres idle', 'until it can work');
sql('DROP DATABASE plain');

# Hundreds of reloads
sub reloads
{
	my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	for my $n (1 .. 300)
	{
		kill 'HUP', $postmaster;
		select undef, undef, undef, 0.002;
		track('postgres', "storm$_[0]-$n") if $n % 30 == 0;
	}
	return Rehearsal::drained($node, 30);
}
ok(reloads(1), 'hundreds of reloads in a second lose nothing');
my %process = (worker => pid('postgres'), launcher => sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'tiktok_events launcher'"));
my %before = map { $_ => [ resident($process{$_}), descriptors($process{$_}) ] } keys %process;
ok(reloads($_), 'again') for 2 .. 4;
for (sort keys %process)
{
	my ($memory, $files) = (resident($process{$_}) - $before{$_}[0], descriptors($process{$_}) - $before{$_}[1]);
	note("$_: $memory kB and $files descriptors more after 900 reloads");
	cmp_ok($memory, '<', 2000, "the ${_}'s memory does not grow");
	cmp_ok($files, '<=', 2, 'nor do its open files');
}
is(pid('postgres'), $process{worker}, 'it is the same worker');
is(sql("SELECT count(DISTINCT event_id) FROM tiktok.event_status WHERE event_id LIKE 'storm%' AND status = 'delivered'"), 40, 'every event arrived');

# A server that runs for pg_upgrade
$node->stop;
system_or_bail('pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile, '-o', '-b', 'start');
is(sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'tiktok%'"), 0, 'in binary upgrade there is no launcher');
is(sql('SELECT count(*) FROM tiktok.worker_status'), 0, 'and no worker');
system_or_bail('pg_ctl', '-w', '-D', $node->data_dir, 'stop');

done_testing();
