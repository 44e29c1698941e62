# The main job: what is committed reaches the Events API once, and its fate is a query.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use JSON::PP;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('deliver');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub drained { return Rehearsal::drained($node, 30) }
sub counted { return $tiktok->stats->{counted_events} }

sub track
{
	my ($id, $more) = @_;
	$more //= '';
	return "SELECT tiktok.track('shop', 'Purchase', '$id', properties => '{\"value\": 10, \"currency\": \"EUR\"}', "
	  . "user_data => '{\"email\": \"$id\@example.com\"}', page => '{\"url\": \"https://shop.example.com/\"}'$more)";
}

$tiktok->sources($node);

# Commit, rollback, savepoint
sql(track('one'));
ok(drained(), 'an event is finished');
is(sql("SELECT status, attempts, http_status, code, value, currency FROM tiktok.event_status WHERE event_id = 'one'"),
	'delivered|1|200|0|10|EUR', 'its fate is a row of tiktok.event_status');
is(sql('SELECT count(*) FROM tiktok.identity'), 0, 'its identifiers are gone');
sql('BEGIN; ' . track('never') . '; ROLLBACK');
sql('BEGIN; ' . track('before') . '; SAVEPOINT s; ' . track('undone') . '; ROLLBACK TO s; ' . track('after') . '; COMMIT');
ok(drained(), 'all finished');
is_deeply([ sort map { $_->{event_id} } @{ $tiktok->events } ], [qw(after before one)],
	'what was rolled back was never sent');

# What is posted is what tiktok.preview shows
my $preview = track('one');
$preview =~ s/tiktok\.track/tiktok.preview/;
$preview =~ s/\)$/, event_time => '2026-01-02 03:04:05+00')/;
sql("UPDATE tiktok.source SET max_event_age = '100 years' WHERE name = 'shop'");
my $shown = decode_json(sql($preview));
is($shown->{event_time}, 1767323045, 'event_time is in seconds');
is($shown->{user}{email}, sql("SELECT encode(sha256('one\@example.com'), 'hex')"), 'the address is hashed');
my $posted = decode_json($tiktok->bodies(3)->[0]{body});
delete $_->{event_time} for $shown, $posted->{data}[0];
is_deeply($posted->{data}[0], $shown, 'the body posted is the preview');
is($posted->{event_source_id}, 'CPIXEL0000000001', 'under the id of its source');

# The same key twice
is(sql(track('one')), sql("SELECT id FROM tiktok.event WHERE event_id = 'one'"), 'a key tracked again gives the first id');
ok(drained(), 'all finished');
is(counted(), 3, 'and nothing is sent again');

# The four event sources in one transaction
sql(<<'SQL');
BEGIN;
SELECT tiktok.track('app', 'Purchase', 'a1', user_data => '{"gaid": "AAAAAA-2222-1111-8787-809E92233BA0"}',
	app => '{"app_id": "com.example.game"}', properties => '{"value": "4.99", "currency": "USD"}');
SELECT tiktok.track('store', 'Purchase', 's1', user_data => '{"phone": "+49 30 23125123"}',
	properties => '{"currency": "EUR", "contents": [{"content_id": "COFFEE", "price": "18.50", "quantity": 2}]}');
SELECT tiktok.track('crm', 'Qualified_Lead', NULL, lead => '{"lead_id": "7412345678901234567"}');
COMMIT;
SQL
ok(drained(), 'all finished');
is(Rehearsal::statuses($node), 'delivered 6', 'web, app, offline and crm events are accepted');
is(sql("SELECT value FROM tiktok.event_status WHERE event_id = 's1'"), '37.00', 'the value comes from the lines');
is(sql("SELECT event_id FROM tiktok.event_status WHERE source = 'crm'"), '7412345678901234567-Qualified_Lead',
	'a lead event has an id of lead and stage');

