# What does not end well: processes of the server are killed, stopped and cancelled, the server is shut down in every way, and
# databases are dropped, all while requests hang and clients commit.  Nobody waits for the worker, nothing is lost, nothing is
# counted twice, and few events are sent twice.  (t/faults/kill.pl does worse to the worker.)
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(time);

my $BATCH = 10;
my %HANG = (action => 'hang', when => 'after');
my $tiktok = Rehearsal->start('--whole-events');
my $node = $tiktok->cluster('crash', 'tiktok_events.max_in_flight' => 1, wal_level => 'replica', max_wal_senders => 1);
my $log_from = 0;

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }

# A query whose connection may be lost
sub ask
{
	my $answer = '';
	return $node->psql('postgres', $_[0], stdout => \$answer, stderr => \my $stderr) == 0 ? $answer : '';
}

sub process { my ($type) = @_; return Rehearsal::await($type, sub { ask("SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'tiktok_events $type'") }) }

# Its parent may be gone, and nobody has looked after it then.
sub has_ended
{
	my ($pid) = @_;
	return 1 if !kill 0, $pid;
	open my $stat, '<', "/proc/$pid/stat" or return 1;
	return readline($stat) =~ /\) Z /;
}

# Runs something and says how long it took, which may be a promise: slack for a busy machine is the caller's.
sub takes
{
	my ($name, $less_than, $run) = @_;
	my $started = time;
	$run->();
	my $seconds = time - $started;
	note(sprintf '%s: %.2f s', $name, $seconds);
	cmp_ok($seconds, '<', $less_than, "$name: at once");
}

# Two clients commit, something happens meanwhile, and everything comes out right in the end.
sub survives
{
	my ($name, $copies, $happening) = @_;
	(my $prefix = $name) =~ s/\W+/-/g;

	my @clients = map { Rehearsal::client($node, "$prefix-$_", asynchronous => $_ - 1) } 1, 2;
	$happening->();
	my $events = Rehearsal::client_events(@clients);
	settles($name, $copies, $events);
}

sub settles
{
	my ($name, $copies, $events) = @_;

	Rehearsal::await("$name: everything to be finished", sub { ask("SELECT tiktok.wait('10 s')") eq 't' });
	my $result = $tiktok->compare($node, $events);
	note("$name: $result->{events} events, $result->{lost} lost, $result->{double} double, $result->{copies} copies");
	is_deeply([ @$result{qw(lost double)}, @{ $result->{problems} } ], [ 0, 0 ], "$name: everything is counted once");
	cmp_ok($result->{copies}, '<=', $copies, "$name: few copies");
	is(sql('SELECT (SELECT count(*) FROM tiktok.request WHERE finished_at IS NULL), (SELECT count(*) FROM tiktok.retry), (SELECT count(*) FROM tiktok.identity)'),
		'0|0|0', "$name: nothing is left behind");
	$tiktok->reset_all;
}

sub crashes
{
	my ($name, $expected) = @_;
	my $log = slurp_file($node->logfile, $log_from);
	my $restarts = () = $log =~ /all server processes terminated; reinitializing/g;

	is($restarts, $expected, "$name: " . ($expected ? 'the server restarts, as for any process' : 'no restart of the server'));
	unlike($log, qr/PANIC|terminated by signal (?!9\b)/, "$name: nothing else crashes");
	$log_from = -s $node->logfile;
}

sql("INSERT INTO tiktok.source (name, event_source, event_source_id, batch_size, requests_per_second) "
	  . "VALUES ('shop', 'web', 'CPIXEL0000000001', $BATCH, 1000); SELECT tiktok.set_access_token('shop', '$Rehearsal::TOKEN')");

# Processes that are killed
for my $type (qw(launcher worker))
{
	$tiktok->script(\%HANG);
	survives("$type killed", $BATCH, sub {
		$tiktok->await_fault('hang');
		kill 'KILL', process($type);
	});
	crashes("$type killed", 1);
}

$tiktok->script(\%HANG);
survives('client killed', $BATCH, sub {
	my $session = $node->background_psql('postgres');
	my $backend = $session->query_safe('SELECT pg_backend_pid()');
	$tiktok->await_fault('hang');
	kill 'KILL', $backend;
	eval { $session->quit };
});
crashes('client killed', 1);

# A worker that is cancelled does not end, even while it pauses after having been cancelled
my $worker = process('worker');
$tiktok->script(\%HANG);
survives('worker cancelled', $BATCH, sub {
	$tiktok->await_fault('hang');
	sql(<<SQL);
DO \$\$
BEGIN
	PERFORM pg_cancel_backend($worker);
	FOR i IN 1..1000 LOOP
		EXIT WHEN (SELECT state = 'failed' FROM tiktok.worker_status WHERE pid = $worker);
		PERFORM pg_sleep(0.01);
	END LOOP;
	PERFORM pg_cancel_backend($worker);
END
\$\$
SQL
});
is(scalar(() = slurp_file($node->logfile, $log_from) =~ /ERROR:  canceling statement/g), 2, 'the worker is cancelled twice');
is(process('worker'), $worker, 'and is the same process');
crashes('worker cancelled', 0);

