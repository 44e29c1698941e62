# ALTER EXTENSION UPDATE and DROP EXTENSION, committed and rolled back, while events are recorded and requests are under
# way: nobody crashes, the worker goes on, no event of an extension that stays is lost or counted twice.
use strict;
use warnings;

use File::Basename qw(basename dirname);
use File::Path qw(make_path);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(time);

my $SLACK = 3;			# of a busy machine

# A copy of this PostgreSQL, mostly links, that finds more scripts of the extension than are installed
sub private_installation
{
	my (%scripts) = @_;
	my $root = PostgreSQL::Test::Utils::tempdir();
	my ($bin, $share, $lib) = map { chomp(my $path = `pg_config --$_`); $path } qw(bindir sharedir pkglibdir);
	make_path("$root$bin", "$root$share/extension", dirname("$root$lib"));
	system_or_bail('cp', '-L', glob("$bin/*"), "$root$bin");
	symlink $lib, "$root$lib" or die "symlink: $!";
	symlink $_, "$root$share/" . basename($_) for grep { basename($_) ne 'extension' } glob("$share/*");
	symlink $_, "$root$share/extension/" . basename($_) for glob("$share/extension/*");
	append_to_file("$root$share/extension/tiktok_events--$_.sql", $scripts{$_}) for keys %scripts;
	return dirname("$root$bin");
}

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('upgrade', install_path => private_installation(
	'1.0--1.1' => "ALTER TABLE tiktok.event ADD COLUMN later text;\nCREATE FUNCTION tiktok.later() RETURNS int LANGUAGE sql RETURN 1;\n",
	'1.1--1.0' => "ALTER TABLE tiktok.event DROP COLUMN later;\nDROP FUNCTION tiktok.later();\n"));

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pid { return sql("SELECT pid FROM tiktok.worker_status WHERE database = 'postgres' AND pid IS NOT NULL") }
my $track = "tiktok.track('shop', 'ViewContent', %s, user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')";
sub track { sql('SELECT ' . sprintf($track, "'$_'")) for @_ }

# True when so many requests are under way.
sub under_way
{
	for (1 .. 300)
	{
		return 1 if sql("SELECT count(*) FROM tiktok.worker_status WHERE database = 'postgres' AND in_flight = $_[0]");
		select undef, undef, undef, 0.1;
	}
	return 0;
}

# Runs the command; returns its notices, and checks how long it took.
sub quick
{
	my ($name, $command) = @_;
	my $started = time;
	my ($rc, undef, $err) = $node->psql('postgres', $command, on_error_stop => 1);
	note(sprintf '%.2f s: %s', time - $started, $name);
	cmp_ok(time - $started, '<=', 1 + $SLACK, "$name is done at once");
	$rc == 0 or diag($err);
	return $err;
}

# A session that records events, whether the extension is there or not; events named after it.
sub traffic
{
	my ($name, $seconds) = @_;
	my $call = sprintf $track, "'$name-' || n";
	return IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', <<SQL ], '>', \my $out, '2>', \my $err);
DO \$\$
DECLARE
	n int := 0;
	ends timestamptz := clock_timestamp() + '$seconds s';
BEGIN
	WHILE clock_timestamp() < ends LOOP
		n := n + 1;
		BEGIN
			PERFORM $call;
		EXCEPTION WHEN undefined_function OR undefined_table OR undefined_object OR invalid_schema_name OR internal_error THEN
			NULL;
		END;
		COMMIT;
		PERFORM pg_sleep(0.01);
	END LOOP;
END \$\$
SQL
}

$tiktok->sources($node);
track('first');
ok(Rehearsal::drained($node, 20), 'the worker delivers');
my $worker = pid();

