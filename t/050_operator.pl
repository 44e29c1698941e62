# What an operator decides takes effect: pause and resume, retry, discard, test codes.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use JSON::PP;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('control', 'tiktok_events.request_timeout' => '8s');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub drained { return Rehearsal::drained($node, $_[0] // 30) }
sub status { return sql("SELECT status FROM tiktok.event_status WHERE event_id = '$_[0]'") }
sub becomes { return $node->poll_query_until('postgres', "SELECT status = '$_[1]' FROM tiktok.event_status WHERE event_id = '$_[0]'") }
sub id { return sql("SELECT id FROM tiktok.event_status WHERE event_id = '$_[0]'") }
sub copies { return scalar @{ $tiktok->events("?event_id=$_[0]&accepted=true") } }

# SQL that records events of shop
sub views
{
	return join '', map { "SELECT tiktok.track('shop', 'ViewContent', '$_', user_data => '{\"external_id\": 1}', "
		  . "page => '{\"url\": \"https://shop.example.com/\"}');\n" } @_;
}

# Events of leads have no identifiers that could be deleted.
sub lead { return "SELECT tiktok.track('crm', 'Won', '$_[0]', lead => '{\"lead_id\": 7412345678901234567}');\n" }

sub refused
{
	my ($call, $error, $name) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT $call");
	like($err, $error, $name);
}

$tiktok->sources($node);

# Pause and resume
sql("SELECT tiktok.pause('shop', 'price update')");
sql(views('held', 'held2') . lead('free'));
ok(becomes('free', 'delivered'), 'a paused source does not hold up another one');
is(sql("SELECT tiktok.wait('1 s')"), 'f', 'a paused source waits');
is(copies('held'), 0, 'and nothing of it is sent');
is(sql("SELECT state, reason, pending FROM tiktok.backlog WHERE source = 'shop'"), 'paused|price update|2', 'its state says so');
$node->restart;
is(sql("SELECT tiktok.wait('1 s')"), 'f', 'it is still paused after a restart');
sql("SELECT tiktok.resume('shop')");
ok(drained(10), 'a resumed source is sent to');
is(sql("SELECT state FROM tiktok.backlog WHERE source = 'shop'"), 'sending', 'and its state says so');

# Resuming ends the wait of a source that has trouble
$tiktok->script({ action => 'code', code => 40105, times => undef });
sql(views('trouble'));
ok($node->poll_query_until('postgres', "SELECT state = 'open' FROM tiktok.backlog WHERE source = 'shop'"), 'a refused token stops the source');
$tiktok->script;
sql("SELECT tiktok.resume('shop')");
ok(drained(10), 'until it is resumed');
is(status('trouble'), 'delivered', 'and its event is delivered');

# Retry of what TikTok refused
$tiktok->script({ reject_event_ids => [ 'bad', 'bad2', 'bad3' ] });
sql(views('good', 'bad', 'bad2', 'bad3'));
ok(drained(), 'all finished');
is(Rehearsal::statuses($node, "event_id ~ 'bad|good'"), 'delivered 1, rejected 3', 'three are refused');
sql('SELECT tiktok.retry(' . id('bad') . ')');
ok(drained(), 'finished');
is(sql("SELECT status, attempts FROM tiktok.event_status WHERE event_id = 'bad'"), 'rejected|2', 'sent again it is refused again');
$tiktok->script;
sql('SELECT tiktok.retry(' . id('bad') . ')');
ok(drained(), 'finished');
is(sql("SELECT status, attempts FROM tiktok.event_status WHERE event_id = 'bad'"), 'delivered|3', 'and taken when nothing is wrong with it any more');
is(sql("SELECT tiktok.retry('shop')"), 2, 'the other ones by source');
ok(drained(), 'finished');
is(Rehearsal::statuses($node, "event_id ~ 'bad|good'"), 'delivered 4', 'all are delivered');
is(copies('bad') + copies('bad2') + copies('bad3') + copies('good'), 4, 'each was taken once');
is(sql('SELECT count(*) FROM tiktok.identity'), 0, 'and their identifiers are gone');
refused('tiktok.retry(' . id('bad') . ')', qr/cannot be sent again.*allow_double/s, 'what is delivered is not sent again');

