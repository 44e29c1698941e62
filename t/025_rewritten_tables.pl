# Our tables are rewritten and their indexes built anew while they are in use: every event can be recorded, and is delivered once.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use POSIX qw(WNOHANG);
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start('--trust');
my $node = $tiktok->cluster('rewrite', max_wal_size => '4GB');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub worker { return sql('SELECT pid FROM tiktok.worker_status') }
sub wait_for { return $node->poll_query_until('postgres', "SELECT $_[0]") }

sub track
{
	my ($id) = @_;
	return "SELECT tiktok.track('shop', 'ViewContent', $id, user_data => '{\"external_id\": \"7\"}', "
	  . "page => '{\"url\": \"https://shop.example.com/\"}')";
}

# So many events have arrived since the start, each once.
sub arrived
{
	my ($events) = @_;
	ok(Rehearsal::drained($node, 60), 'nothing is left pending');
	is($tiktok->stats->{counted_events}, $events, 'every event has arrived');
	is($tiktok->stats->{accepted_copies}, $events, 'and once');
	is(Rehearsal::statuses($node), "delivered $events", 'and is recorded');
}

$tiktok->sources($node);
sql(track("'first'"));
ok(Rehearsal::drained($node, 30), 'the worker is at work');
my $worker = worker();

# Tables are rewritten, while two writers record the same events
my @writers = map { Rehearsal::writer($node, join('', map { track("'rewrite-$_'") . ";\n" } 1 .. 800), '-v', 'ON_ERROR_STOP=1') } 1 .. 2;
my $round = 0;
my $failed = 0;
while (@writers)
{
	for my $order ('REINDEX TABLE CONCURRENTLY tiktok.event', 'VACUUM FULL tiktok.event, tiktok.delivery, tiktok.identity, tiktok.request, tiktok.cursor',
		'REINDEX TABLE CONCURRENTLY tiktok.delivery', 'CLUSTER tiktok.event USING event_queue', 'REINDEX TABLE tiktok.event',
		'REINDEX INDEX CONCURRENTLY tiktok.event_key')
	{
		sql($order);
	}
	$round++;
	@writers = grep { my $ended = waitpid($_, WNOHANG); $failed++ if $ended && $?; !$ended } @writers;
}
is($failed, 0, "every event could be recorded while tables were rewritten $round times");
arrived(801);
is(worker(), $worker, 'by the same worker');

# While indexes are built anew there are two of each, valid or not yet or no longer: an event recorded twice is none of their errors
my $id = sql("SELECT id FROM tiktok.event WHERE event_id = 'rewrite-1'");
my $order = Rehearsal::session($node, 'BEGIN; ' . track("'reindex-1'") . ';');
my $writer = Rehearsal::writer($node, 'REINDEX TABLE CONCURRENTLY tiktok.event');
for my $phase ('waiting for writers before build', 'waiting for readers before marking dead')
{
	wait_for("phase = '$phase' FROM pg_stat_progress_create_index");
	is(sql(track("'rewrite-1'")), $id, "an event recorded again while REINDEX CONCURRENTLY is $phase");
	if ($phase =~ /build/)
	{
		my $snapshot = Rehearsal::session($node, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;');
		Rehearsal::end_session($order, 'COMMIT;');
		wait_for("phase = 'waiting for old snapshots' FROM pg_stat_progress_create_index");
		$order = Rehearsal::session($node, 'BEGIN; ' . track("'reindex-2'") . ';');
		Rehearsal::end_session($snapshot, 'COMMIT;');
	}
}
Rehearsal::end_session($order, 'COMMIT;');
waitpid $writer, 0;
is($?, 0, 'which then succeeds');
arrived(803);

$node->stop;
unlike(slurp_file($node->logfile), qr/ERROR|PANIC|terminated by signal|TRAP/, 'and nothing fails');
done_testing();
