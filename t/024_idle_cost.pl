# What costs nothing: an idle worker, a request under way, and the twenty-thousandth transaction of a session.
# Beside it, what the server shows of the worker in each phase.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep time);

my $transactions = $ENV{FLAT_TRANSACTIONS} // 20000;
my $tiktok = Rehearsal->start('--trust', '--keep-events', '0', '--keep-bodies', '0');
my $node = $tiktok->cluster('flat', max_wal_size => '4GB');
my $worker;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub wait_for { return $node->poll_query_until('postgres', "SELECT $_[0]") }
sub status { return sql("SELECT state, in_flight, requests, delivered, failed, last_error IS NOT NULL FROM tiktok.worker_status") }
sub activity { return sql("SELECT state, query, wait_event_type FROM pg_stat_activity WHERE pid = $worker") }

sub track
{
	my ($id) = @_;
	return "SELECT tiktok.track('shop', 'ViewContent', $id, user_data => '{\"external_id\": \"7\"}', "
	  . "page => '{\"url\": \"https://shop.example.com/\"}')";
}

# Clock ticks that the worker has used
sub cpu
{
	my @stat = split ' ', (slurp_file("/proc/$worker/stat") =~ /\) (.*)/)[0];
	return $stat[11] + $stat[12];
}

sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[ $#sorted / 2 ] }

$tiktok->sources($node);
$worker = sql('SELECT pid FROM tiktok.worker_status');
wait_for("query = 'tiktok_events: idle' FROM pg_stat_activity WHERE pid = $worker");

# Phases
is(status(), 'idle|0|0|0|0|f', 'tiktok.worker_status of an idle worker');
is(activity(), 'idle|tiktok_events: idle|Extension', 'and its activity');
is(sql("SELECT backend_type, wait_event, xact_start IS NULL FROM pg_stat_activity WHERE pid = $worker"),
	'tiktok_events worker|' . ($node->pg_version >= 17 ? 'TiktokEventsIdle' : 'Extension') . '|t', 'and who it is');

$tiktok->script({ action => 'hang', times => 2 });
sql(track("'one'"));
wait_for('in_flight = 1 FROM tiktok.worker_status');
is(activity(), 'active|tiktok_events: sending 1 request|Extension', 'the activity of one that sends');
sql(track("'two'"));
wait_for('in_flight = 2 FROM tiktok.worker_status');
is(activity(), 'active|tiktok_events: sending 2 requests|Extension', 'the same for two requests');
is(status(), 'sending|2|0|0|0|f', 'tiktok.worker_status says the same');
is(sql("SELECT wait_event FROM pg_stat_activity WHERE pid = $worker"), $node->pg_version >= 17 ? 'TiktokEventsSend' : 'Extension', 'and what it waits for');

# Nothing is held while requests are under way, however often one looks; but the worker may look at the queue in between, for milliseconds
my $held = 0;
my $longest = 0;
my $looks = 0;
my $end = time + 5;
while (time < $end)
{
	my $now = sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $worker AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL OR xact_start IS NOT NULL)")
	  + sql("SELECT count(*) FROM pg_locks WHERE pid = $worker");
	$held = $now ? $held + 1 : 0;
	$longest = $held if $held > $longest;
	$looks++;
}
cmp_ok($longest, '<', 5, "no transaction, snapshot or lock during a request, in $looks looks");
$tiktok->reset_all;
ok(Rehearsal::drained($node, 60), 'the requests that hung come to an end');
wait_for("state = 'idle' FROM tiktok.worker_status");

my $lock = Rehearsal::session($node, 'BEGIN; LOCK TABLE tiktok.request;');
sql(track("'three'"));
wait_for("count(*) = 1 FROM pg_stat_activity WHERE pid = $worker AND wait_event_type = 'Lock'");
is(activity(), 'active|tiktok_events: reading events|Lock', 'the activity of one that reads');
Rehearsal::end_session($lock, 'COMMIT;');
ok(Rehearsal::drained($node, 30), 'all finished');
# Readers do not wait for this lock, whoever writes a final status does
$lock = Rehearsal::session($node, 'BEGIN; LOCK TABLE tiktok.delivery IN SHARE MODE;');
sql(track("'four'"));
wait_for("count(*) = 1 FROM pg_stat_activity WHERE pid = $worker AND wait_event_type = 'Lock'");
is(activity(), 'active|tiktok_events: recording outcomes|Lock', 'and of one that records');
Rehearsal::end_session($lock, 'COMMIT;');
ok(Rehearsal::drained($node, 30), 'all finished');
like(status(), qr/^(idle|sending)\|0\|\d+\|4\|\d+\|f$/, 'what was delivered is counted');

# Autovacuum learns of what the worker writes, while the worker is running
$node->poll_query_until('postgres', "SELECT min(n) > 0 FROM (SELECT n_tup_ins AS n FROM pg_stat_user_tables WHERE schemaname = 'tiktok' AND relname IN ('request', 'delivery', 'cursor')) t");
is(sql("SELECT string_agg(relname || ' ' || n_tup_ins, ', ' ORDER BY relname) FROM pg_stat_user_tables WHERE schemaname = 'tiktok' AND relname IN ('event', 'delivery')"),
	'delivery 4, event 4', 'rows that were inserted are counted in pg_stat_user_tables');
