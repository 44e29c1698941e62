# The outage story: an endpoint that is away, flaps, or answers at random; a backlog that is drained once, with flat memory.
# OUTAGE_EVENTS sets the size of the backlog (default 50000).
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep time);

my $backlog = $ENV{OUTAGE_EVENTS} // 50000;
my $tiktok = Rehearsal->start('--keep-events', '0', '--keep-bodies', '0', '--trust');
my $node = $tiktok->cluster('outage', 'tiktok_events.request_timeout' => '5s', 'tiktok_events.connect_timeout' => '1s', 'max_wal_size' => '4GB');
my $worker;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub enqueue
{
	my ($n, $prefix) = @_;
	my $left = $n;
	while ($left > 0)
	{
		my $chunk = $left < 10000 ? $left : 10000;
		sql("SELECT count(tiktok.track('shop', 'ViewContent', '$prefix' || n, user_data => jsonb_build_object('external_id', n), "
			  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series($left - $chunk + 1, $left) n");
		$left -= $chunk;
	}
}

sub memory_kb { return slurp_file("/proc/$worker/status") =~ /RssAnon:\s+(\d+)/ ? $1 : die }

sub endpoint
{
	$node->append_conf('postgresql.conf', "tiktok_events.endpoint = '$_[0]'");
	$node->reload;
}

$tiktok->sources($node);
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM tiktok.worker_status WHERE pid IS NOT NULL");
$worker = sql('SELECT pid FROM tiktok.worker_status');

# Endpoint away
endpoint('https://127.0.0.1:9/open_api/v1.3/event/track/');
enqueue($backlog, 'a');
$node->poll_query_until('postgres', "SELECT state = 'open' FROM tiktok.backlog WHERE source = 'shop'");
is(sql("SELECT pending, retrying, reason LIKE 'stop_endpoint: %' FROM tiktok.backlog WHERE source = 'shop'"), "$backlog|0|t",
	'tiktok.backlog says what waits and why');
my $writes = 'SELECT n_tup_upd + n_tup_del + (SELECT sum(n_tup_ins) FROM pg_stat_all_tables WHERE schemaname = \'tiktok\' '
  . "AND relname IN ('delivery', 'retry')) FROM pg_stat_all_tables WHERE schemaname = 'tiktok' AND relname = 'event'";
cmp_ok(my $written = sql($writes), '<=', 4100, 'an outage writes what was under way to tiktok.retry');
my $before = memory_kb();
my $requests = sql('SELECT count(*) FROM tiktok.request');
sleep 5;
cmp_ok(sql('SELECT count(*) FROM tiktok.request') - $requests, '<=', 30, 'it is probed a few times, not hammered');
cmp_ok(memory_kb(), '<', $before + 4096, 'memory does not grow');
cmp_ok(sql($writes) - $written, '<=', 60, 'and nothing but probes is written');
my $up = time;
endpoint($tiktok->{https_url});
ok(Rehearsal::drained($node, 300), 'the backlog is drained when it is back');
my $drain = time - $up;
my $stats = $tiktok->stats;
is($stats->{counted_events}, $backlog, 'every event is there');
is($stats->{duplicate_copies}, 0, 'once');
cmp_ok(memory_kb(), '<', 64 * 1024, 'with less than 64 MB');
diag(sprintf '%d events in %.1f s after an outage, worker %d kB', $backlog, $drain, memory_kb());

# Many requests leave nothing behind
sql("INSERT INTO tiktok.source (name, event_source, event_source_id, batch_size, requests_per_second) VALUES ('single', 'web', 'CSINGLE', 1, 1000)");
sql("SELECT tiktok.set_access_token('single', '$Rehearsal::TOKEN')");
$before = memory_kb();
sql("SELECT count(tiktok.track('single', 'ViewContent', 's' || n, user_data => jsonb_build_object('external_id', n), "
	  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series(1, 3000) n");
ok(Rehearsal::drained($node, 60), '3000 single requests: finished');
cmp_ok(memory_kb(), '<', $before + 1536, 'and memory is as before');
diag('memory before and after 3000 requests: ' . $before . ' and ' . memory_kb() . ' kB');

# Half of the answers are lost after TikTok has taken the events
$tiktok->reset_all;
$tiktok->script({ action => 'status', status => 500, when => 'after', times => undef, match => { probability => 0.5, seed => 7 } });
enqueue(2000, 'b');
sleep 1;
enqueue(2000, 'c');
sleep 20;
$tiktok->script;
# an event that failed three times waits for two minutes and more
ok(Rehearsal::drained($node, 200), '500 after processing, at random: finished');
$stats = $tiktok->stats;
is($stats->{counted_events}, 4000, 'nothing is lost and nothing counts twice');
is(sql("SELECT count(*) FROM tiktok.event_status WHERE (event_id LIKE 'b%' OR event_id LIKE 'c%') AND status <> 'delivered'"), 0, 'and all are delivered');
diag("copies on the wire: $stats->{accepted_copies} for 4000 events, requests: $stats->{requests}");

# Flapping: up and down every two seconds
$tiktok->reset_all;
for my $round (1 .. 5)
{
	$tiktok->script({ action => 'status', status => 503, times => undef });
	enqueue(100, "d$round-");
	sleep 2;
	$tiktok->script;
	sleep 2;
}
ok(Rehearsal::drained($node, 180), 'a flapping endpoint: finished');
$stats = $tiktok->stats;
is($stats->{counted_events}, 500, 'every event is there');
is($stats->{duplicate_copies}, 0, 'once');
diag("flapping: $stats->{requests} requests for 5 batches");

# The horizon: what TikTok may have received more than 47 hours ago is not sent again
$tiktok->reset_all;
$tiktok->script({ action => 'status', status => 500, times => undef });
enqueue(1, 'old');
$node->poll_query_until('postgres', "SELECT status = 'retrying' FROM tiktok.event_status WHERE event_id = 'old1'");
sql("UPDATE tiktok.retry SET possibly_received_at = possibly_received_at - interval '47 hours 1 minute', next_attempt_at = now() - interval '1 minute'");
$tiktok->script;
$node->restart;
$node->poll_query_until('postgres', "SELECT status = 'uncertain' FROM tiktok.event_status WHERE event_id = 'old1'");
is(sql("SELECT status, reason, attempts FROM tiktok.event_status WHERE event_id = 'old1'"), 'uncertain|retry_horizon|1', 'it becomes uncertain');
is($tiktok->stats->{accepted_copies}, 0, 'without another attempt');
is(sql("SELECT count(*) FROM tiktok.identity"), 1, 'its identifiers are kept for tiktok.retry');

$node->stop;
done_testing();
