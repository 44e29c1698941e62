# What owners do to our tables while they are in use: lock, truncate and delete; and a disk that is full for a while.
# The worker waits, or begins again; it neither ends nor fills the log, and what is still there is delivered.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use POSIX qw(WNOHANG);
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep);

my $tiktok = Rehearsal->start('--trust', '--keep-bodies', '0');
my $node = $tiktok->cluster('abuse', max_wal_size => '4GB', log_lock_waits => 'off');
my $worker;
my $log_seen = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub drained { return Rehearsal::drained($node, 60) }
sub worker { return sql('SELECT pid FROM tiktok.worker_status') }
sub wait_for { return $node->poll_query_until('postgres', "SELECT $_[0]") }
sub waits { return wait_for("count(*) > 0 FROM pg_locks WHERE NOT granted AND $_[0]") }

sub track
{
	my ($id) = @_;
	return "SELECT tiktok.track('shop', 'ViewContent', $id, user_data => '{\"external_id\": \"7\"}', "
	  . "page => '{\"url\": \"https://shop.example.com/\"}')";
}

sub track_many { return track("'$_[0]' || n") . " FROM generate_series(1, $_[1]) n;\n" }

# Errors logged since this was asked last.
sub errors
{
	my $log = slurp_file($node->logfile, $log_seen);
	$log_seen = -s $node->logfile;
	return [ $log =~ /(?:ERROR|FATAL|PANIC):.*/g ];
}

# Every one of these events has arrived so many times, and is delivered.
sub arrived
{
	my ($like, $events, $what) = @_;
	ok(drained(), "$what: nothing is left pending");
	my %copies;
	$copies{ $_->{event_id} }++ for grep { $_->{event_id} =~ /^$like/ } @{ $tiktok->events('?accepted=true') };
	is(scalar keys %copies, $events, "$what: every event has arrived");
	is(Rehearsal::statuses($node, "event_id ~ '^$like'"), "delivered $events", "$what: and is recorded");
	return scalar grep { $_ > 1 } values %copies;
}

$tiktok->sources($node);
sql(track("'first'"));
ok(drained(), 'the worker is at work');
$worker = worker();
errors();

# A table is locked for a while
for my $table (qw(event identity request delivery cursor access_token source_control installation))
{
	my $lock = Rehearsal::session($node, "BEGIN; LOCK TABLE tiktok.$table IN ACCESS EXCLUSIVE MODE;");
	my $reads = $table =~ /^(access_token|source_control|installation)$/ ? 'UPDATE tiktok.source SET batch_size = batch_size;' : '';
	my $writer = Rehearsal::writer($node, "$reads\n" . track("'lock-$table'"));
	my $who = $table eq 'event' ? 'true' : "pid = $worker";
	waits("relation = 'tiktok.$table'::regclass AND $who");
	Rehearsal::end_session($lock, 'COMMIT;');
	waitpid $writer, 0;
}
is(arrived('lock-', 8, 'tables locked for a moment'), 0, 'and once');
is_deeply(errors(), [], 'without an error');

# All of them for longer than the worker's lock_timeout
my $tables = join ', ', map { "tiktok.$_" } split /\n/, sql("SELECT relname FROM pg_class WHERE relnamespace = 'tiktok'::regnamespace AND relkind = 'r'");
$tiktok->script({ action => 'delay', seconds => 1, when => 'after' });
sql(track("'long-1'"));
wait_for('in_flight = 1 FROM tiktok.worker_status');
my $lock = Rehearsal::session($node, "BEGIN; LOCK TABLE $tables IN ACCESS EXCLUSIVE MODE;");
my $writer = Rehearsal::writer($node, track("'long-2'"));
wait_for("state = 'failed' AND last_error LIKE '%lock timeout%' FROM tiktok.worker_status");
is(sql("SELECT state, query, backend_xmin IS NULL FROM pg_stat_activity WHERE pid = $worker"),
	'idle|tiktok_events: pausing after an error|t', 'the worker pauses and holds nothing');
Rehearsal::end_session($lock, 'COMMIT;');
waitpid $writer, 0;
is(arrived('long-', 2, 'all tables locked for long'), 1, 'what was in flight is sent once more');
is(scalar @{ errors() }, 1, 'one error is logged');
is(worker(), $worker, 'by a worker that stays');