# Updates while events are recorded and replies take their time
$tiktok->script({ action => 'delay', seconds => 0.2, times => undef });
my $session = traffic('update', 6);
for my $n (1 .. 3)
{
	quick('ALTER EXTENSION UPDATE', "ALTER EXTENSION tiktok_events UPDATE TO '1.1'");
	track("between$n");
	quick('rolled back', "BEGIN; ALTER EXTENSION tiktok_events UPDATE TO '1.0'; SELECT pg_sleep(0.5); ROLLBACK");
	quick('back again', "ALTER EXTENSION tiktok_events UPDATE TO '1.0'");
}
ok($session->finish, 'the session that recorded events saw no error');
$tiktok->script;
ok(Rehearsal::drained($node, 30), 'everything is delivered after updates');
my $events = sql('SELECT count(*) FROM tiktok.event');
is(Rehearsal::statuses($node), "delivered $events", 'nothing is lost');
is($tiktok->stats->{counted_events}, $events, 'TikTok counts each once');
cmp_ok($events, '>', 20, "of $events events");
is(pid(), $worker, 'by the same worker');

# DROP EXTENSION taken back
$tiktok->script({ action => 'delay', seconds => 1, times => undef });
track('stays');
ok(under_way(1), 'a request is under way');
quick('DROP EXTENSION, rolled back', 'BEGIN; DROP EXTENSION tiktok_events; SELECT pg_sleep(1.5); ROLLBACK');
ok(Rehearsal::drained($node, 20), 'the worker goes on after a DROP EXTENSION that was rolled back');
is(Rehearsal::statuses($node, "event_id = 'stays'"), 'delivered 1', 'and records what came back meanwhile');
is(pid(), $worker, 'it is the same one');

# What is dropped with the extension
sql('CREATE ROLE stranger');
$tiktok->script({ action => 'hang', times => undef });
track('one');
ok(under_way(1), 'a request hangs');
my (undef, undef, $err) = $node->psql('postgres', 'SET ROLE stranger; DROP EXTENSION tiktok_events');
like($err, qr/^psql:<stdin>:1: ERROR:  must be owner of extension tiktok_events$/, 'a stranger may not drop it, and is told nothing');
track('two', 'three');
like(quick('DROP EXTENSION', 'BEGIN; DROP EXTENSION tiktok_events; ROLLBACK'), qr/NOTICE:  3 events that are not final are dropped with the extension/, 'DROP EXTENSION says what goes with it');
sql("SELECT tiktok.discard('shop')");
track('one more');
ok(under_way(4), 'all requests hang');
like(quick('DROP EXTENSION', 'DROP EXTENSION tiktok_events'), qr/NOTICE:  1 event that is not final is dropped with the extension/, 'whatever has a fate does not count');
for (1 .. 100)
{
	last if sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $worker") == 0;
	select undef, undef, undef, 0.1;
}
is(sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $worker"), 0, 'the worker does not wait for the request that hangs');

# Again and again, with traffic
$tiktok->script({ action => 'delay', seconds => 0.3, times => undef });
$session = traffic('drop', 60);
for my $n (1 .. 2)
{
	sql('CREATE EXTENSION tiktok_events');
	$tiktok->sources($node);
	track("again$n");
	for (1 .. 300)
	{
		last if @{ $tiktok->events("?event_id=again$n&accepted=true") };
		select undef, undef, undef, 0.1;
	}
	is(scalar @{ $tiktok->events("?event_id=again$n&accepted=true") }, 1, 'a new extension is served');
	sql('BEGIN; DROP EXTENSION tiktok_events; ROLLBACK');
	quick('DROP EXTENSION', 'DROP EXTENSION tiktok_events');
}
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO%' AND backend_type = 'client backend'");
$session->finish;

# A broken one can be dropped as well
sql('CREATE EXTENSION tiktok_events; ALTER TABLE tiktok.retry RENAME TO gone');
is(quick('DROP EXTENSION', 'DROP EXTENSION tiktok_events'), '', 'a broken extension can be dropped');
sql('CREATE EXTENSION tiktok_events');
$tiktok->script;
$tiktok->sources($node);
track('last');
ok(Rehearsal::drained($node, 20), 'and the next one delivers');
is(Rehearsal::statuses($node), 'delivered 1', 'with a queue of its own');

$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|was terminated by signal|FATAL:(?!  terminating)/, 'nobody crashed');
unlike($log, qr/tiktok_events worker ERROR|\] ERROR:/, 'nor did a worker fail');

done_testing();
