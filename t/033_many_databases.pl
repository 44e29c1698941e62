# More databases than workers: all of them are served, within a bound, each event once, though one has an endpoint that
# hangs; and a worker that makes room forgets nothing that keeps the next one from TikTok.
# DATABASES and WORKERS in the environment say how many; WATCH=1 prints a table of the first part, and does nothing else.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep time);

my $databases = $ENV{DATABASES} // 24;
my $workers = $ENV{WORKERS} // 2;
my $tiktok = Rehearsal->start('--trust');
my $node = $tiktok->cluster('many', 'tiktok_events.max_workers' => $workers, max_worker_processes => $workers + 8, max_connections => 40,
	'tiktok_events.request_timeout' => '4s', 'tiktok_events.enabled' => 'off', max_wal_size => '4GB');

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }
sub becomes { return $node->poll_query_until('postgres', "SELECT $_[0]") }

sub event
{
	my ($db, $id) = @_;
	return "SELECT tiktok.track('shop', 'ViewContent', '$db-$id', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}');";
}

sub track { return sql(event(@_), $_[0]) }

sub set_enabled
{
	my ($value) = @_;
	sql("ALTER SYSTEM SET tiktok_events.enabled = $value");
	$node->reload;
}

# How often an event was received.
sub received { return scalar @{ $tiktok->events("?event_id=$_[0]&accepted=true") } }
sub arrives { my ($id) = @_; return Rehearsal::await($id, sub { received($id) }) }

# Others have work until the function is true, so that no worker stays.
sub while_others_wait
{
	my ($done, $seconds, @others) = @_;
	my $end = time + $seconds;
	until ($done->() || time > $end)
	{
		sql("SELECT tiktok.pause('app'), tiktok.resume('app')", $_) for @others;
	}
}

# The worker of a database makes room.
sub evict
{
	my ($db, @others) = @_;
	while_others_wait(sub { sql("SELECT count(*) FROM tiktok.worker_status WHERE database = '$db' AND pid IS NOT NULL") == 0 }, 30, @others);
}

# Processor time of ended children of the postmaster and of those that live, in seconds
sub cpu
{
	my ($postmaster) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
	my @stat = map { [ split ' ', (slurp_file($_) =~ /\) (.*)/)[0] ] } "/proc/$postmaster/stat";
	my $ticks = $stat[0][11] + $stat[0][12] + $stat[0][13] + $stat[0][14];
	for my $pid (split /\n/, sql("SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'tiktok%'"))
	{
		my @own = split ' ', (eval { slurp_file("/proc/$pid/stat") } // '') =~ /\) (.*)/ ? $1 : next;
		$ticks += $own[11] + $own[12];
	}
	return $ticks / 100;
}

# A database to copy, and its copies
my $started = time;
sql('CREATE DATABASE base');
sql('CREATE EXTENSION tiktok_events', 'base');
$tiktok->sources($node, 'base');
sql(q{INSERT INTO tiktok.request (source_id, started_at, finished_at, events, first_xid, first_id, last_xid, last_id, outcome, bytes)
	VALUES (1, '2020-01-01', '2020-01-01', 1, '3', 0, '3', 0, 'delivered', 1)}, 'base');
sql('ALTER DATABASE base IS_TEMPLATE true');
my @all = map { "d$_" } 1 .. $databases;
sql(join "\n", map { "CREATE DATABASE $_ TEMPLATE base STRATEGY file_copy;\n\\c $_\nSELECT tiktok.confirm_database();\n"
	  . "UPDATE tiktok.source SET event_source_id = '$_' WHERE name = 'shop';\n" . event($_, 'first') } @all);
note(sprintf '%d databases made in %.1f s', $databases, time - $started);

