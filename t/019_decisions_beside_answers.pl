# Operators decide about events while answers to the same events arrive: neither waits for the other for long, no deadlock ends the worker,
# every event has one status, another source goes on; and a statement that waits for another operator stops the source for a while only.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep time);

my $seconds = $ENV{DECISION_SECONDS} // 12;
my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('decisions', 'tiktok_events.request_timeout' => '4s', log_min_messages => 'warning', deadlock_timeout => '200ms');
my $dir = PostgreSQL::Test::Utils::tempdir();

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A script of pgbench, run by so many sessions until the time is over.
sub start
{
	my ($name, $sessions, $script) = @_;
	append_to_file("$dir/$name", $script);
	my $pid = fork // die "fork: $!";
	return [ $name, $pid ] if $pid;
	open STDOUT, '>', "$dir/$name.log";
	open STDERR, '>&', \*STDOUT;
	exec 'pgbench', '-n', '-c', $sessions, '-T', $seconds, '-f', "$dir/$name", '-d', $node->connstr('postgres') or POSIX::_exit(1);
}

$tiktok->sources($node);
sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('other', 'web', 'COTHER'); SELECT tiktok.set_access_token('other', '$Rehearsal::TOKEN')");
sql("UPDATE tiktok.source SET batch_size = 200");
$tiktok->script({ action => 'status', status => 503, match => { probability => 0.5, event_source_id => 'CPIXEL0000000001' }, times => undef },
	{ action => 'delay', seconds => 0.1, times => undef });
my $track = "user_data => jsonb_build_object('external_id', n), page => '{\"url\": \"https://shop.example.com/\"}'";
my $before = sql('SELECT pid FROM tiktok.worker_status');
my @sessions = (
	start('record', 1, "SELECT count(tiktok.track('shop', 'ViewContent', gen_random_uuid()::text, $track)) FROM generate_series(1, 1000) n;\n\\sleep 100 ms\n"),
	start('other', 1, "SELECT tiktok.track('other', 'ViewContent', gen_random_uuid()::text, $track) FROM (SELECT 1 AS n) x;\n\\sleep 100 ms\n"),
	start('discard', 1, <<'SQL'),
\set open random(1, 50)
\set pause random(1, 400)
\sleep :pause ms
BEGIN;
SELECT tiktok.discard('shop', 'retrying'), tiktok.discard('shop', 'pending');
\sleep :open ms
COMMIT;
\sleep :pause ms
BEGIN;
SELECT tiktok.retry('shop', 'discarded');
\sleep :open ms
ROLLBACK;
SQL
	start('withdraw', 4, <<'SQL'));
SELECT tiktok.withdraw_consent('shop', coalesce((SELECT event_id FROM tiktok.event WHERE id = (SELECT max(id) - floor(random() * 2000) FROM tiktok.event)), 'none'));
SQL
for (@sessions)
{
	my ($name, $pid) = @$_;
	waitpid $pid, 0;
	my $log = slurp_file("$dir/$name.log");
	my ($done) = $log =~ /number of transactions actually processed: (\d+)/;
	ok($done, "$name: " . ($done // 0) . ' transactions') or diag($log);
	unlike($log, qr/deadlock|timeout/, "$name: no deadlock");
}
$tiktok->script;
ok(Rehearsal::drained($node, 60), 'finished');
note(Rehearsal::statuses($node));
is(sql('SELECT pid, last_error IS NULL FROM tiktok.worker_status'), "$before|t", 'the worker has had no error');
is(sql(<<'SQL'), '0', 'every event has one status');
SELECT count(*) FROM tiktok.event e WHERE (SELECT count(*) FROM tiktok.delivery d WHERE d.id = e.id) + (SELECT count(*) FROM tiktok.retry r WHERE r.id = e.id) <> 1
SQL
cmp_ok(sql("SELECT count(*) FROM tiktok.event_status WHERE source = 'shop' AND status = 'delivered'"), '>', 0, 'some of the shop are delivered');
is(Rehearsal::statuses($node, "source = 'other'"), 'delivered ' . sql("SELECT count(*) FROM tiktok.event_status WHERE source = 'other'"), 'all of another source');

# Two operators: the statement of the second waits for the first, who leaves the transaction open
sub views { sql("SELECT count(tiktok.track('shop', 'ViewContent', '$_[0]-' || n, $track)) FROM generate_series(1, $_[1]) n") }
sub delivered { return $node->poll_query_until('postgres', "SELECT status = 'delivered' FROM tiktok.event_status WHERE event_id = '$_[0]'") }
sql("SELECT tiktok.pause('shop')");
views('both', 30);
sql("BEGIN; SELECT tiktok.discard(id) FROM tiktok.event_status WHERE event_id = 'both-15'; PREPARE TRANSACTION 'first'");
my $second = IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-c', "SET application_name = 'second'; SELECT tiktok.discard('shop', 'pending')" ],
	'>', \my $out, '2>', \my $err);
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'second' AND wait_event_type = 'Lock'"), 'the second waits for the first');
sql("SELECT tiktok.resume('shop')");
views('beside', 1);
ok(delivered('beside-1'), 'the source is sent to meanwhile');
is(sql("SELECT status FROM tiktok.event_status WHERE event_id = 'both-15'"), 'pending', 'what both decide about waits');
sql("ROLLBACK PREPARED 'first'");
$second->finish;
is($err, '', 'the second succeeds');
ok(Rehearsal::drained($node, 30), 'finished');
is(sql("SELECT status FROM tiktok.event_status WHERE event_id = 'both-15'"), 'discarded', 'as the second has decided');
is(sql("SELECT count(*) FROM tiktok.event_status WHERE event_id ~ '^both-' AND status IN ('discarded', 'delivered')"), 30, 'the others had been sent, or are discarded');
is(sql('SELECT pid, last_error IS NULL FROM tiktok.worker_status'), "$before|t", 'the worker has had no error');

# A worker that starts again while events of a request are being decided waits with that source only
$tiktok->script({ action => 'hang', match => { event_source_id => 'CPIXEL0000000001' } });
views('died', 3);
ok($node->poll_query_until('postgres', 'SELECT sum(in_flight) = 1 FROM tiktok.worker_status'), 'a request is under way');
sql("BEGIN; SELECT tiktok.discard(id) FROM tiktok.event_status WHERE event_id = 'died-2'; PREPARE TRANSACTION 'first'");
sql('SELECT pg_terminate_backend(pid) FROM tiktok.worker_status');
sql("SELECT tiktok.track('other', 'ViewContent', 'alive', $track) FROM (SELECT 1 AS n) x");
ok(delivered('alive'), 'another source goes on');
is(sql("SELECT last_error IS NULL FROM tiktok.worker_status"), 't', 'without an error');
$tiktok->script;
sql("COMMIT PREPARED 'first'");
ok(Rehearsal::drained($node, 30), 'finished');
is(Rehearsal::statuses($node, "event_id ~ '^died-'"), 'delivered 2, discarded 1', 'as decided');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|deadlock detected|lock timeout/, 'no crash, no deadlock, no lock timeout');
done_testing();