# A batch
sql("SELECT count(tiktok.track('shop', 'ViewContent', 'v' || n, user_data => jsonb_build_object('external_id', n), "
	  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series(1, 2500) n");
ok(drained(), 'all finished');
is(counted(), 2506, '2500 events of one transaction are all there');
is(sql("SELECT max(events) FROM tiktok.request"), 1000, 'in requests of at most 1000');

# Nothing is held while bytes are on the wire
$tiktok->script({ action => 'delay', seconds => 6, when => 'before' });
sql(track('slow'));
$node->poll_query_until('postgres', "SELECT sum(in_flight) = 1 FROM tiktok.worker_status");
is(sql("SELECT backend_xmin IS NULL AND backend_xid IS NULL AND xact_start IS NULL FROM pg_stat_activity "
		  . "WHERE backend_type = 'tiktok_events worker'"), 't', 'no transaction and no snapshot during a request');
is(sql('SELECT count(*) FROM tiktok.request WHERE finished_at IS NULL'), 1, 'the request is recorded before it is sent');
sql(track('beside'));
$node->poll_query_until('postgres', "SELECT status = 'delivered' FROM tiktok.event_status WHERE event_id = 'beside'");
is(sql("SELECT status FROM tiktok.event_status WHERE event_id = 'slow'"), 'pending', 'a slow request holds up nobody');
ok(drained(), 'the slow one arrives too');

# 500 and then well again: the same event_id, counted once
$tiktok->script({ action => 'status', status => 500, when => 'after', times => 1 });
sql(track('unclear'));
$node->poll_query_until('postgres', "SELECT status = 'retrying' FROM tiktok.event_status WHERE event_id = 'unclear'");
is(sql("SELECT attempts, http_status, next_attempt_at > now() FROM tiktok.event_status WHERE event_id = 'unclear'"),
	'1|500|t', 'an unclear outcome is retried, and never shown as delivered');
ok(drained(), 'it is delivered in the end');
is(sql("SELECT status, attempts FROM tiktok.event_status WHERE event_id = 'unclear'"), 'delivered|2', 'with the second attempt');
is(scalar @{ $tiktok->events('?event_id=unclear&accepted=true') }, 2, 'TikTok got two copies');
is(scalar @{ $tiktok->events('?event_id=unclear&counted=true') }, 1, 'and counts one');

# One bad event in a batch does not take the others with it
$tiktok->script({ reject_event_ids => ['b7'] });
sql("SELECT count(tiktok.track('shop', 'ViewContent', 'b' || n, user_data => jsonb_build_object('external_id', n), "
	  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series(1, 20) n");
ok(drained(), 'all finished');
is(Rehearsal::statuses($node, "event_id LIKE 'b_' OR event_id LIKE 'b__'"), 'delivered 19, rejected 1', 'only the culprit is rejected');
like(sql("SELECT code || ' ' || message FROM tiktok.event_status WHERE event_id = 'b7'"), qr/^40002 Batch\.0\.event_id/,
	'with the code and the message of TikTok');
is(sql("SELECT count(*) FROM tiktok.identity"), 1, 'its identifiers are kept for tiktok.retry');
$tiktok->script;

# Crash of the server with a request under way
$tiktok->script({ action => 'delay', seconds => 20, when => 'before' });
sql(track('crash'));
$node->poll_query_until('postgres', "SELECT sum(in_flight) = 1 FROM tiktok.worker_status");
$node->stop('immediate');
$node->start;
ok(drained(), 'an event in flight at a crash is sent again');
is(sql("SELECT status FROM tiktok.event_status WHERE event_id = 'crash'"), 'delivered', 'and delivered');
is(sql("SELECT count(*) FROM tiktok.request WHERE outcome = 'abandoned'"), 1, 'the abandoned request is on record');
is(scalar @{ $tiktok->events('?event_id=crash&counted=true') }, 1, 'it is counted once');

# Crash with retries under way: what lies between them in the queue has not been sent, and does not count as if it had
$tiktok->script({ action => 'status', status => 503, match => { event_id => 'r1' } }, { action => 'status', status => 503, match => { event_id => 'r5' } });
sql(track('r1'));
$node->poll_query_until('postgres', "SELECT status = 'retrying' FROM tiktok.event_status WHERE event_id = 'r1'");
sql(track('r5'));
$node->poll_query_until('postgres', "SELECT status = 'retrying' FROM tiktok.event_status WHERE event_id = 'r5'");
$tiktok->script({ action => 'hang', times => undef });
sql("UPDATE tiktok.retry SET next_attempt_at = now()");
sql(track('wake'));
$node->poll_query_until('postgres', "SELECT sum(in_flight) = 2 FROM tiktok.worker_status");
sql("SELECT tiktok.pause('shop')");
sql(track('between'));
$node->stop('immediate');
$tiktok->script;
$node->start;
is(sql("SELECT status, attempts FROM tiktok.event_status WHERE event_id = 'between'"), 'pending|0', 'an event that was not sent stays so in a crash');
sql("SELECT tiktok.resume('shop')");
ok(drained(), 'all finished');
like(sql("SELECT string_agg(event_id || ' ' || status || ' ' || attempts, ', ' ORDER BY event_id) FROM tiktok.event_status WHERE event_id IN ('r1', 'r5', 'wake', 'between')"),
	qr/^between delivered 1, r1 delivered [23], r5 delivered [23], wake delivered 2$/, 'and attempts are counted as they were');

# A process dies with a batch under way: its events are sent one by one, and one that kills three times is set apart
sub kill_worker
{
	my $pid = sql('SELECT pid FROM tiktok.worker_status');
	kill 'KILL', $pid;
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM tiktok.worker_status WHERE pid <> $pid");
}
$tiktok->script({ action => 'hang', times => undef });
sql("SELECT count(tiktok.track('shop', 'ViewContent', 'k' || n, user_data => jsonb_build_object('external_id', n), "
	  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series(1, 20) n");
$node->poll_query_until('postgres', "SELECT sum(in_flight) > 0 FROM tiktok.worker_status");
kill_worker();
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM tiktok.request WHERE finished_at IS NULL AND events = 1");
for (1 .. 2)
{
	kill_worker();
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM tiktok.request WHERE finished_at IS NULL AND events = 1");
}
$tiktok->reset_all;    # lets go of the request that hangs
$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM tiktok.request WHERE finished_at IS NULL');
sql('UPDATE tiktok.retry SET next_attempt_at = now()');
ok(drained(), 'all finished');
is(Rehearsal::statuses($node, "event_id ~ '^k\\d'"), 'delivered 19, uncertain 1', 'what was in flight is delivered, but for one');
is(sql("SELECT reason, attempts FROM tiktok.event_status WHERE status = 'uncertain'"), 'poison|3', 'which died in flight three times, the last two of them alone');

# Fast shutdown does not wait for a request
$tiktok->script({ action => 'hang' });
sql(track('shutdown'));
$node->poll_query_until('postgres', "SELECT sum(in_flight) = 1 FROM tiktok.worker_status");
my $started = time;
$node->stop('fast');
cmp_ok(time - $started, '<=', 2, 'fast shutdown is not delayed by a hanging request');
$node->start;
ok(drained(), 'the event arrives after the restart');

$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/example\.com|$Rehearsal::TOKEN/, 'no identifier and no token in the server log');
unlike($log, qr/PANIC|terminated by signal (?!9)/, 'no crash of its own');

done_testing();