# All have an event; that of the third hangs
my ($hangs, @others) = ('d3', grep { $_ ne 'd3' } @all);
$tiktok->script({ action => 'hang', match => { event_source_id => $hangs }, times => undef });
becomes("count(*) >= $databases FROM tiktok.worker_status");
my ($used, $most, $waited) = (cpu(), 0, 0);
set_enabled('on');
$started = time;
my %at;
while (keys %at < @others && time < $started + 120)
{
	$at{ $_->{event_id} } //= time - $started for @{ $tiktok->events };
	delete $at{"$hangs-first"};
	my ($now, $waiting) = split /\|/, sql("SELECT count(*) FILTER (WHERE pid IS NOT NULL AND state <> 'starting'), count(*) FILTER (WHERE state = 'waiting') FROM tiktok.worker_status");
	$most = $now if $now > $most;
	$waited = $waiting if $waiting > $waited;
	sleep 0.25;
}
my @times = sort { $a <=> $b } values %at;
my $bound = 10 + (1 + int($databases / $workers)) * 0.5;
note(sprintf '%d databases, %d workers: %d served, the last after %.1f s, in the median %.1f s; %.1f s of processor time', $databases, $workers,
	scalar(@times), $times[-1] // 0, $times[$#times / 2] // 0, cpu() - $used);
my $old = "SELECT count(*) FROM tiktok.request WHERE started_at < '2021-01-01'";
my $kept = grep { sql($old, $_) } @all;
is(scalar(@times), @others, 'every database is served, though one hangs');
if ($ENV{WATCH}) { $node->stop('immediate'); done_testing(); exit }
cmp_ok($times[-1], '<=', $bound, "within $bound s");
cmp_ok($most, '<=', $workers + 1, "by $workers workers and a probe, not by $most");
cmp_ok($waited, '>', 0, 'others wait meanwhile, and are named');
ok(becomes("count(*) = 0 FROM tiktok.worker_status WHERE state = 'waiting'"), 'until none waits');
cmp_ok($kept, '>', 0, "old rows wait meanwhile: $kept of $databases databases have theirs");
is_deeply([ map { received("$_-first") } @others ], [ map { 1 } @others ], 'each event is sent once');
is(sql("SELECT count(*), count(DISTINCT database) FROM tiktok.worker_status WHERE state IN ('resting', 'idle', 'sending', 'starting')"),
	($databases + 1) . '|' . ($databases + 1), 'each database is in worker_status once');
is(sql("SELECT requests, delivered FROM tiktok.worker_status WHERE database = 'd2'"), '1|1', 'with what was sent, whether it is served now or not');
like(sql("SELECT state FROM tiktok.health() WHERE check_name = 'worker'", 'd2'), qr/^ok$/, 'health has nothing to say of one that rests');

# The one that hangs: its request counts as possibly received, and is sent again
ok(Rehearsal::await('the time-out', sub { sql('SELECT count(*) FROM tiktok.retry WHERE possibly_received_at IS NOT NULL', $hangs) > 0 }), 'a request that hangs ends by its time-out, and may have been received');
$tiktok->script;
arrives("$hangs-first");
Rehearsal::await('delivered', sub { Rehearsal::statuses($node, 'true', $hangs) eq 'delivered 1' });
pass('it is sent again when it is due, without a commit');

# A commit in a database that rests, or is served
my ($one, $two) = @all[ -1, -2 ];
$started = time;
track($one, 'second');
arrives("$one-second");
note(sprintf '%.0f ms from a commit in a database that rests', 1000 * (time - $started));
cmp_ok(time - $started, '<', 10, 'a commit brings a worker');
$started = time;
track($one, 'third');
arrives("$one-third");
note(sprintf '%.0f ms from a commit in one that is served', 1000 * (time - $started));

# COMMIT PREPARED tells nobody
evict($one, @all[ 0 .. 5 ]);
sql('BEGIN; ' . event($one, 'prepared') . "PREPARE TRANSACTION 'p'", $one);
sql("COMMIT PREPARED 'p'", $one);
$node->reload;
ok(arrives("$one-prepared"), 'a look finds what a prepared transaction has recorded');

# TikTok asks to wait: however many workers come, none asks again before
$tiktok->script({ action => 'code', code => 40100, retry_after => 6, match => { event_source_id => $one }, times => 1 });
track($one, 'throttled');
while_others_wait(sub { track($one, 'throttled' . time); received("$one-throttled") }, 25, @all[ 0 .. 2 ]);
my $gap = sql(q{SELECT round(extract(epoch FROM min(n.started_at) - t.finished_at), 1)
	FROM tiktok.request t JOIN tiktok.request n ON n.started_at > t.finished_at WHERE t.outcome = 'throttle' GROUP BY t.finished_at}, $one);
cmp_ok($gap, '>=', 5.9, "after $gap s it is asked again, by another worker")
  or diag(sql('SELECT id, started_at, finished_at, http_status, outcome FROM tiktok.request ORDER BY id', $one));
ok(arrives("$one-throttled"), 'and the event arrives');
Rehearsal::await('all delivered', sub { Rehearsal::statuses($node, 'true', $one) =~ /^delivered \d+$/ });

# Eight refusals in a row stop a source, though no worker meets more than three
$tiktok->script({ action => 'code', code => 40002, match => { event_source_id => $two }, times => undef });
for my $n (1 .. 10)
{
	track($two, "refused$n");
	Rehearsal::await("answer $n", sub { sql("SELECT count(*) FROM tiktok.delivery WHERE status = 'rejected'", $two) >= $n
		|| sql("SELECT count(*) FROM tiktok.source_state WHERE state = 'open'", $two) });
	evict($two, @all[ 0 .. 2 ]) if $n % 3 == 0;
}
is(sql("SELECT count(*) FROM tiktok.delivery WHERE status = 'rejected'", $two), 8, 'eight events are refused');
like(sql("SELECT state || ' ' || reason FROM tiktok.source_state", $two), qr/^open refused/, 'then the source is stopped');
$tiktok->script;
Rehearsal::await('the rest delivered', sub { Rehearsal::statuses($node, "status <> 'rejected'", $two) eq 'delivered 3' });
pass('and goes on');

# Requests per second
sql("UPDATE tiktok.source SET requests_per_second = 1, batch_size = 1 WHERE name = 'shop'", $one);
track($one, "paced$_") for 1 .. 4;
while_others_wait(sub { received("$one-paced4") }, 20, @all[ 0 .. 2 ]);
my @gaps = split /\n/, sql("SELECT round(extract(epoch FROM started_at - lag(started_at) OVER (ORDER BY id)), 2) FROM tiktok.request ORDER BY id DESC LIMIT 3", $one);
is(scalar(grep { $_ < 0.99 } @gaps), 0, "of one request a second, whichever worker makes it: @gaps s");

# What a role sees of other databases
sql('CREATE ROLE onlooker; SELECT tiktok.grant_reader($$onlooker$$)', 'd1');
is(sql("SET ROLE onlooker; SELECT count(*) = $databases + 1 AND count(requests) <= 1 AND count(state) = count(*) FROM tiktok.worker_status", 'd1'), 't',
	'a reader sees which databases wait, and nothing else of them');
sql('DROP OWNED BY onlooker', 'd1');

# A dropped database leaves, and a crash forgets nothing
sql("DROP DATABASE $two");
is(sql("SELECT count(*) FROM tiktok.worker_status WHERE database IS NULL OR database = '$two'"), 0, 'a dropped database leaves');
pop @all for 1, 2;

# More databases than there is room for
$node->append_conf('postgresql.conf', 'tiktok_events.max_databases = 4');
$node->restart;
track($_, 'last') for @all[ 0 .. 11 ];
$node->reload;
ok(arrives("$_-last"), "with four entries: $_") for @all[ 0 .. 11 ];
ok($node->poll_query_until('d1', "SELECT ($old) = 0"), 'when nobody waits they are deleted');
my ($unlisted) = grep { sql("SELECT count(*) FROM tiktok.worker_status WHERE database = '$_' AND state = 'unlisted'", $_) } @all[ 0 .. 11 ];
like(sql("SELECT state || ' ' || hint FROM tiktok.health() WHERE check_name = 'worker'", $unlisted), qr/^warn Raise tiktok_events.max_databases/, 'health says of one that there is no room');
is(scalar(() = slurp_file($node->logfile) =~ /more than 4 databases have the extension/g), 1, 'the log does, once');

$node->stop;
unlike(slurp_file($node->logfile), qr/ERROR|PANIC|FATAL:(?!  terminating (background worker|connection|autovacuum))|had \d+ interrupted/, 'nothing untoward in the log');
done_testing();