# One that is stopped finds its answer when it goes on
$tiktok->script({ action => 'delay', seconds => 1, when => 'after' });
my $first = Rehearsal::client($node, 'before-stop', transactions => 1);
$tiktok->await_fault('delay');
kill 'STOP', $worker;
my $events = Rehearsal::client_events($first, Rehearsal::client($node, 'stopped'));
is(scalar(grep { $_ eq 'try' } values %$events), 0, 'no client waits for a worker that is stopped');
kill 'CONT', $worker;
settles('worker stopped', 0, $events);
is(process('worker'), $worker, 'the worker goes on');
is(sql("SELECT sum(attempts) FROM tiktok.event_status WHERE event_id LIKE 'before-stop%'"), 3, 'its answer was not lost');

# Shutdowns
$tiktok->script(\%HANG);
survives('immediate shutdown', $BATCH, sub {
	$tiktok->await_fault('hang');
	takes('immediate shutdown while a request hangs', 3, sub { $node->stop('immediate') });
	$node->start;
});

$tiktok->script(\%HANG);
survives('fast shutdown', $BATCH, sub {
	$tiktok->await_fault('hang');
	takes('fast shutdown while a request hangs', 3, sub { $node->stop('fast') });
	$node->start;
});

$tiktok->script(\%HANG);
$first = Rehearsal::client($node, 'smart', transactions => 1);
$tiktok->await_fault('hang');
$events = Rehearsal::client_events($first);
takes('smart shutdown while a request hangs', 3, sub { $node->stop('smart') });
$node->start;
settles('smart shutdown', $BATCH, $events);
crashes('shutdowns', 0);

# The synchronous standby is away: the worker's commits do not wait for it, those of clients do, and a shutdown ends both
$first = Rehearsal::client($node, 'no-standby', transactions => 1);
$events = Rehearsal::client_events($first);
$node->append_conf('postgresql.conf', "synchronous_standby_names = 'gone'");
$node->restart;
my @waiting = Rehearsal::client($node, 'waiting', transactions => 1);
Rehearsal::await('a commit that waits for the standby', sub { ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == 1 });
$tiktok->script(\%HANG);
push @waiting, Rehearsal::client($node, 'local', transactions => 1, asynchronous => 1);
$tiktok->await_fault('hang');
takes('fast shutdown without the synchronous standby', 3, sub { $node->stop('fast') });
$events = { %$events, %{ Rehearsal::client_events(@waiting) } };
$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$node->start;
settles('no standby', $BATCH, $events);
is(sql("SELECT count(*) FROM tiktok.event_status WHERE event_id LIKE 'waiting%'"), 3, 'what waited for the standby was committed');
crashes('no standby', 0);

# The postmaster
$tiktok->script(\%HANG);
survives('postmaster killed', $BATCH, sub {
	$tiktok->await_fault('hang');
	my @processes = map { process($_) } qw(worker launcher);
	my $requests = $tiktok->stats->{requests};
	my ($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	$node->kill9;
	takes('end of worker and launcher without postmaster', 3, sub {
		Rehearsal::await('processes to end', sub { !grep { !has_ended($_) } @processes });
	});
	is($tiktok->stats->{requests}, $requests, 'without a postmaster nothing is sent any more');
	Rehearsal::await('the postmaster to be gone', sub { !kill 0, $postmaster });
	Rehearsal::await('a new postmaster', sub { $node->start(fail_ok => 1) });
});

# Other databases, and this one, while a request hangs
sub hang_in
{
	my ($db, $name) = @_;
	$tiktok->reset_all;
	$tiktok->script({ %HANG, times => undef });
	sql("SELECT tiktok.track('shop', 'ViewContent', '$name', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')", $db);
	$tiktok->await_fault('hang');
}

sql("CREATE DATABASE $_") for qw(other own);
sql('CREATE EXTENSION tiktok_events', 'own');
$tiktok->sources($node, 'own');
hang_in('own', 'drop-1');
takes('DROP DATABASE of another database', 3, sub { sql('DROP DATABASE other') });
my $session = $node->background_psql('own');
$session->query_safe('SELECT 1');
isnt($node->psql('postgres', 'DROP DATABASE own', stderr => \my $stderr), 0, 'a database with a session is not dropped');
like($stderr, qr/There is 1 other session/, 'which is the only one');
hang_in('own', 'drop-2');
pass('the worker has come back');
takes('DROP DATABASE WITH (FORCE) of its own', 5, sub { sql('DROP DATABASE own WITH (FORCE)') });
eval { $session->quit };
$tiktok->reset_all;
survives('after DROP DATABASE', 0, sub { });
crashes('the rest', 0);

$node->stop;
done_testing();