# Rows are deleted and altered while their request is on its way
$tiktok->script({ action => 'delay', seconds => 1, when => 'after' });
sql(track_many('away-', 30));
wait_for('in_flight > 0 FROM tiktok.worker_status');
sql("DELETE FROM tiktok.event WHERE event_id IN ('away-1', 'away-30'); UPDATE tiktok.event SET event = 'Contact', event_time = now(), xid = '1' WHERE event_id IN ('away-2', 'away-29');");
sql("DELETE FROM tiktok.identity; UPDATE tiktok.request SET events = 0, bytes = 0 WHERE finished_at IS NULL");
wait_for("count(*) = 0 FROM tiktok.request WHERE finished_at IS NULL");
ok(drained(), 'rows altered on their way: nothing is left pending');
is(Rehearsal::statuses($node, "event_id ~ '^away-'"), 'delivered 28', 'and what is there is delivered');
$tiktok->script({ action => 'delay', seconds => 1, when => 'after' });
sql(track_many('lost-', 30));
wait_for('in_flight > 0 FROM tiktok.worker_status');
sql("DELETE FROM tiktok.request WHERE finished_at IS NULL");
ok(drained(), 'their request is deleted: nothing is left pending');
is(Rehearsal::statuses($node, "event_id ~ '^lost-'"), 'delivered 30', 'they are delivered');
is_deeply(errors(), [], 'without an error');
is(worker(), $worker, 'by the same worker');

# Tables are truncated and events deleted while a part of them is to be retried
$tiktok->script({ action => 'status', status => 500, when => 'after', times => undef, match => { probability => 0.3, seed => 3 } });
my @writers = map { my $w = $_; Rehearsal::writer($node, join '', map { track_many("t$w-$_-", 20) } 1 .. 150) } 1 .. 2;
my $round = 0;
my @refused;
while (@writers)
{
	for my $order ('TRUNCATE tiktok.delivery', 'TRUNCATE tiktok.identity', 'TRUNCATE tiktok.retry', 'TRUNCATE tiktok.event',
		'DELETE FROM tiktok.event WHERE id % 3 = 0', 'TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery')
	{
		my ($status, undef, $error) = $node->psql('postgres', $order);
		push @refused, $error if $status != 0 && $error !~ /deadlock/;
	}
	$round++;
	sleep 0.2;
	@writers = grep { waitpid($_, WNOHANG) == 0 } @writers;
}
is_deeply(\@refused, [], "tables are truncated $round times while they are in use");
cmp_ok(scalar(grep { !/deadlock/ } @{ errors() }), '==', 0, 'no error but deadlocks, of one or the other');
is(worker(), $worker, 'the worker is still there');
$tiktok->script({ action => 'status', status => 500, when => 'after' });
sql(track_many('orphan', 5));
wait_for("count(*) > 0 FROM tiktok.retry");
sql('TRUNCATE tiktok.event; UPDATE tiktok.retry SET next_attempt_at = now()');
$tiktok->script;
sql("SELECT tiktok.resume('shop')");
sql(track_many('after-', 50));
is(arrived('after-', 50, 'after TRUNCATE'), 0, 'and once');
is(sql('SELECT count(*) FROM tiktok.retry'), 0, 'what was deleted is not retried');

# The worker cannot extend a table
SKIP:
{
	skip 'no prlimit command', 7 if system('prlimit --version >/dev/null') != 0;
	my $limit = 16 * 1024 * 1024;    # segments of WAL are that long

	sql("INSERT INTO tiktok.delivery (id, status, at) SELECT -n, 'discarded', now() FROM generate_series(1, 300000) n");
	cmp_ok(sql("SELECT pg_relation_size('tiktok.delivery')"), '>', $limit, 'a table is as large as the worker may write');
	system("prlimit --pid $worker --fsize=$limit:") == 0 or die;
	sql(track_many('full-', 3000));
	wait_for("state = 'failed' AND last_error LIKE 'could not extend file%' FROM tiktok.worker_status");
	sql(track_many('more-', 10));
	sleep 4;
	my $errors = errors();
	cmp_ok(scalar @$errors, '<=', 6, 'the worker tries again a few times') or diag(join "\n", @$errors);
	is(scalar(grep { !/could not extend file/ } @$errors), 0, 'for one reason');
	system("prlimit --pid $worker --fsize=unlimited:") == 0 or die;
	arrived('(full|more)-', 3010, 'room again');
	is(worker(), $worker, 'by the same worker');
}

is($tiktok->stats->{counted_events}, $tiktok->stats->{accepted_copies} - $tiktok->stats->{duplicate_copies}, 'whatever came twice counts once');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|TRAP|example\.com/, 'no crash, and no address in the log');
done_testing();