# Again on purpose
sql('SELECT tiktok.retry(' . id('free') . ', allow_double => true)');
ok(drained(), 'finished');
is(copies('free'), 2, 'allow_double sends a delivered event again');
is(scalar @{ $tiktok->events('?event_id=free&counted=true') }, 1, 'which is counted once within 48 hours');
sql(lead('lost'));
ok(drained(), 'finished');
sql("UPDATE tiktok.delivery SET status = 'uncertain', possibly_received_at = now() - interval '48 hours' WHERE id = " . id('lost'));
refused('tiktok.retry(' . id('lost') . ')', qr/cannot be sent again.*47 hours/s, 'what may have arrived too long ago is not sent again');
is(sql("SELECT tiktok.retry('crm')"), 0, 'nor by source');
sql('SELECT tiktok.retry(' . id('lost') . ', allow_double => true)');
ok(drained(), 'finished');
is(status('lost'), 'delivered', 'unless it is said so');
is(copies('lost'), 2, 'and sent');

# Discard of what is pending
sql("SELECT tiktok.pause('shop'), tiktok.pause('crm')");
sql(views('d1', 'd2') . lead('d3') . lead('d4'));
is(sql("SELECT tiktok.discard('shop')"), 2, 'pending events are discarded by source');
sql("SELECT tiktok.discard(id) FROM tiktok.event_status WHERE event_id IN ('d3', 'd4')");
is(sql('SELECT count(*) FROM tiktok.identity'), 0, 'with their identifiers');
sql('SELECT tiktok.retry(' . id('d4') . ')');
sql(views('after'));
sql("SELECT tiktok.resume('shop'), tiktok.resume('crm')");
ok(drained(), 'finished');
is(Rehearsal::statuses($node, "event_id ~ '^d\\d'"), 'delivered 1, discarded 3', 'discarded events stay so, but for the one put back');
is(copies('d1') + copies('d2') + copies('d3'), 0, 'and are never sent');
is(copies('d4') . copies('after'), '11', 'that one and the later one are sent once');