is(sql("SELECT n_tup_del FROM pg_stat_user_tables WHERE relid = 'tiktok.identity'::regclass"), 4, 'and those that were deleted');

# A source that is paused while a request of it is under way
$tiktok->script({ action => 'delay', seconds => 4, when => 'before', times => 1 });
sql(track("'five'"));
wait_for('in_flight = 1 FROM tiktok.worker_status');
sql("SELECT tiktok.pause('shop')");
wait_for("state = 'paused' FROM tiktok.backlog WHERE source = 'shop'");
my $ticks = cpu();
sleep 2;
cmp_ok(cpu() - $ticks, '<', 40, 'the worker sleeps until the answer comes');
sql("SELECT tiktok.resume('shop')");
ok(Rehearsal::drained($node, 30), 'which is recorded');

# Twenty thousand transactions in one session
my $script = PostgreSQL::Test::Utils::tempdir() . '/flat.sql';
append_to_file($script, track("'t' || :n") . ";\n\\if :n % 1000 = 0\nINSERT INTO public.memory SELECT :n, sum(total_bytes), "
	  . "substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\\s+(\\d+)')::int FROM pg_backend_memory_contexts;\n\\endif\n\\set n :n + 1\n");
sql('CREATE TABLE public.memory (n int, contexts int, kilobytes int)');
my $counted = $tiktok->stats->{counted_events};
my $prefix = PostgreSQL::Test::Utils::tempdir() . '/transactions';
my $started = time;
command_ok([ 'pgbench', '-n', '-c', '1', '-t', $transactions, '-D', 'n=1', '-f', $script, '-l', "--log-prefix=$prefix", $node->connstr('postgres') ],
	"$transactions transactions of one session");
my $elapsed = time - $started;
my @micros = map { (split / /)[2] } map { split /\n/, slurp_file($_) } glob "$prefix.*";
my ($first, $last) = (median(@micros[ 0 .. 999 ]), median(@micros[ -1000 .. -1 ]));
cmp_ok($last, '<=', 2 * $first + 300, 'the last thousand take as long as the first');
my ($contexts, $contexts_then, $rss, $rss_then) = split /\|/, sql("SELECT a.contexts, b.contexts, a.kilobytes, b.kilobytes "
	  . "FROM public.memory a, public.memory b WHERE a.n = 2000 AND b.n = (SELECT max(n) FROM public.memory)");
cmp_ok($contexts_then, '<=', $contexts + 64 * 1024, 'memory contexts do not grow');
cmp_ok($rss_then, '<=', $rss + 2048, 'nor does the process');
diag(sprintf 'median of a transaction: %d µs, then %d µs; memory contexts %d and %d bytes, process %d and %d kB; %.1f s',
	$first, $last, $contexts, $contexts_then, $rss, $rss_then, $elapsed);
ok(Rehearsal::drained($node, 120), 'all of it is delivered');
is($tiktok->stats->{counted_events} - $counted, $transactions, 'once each');

# An idle worker does nothing
sub idle_marks
{
	return sql("SELECT state, query_start, state_change, (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del + seq_scan + coalesce(idx_scan, 0)) "
		  . "FROM pg_stat_user_tables WHERE schemaname = 'tiktok') FROM pg_stat_activity WHERE pid = $worker");
}
sql("ALTER SYSTEM SET autovacuum = off");
$node->reload;
wait_for("state = 'idle' FROM tiktok.worker_status");
sleep 6;    # one look at the number of transactions
my ($marks, $commits);
($marks, $ticks, $commits) = (idle_marks(), cpu(), sql("SELECT pg_stat_get_db_xact_commit(oid) FROM pg_database WHERE datname = 'postgres'"));
sleep 11;
is(idle_marks(), $marks, 'an idle worker runs no SQL in ten seconds');
cmp_ok(cpu() - $ticks, '<=', 1, 'and uses no processor time');
cmp_ok(sql("SELECT pg_stat_get_db_xact_commit(oid) FROM pg_database WHERE datname = 'postgres'") - $commits, '<=', 4, 'and commits no transaction');

# After an error
sql('ALTER TABLE tiktok.request ADD CONSTRAINT none CHECK (events < 0) NOT VALID');
sql(track("'six'"));
wait_for("state = 'failed' FROM tiktok.worker_status");
is(activity(), 'idle|tiktok_events: pausing after an error|Extension', 'the activity after an error');
is(sql("SELECT last_error, last_error_at > now() - interval '1 minute', pid = $worker FROM tiktok.worker_status"),
	'new row for relation "request" violates check constraint "none"|t|t', 'and the error in tiktok.worker_status');
sql('ALTER TABLE tiktok.request DROP CONSTRAINT none');
ok(Rehearsal::drained($node, 60), 'it goes on when the reason is gone');

$node->stop;
done_testing();
