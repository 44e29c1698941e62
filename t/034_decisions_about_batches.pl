# Operators decide about some events of a batch, while it is on its way or before it is read: each event gets the status that follows from
# decision and answer, the others are not affected, nothing is sent twice, and the worker has no error. Batches of 32 events or more are
# recorded in bulk, and fates are looked for by a range of ids: both go event by event where somebody has decided.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('batches', log_min_messages => 'warning');
$tiktok->sources($node);
$node->safe_psql('postgres', "INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('other', 'web', 'COTHER'); "
	  . "SELECT tiktok.set_access_token('other', '$Rehearsal::TOKEN')");

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub track
{
	my ($source, $name, $n) = @_;
	sql("SELECT count(tiktok.track('$source', 'ViewContent', '$name-' || n, user_data => jsonb_build_object('external_id', '$name-' || n), "
		  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series(1, $n) n");
}

# Status and reason of each event, with the numbers that have them, in the order of the first.
sub statuses
{
	my ($name) = @_;
	return sql(<<SQL);
SELECT string_agg(format('%s: %s', concat_ws(' ', status, reason), numbers), '; ' ORDER BY first)
FROM (SELECT status, reason, string_agg(number::text, ',' ORDER BY number) AS numbers, min(number) AS first
	FROM (SELECT *, substring(event_id from '[0-9]+\$')::int AS number FROM tiktok.event_status WHERE event_id LIKE '$name-%') s GROUP BY 1, 2) g
SQL
}

sub identifiers { return sql("SELECT count(*) FROM tiktok.identity i JOIN tiktok.event e USING (id) WHERE event_id LIKE '$_[0]-%'") }
sub sent { return scalar grep { $_->{event_id} =~ /^\Q$_[0]\E-/ } @{ $tiktok->events } }
sub list { return join ',', @_ }

my $before = sql('SELECT pid FROM tiktok.worker_status');

# On its way: the answer comes after the decisions
for my $n (4, 31, 32, 300)
{
	my $name = "way$n";

	$tiktok->script({ action => 'delay', seconds => 4 });
	track('shop', $name, $n);
	ok($node->poll_query_until('postgres', 'SELECT sum(in_flight) = 1 FROM tiktok.worker_status'), "$n on their way");
	is(sql("SELECT tiktok.withdraw_consent('shop', '$name-1'), tiktok.forget(external_id => '$name-2'); "
			  . "SELECT tiktok.discard(id) FROM tiktok.event_status WHERE event_id = '$name-3'; SELECT sum(in_flight) FROM tiktok.worker_status"),
		"1|1\n\n1", 'they are decided about before the answer');
	ok(Rehearsal::drained($node, 60), 'finished');
	is(statuses($name), "delivered consent_withdrawn: 1; delivered forgotten: 2; discarded pending: 3; delivered: " . list(4 .. $n), 'as decided and answered');
	is(identifiers($name), 0, 'no identifiers are left');
	is(sent($name), $n, 'each was sent once');
}

# Before it is read
sql("SELECT tiktok.pause('shop')");
track('shop', 'queue', 60);
track('other', 'between', 200);
track('shop', 'queue2', 60);
sql("SELECT tiktok.withdraw_consent('shop', 'queue-' || n) FROM generate_series(1, 60, 2) n");
sql("SELECT tiktok.resume('shop')");
ok(Rehearsal::drained($node, 60), 'finished');
is(statuses('queue'), 'suppressed consent_withdrawn: ' . list(map { 2 * $_ - 1 } 1 .. 30) . '; delivered: ' . list(map { 2 * $_ } 1 .. 30), 'as decided');
is(statuses('queue2'), 'delivered: ' . list(1 .. 60), 'the others are delivered');
is(sent('queue'), 30, 'what was suppressed is not sent');
is(sent('queue2'), 60, 'the others are sent once');

# Many fates of another source between few events
sql("SELECT tiktok.pause('shop')");
track('shop', 'few', 1);
track('other', 'many', 500);
track('shop', 'few2', 1);
$node->poll_query_until('postgres', "SELECT count(*) = 500 FROM tiktok.event_status WHERE event_id LIKE 'many-%' AND status = 'delivered'");
sql("SELECT tiktok.resume('shop')");
ok(Rehearsal::drained($node, 60), 'finished');
is(statuses('few') . statuses('few2'), 'delivered: 1delivered: 1', 'few events among many of another source');
is(sent('few') + sent('few2'), 2, 'are sent once');

is(sql('SELECT pid, last_error IS NULL FROM tiktok.worker_status'), "$before|t", 'the worker has had no error');
$node->stop;
unlike(slurp_file($node->logfile), qr/ERROR:(?!.*canceling)|PANIC|terminated by signal/, 'no error in the log');
done_testing();