# A backlog that was read in part before
sql("UPDATE tiktok.source SET batch_size = 10, requests_per_second = 1 WHERE name = 'shop'");
$tiktok->script({ action => 'delay', seconds => 5, when => 'before', match => { event_source_id => 'CPIXEL0000000001' } });
sql("SELECT count(tiktok.track('shop', 'ViewContent', 'q' || n, user_data => jsonb_build_object('external_id', n), "
	  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series(1, 200) n");
$node->poll_query_until('postgres', "SELECT sum(in_flight) > 0 FROM tiktok.worker_status");
sql("SELECT tiktok.discard('shop')");
sql("UPDATE tiktok.source SET batch_size = 1000, requests_per_second = 50 WHERE name = 'shop'");
ok(drained(), 'finished');
cmp_ok(scalar(grep { $_->{event_id} =~ /^q/ } @{ $tiktok->events('?accepted=true') }), '<=', 40, 'of a backlog only what was on its way arrives');
is(Rehearsal::statuses($node, "event_id ~ '^q' AND status NOT IN ('discarded', 'delivered')"), '', 'and every event has a fate');
is(sql("SELECT count(*) FROM tiktok.delivery JOIN tiktok.retry USING (id)"), 0, 'one of them');
sql(views('later'));
ok(drained(), 'finished');
is(status('later'), 'delivered', 'what comes later is delivered');

# Discard of what is retried, and of what is on its way
$tiktok->script({ action => 'status', status => 500, when => 'after' });
sql(views('tired'));
ok(becomes('tired', 'retrying'), 'an event is retried');
sql('SELECT tiktok.discard(' . id('tired') . ')');
ok(drained(), 'discarded, it is finished');
is(sql("SELECT status, attempts FROM tiktok.event_status WHERE event_id = 'tired'"), 'discarded|1', 'with its attempts');
$tiktok->script({ action => 'delay', seconds => 5, when => 'before' });
sql(views('gone'));
$node->poll_query_until('postgres', "SELECT sum(in_flight) = 1 FROM tiktok.worker_status");
sql('SELECT tiktok.discard(' . id('gone') . ')');
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM tiktok.request WHERE finished_at IS NULL");
is(status('gone') . copies('gone'), 'discarded1', 'what is on its way may arrive, and stays discarded');
$tiktok->script({ action => 'hang' });
sql(views('both'));
$node->poll_query_until('postgres', "SELECT sum(in_flight) = 1 FROM tiktok.worker_status");
sql('SELECT tiktok.discard(' . id('both') . ')');
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM tiktok.request WHERE finished_at IS NULL");
ok(drained(15), 'also when its answer would have been a reason to retry');
is(status('both') . @{ $tiktok->events('?event_id=both') }, 'discarded1', 'it is not sent again');
$tiktok->script({ action => 'delay', seconds => 5, when => 'before' });
sql(lead('twice'));
$node->poll_query_until('postgres', "SELECT sum(in_flight) = 1 FROM tiktok.worker_status");
sql('SELECT tiktok.discard(' . id('twice') . '); SELECT tiktok.retry(' . id('twice') . ')');
ok(drained(15), 'discarded and put back while it is on its way, it is finished');
is(status('twice'), 'delivered', 'and delivered');
is(sql('SELECT count(*) FROM tiktok.delivery JOIN tiktok.retry USING (id)'), 0, 'with one fate');

# A decision in a prepared transaction
sql('BEGIN; SELECT tiktok.retry(' . id('d3') . "); PREPARE TRANSACTION 'p'");
is(status('d3'), 'discarded', 'a prepared decision has not happened yet');
sql("COMMIT PREPARED 'p'");
ok(drained(20), 'its commit is noticed, later');
is(status('d3'), 'delivered', 'and acted upon');

# Test codes
my $real = $tiktok->stats->{counted_events};
sql("SELECT tiktok.set_test_code('shop', 'TEST12345'), tiktok.pause('shop')");
sql('BEGIN; ' . views('r1') . 'SET LOCAL tiktok_events.test_event = on; ' . views('t1', 't2') . 'COMMIT; ' . views('r2'));
sql("SELECT tiktok.set_test_code('shop', 'TEST\"\\6')");
sql('SET tiktok_events.test_event = on; ' . views('t3'));
sql("SELECT tiktok.resume('shop')");
ok(drained(), 'finished');
is(Rehearsal::statuses($node, "event_id ~ '^[rt]\\d'"), 'delivered 5', 'test events are delivered');
is($tiktok->stats->{counted_events}, $real + 2, 'and not counted');
is(sql("SELECT string_agg(event_id, ' ' ORDER BY event_id) FROM tiktok.event_status WHERE is_test"), 't1 t2 t3', 'they are marked');
my %codes;
for my $request (@{ $tiktok->bodies(5) })
{
	my $body = decode_json($request->{body});
	push @{ $codes{ $body->{test_event_code} // '' } }, map { $_->{event_id} } @{ $body->{data} };
}
is_deeply([ map { [ sort @$_ ] } @codes{ 'TEST12345', 'TEST"\6' } ], [ [ 't1', 't2' ], ['t3'] ], 'each code goes at the root of its own request');
ok((!grep { /^t/ } @{ $codes{''} }), 'never with real events');
is(sql('SELECT count(*), sum(events) FROM tiktok.request WHERE is_test'), '2|3', 'and in the records of requests');

# Two codes in one reading of the queue: a transaction of before commits behind what has been read
sql("SELECT tiktok.set_test_code('shop', 'OLD')");
sql('BEGIN; SET LOCAL tiktok_events.test_event = on; ' . views('told') . "PREPARE TRANSACTION 'old'");
sql(views('between'));
ok(becomes('between', 'delivered'), 'read beyond an open transaction');
sql("SELECT tiktok.pause('shop'), tiktok.set_test_code('shop', 'NEW')");
sql('SET tiktok_events.test_event = on; ' . views('tnew'));
sql("COMMIT PREPARED 'old'");
sql("SELECT tiktok.resume('shop')");
ok(drained(), 'finished');
is(join(' ', map { $tiktok->events("?event_id=$_")->[0]{test_event_code} } qw(told tnew)), 'OLD NEW', 'each goes with its own code');
sql("SELECT tiktok.set_test_code('shop', 'TEST7', '1 ms'), pg_sleep(0.01)");
my (undef, undef, $err) = $node->psql('postgres', 'SET tiktok_events.test_event = on; ' . views('t4'));
like($err, qr/no valid test code/, 'a code that is over is not used');

$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|terminated by signal/, 'no crash');

done_testing();
