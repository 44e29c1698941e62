# Bad events in a batch: they alone are rejected, the others arrive, and finding them costs few requests.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('isolation', 'tiktok_events.max_in_flight' => '1');

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A batch of 1000 events with some bad ones; returns how many requests it took.
sub batch
{
	my ($source, $bad, %rule) = @_;
	sql("INSERT INTO tiktok.source (name, event_source, event_source_id, requests_per_second) VALUES ('$source', 'web', 'C$source', 1000)");
	$tiktok->reset_all;
	$tiktok->script({ reject_event_ids => [ map { "$source-$_" } @$bad ], %rule }) if @$bad;
	sql("SELECT count(tiktok.track('$source', 'ViewContent', '$source-' || n, user_data => jsonb_build_object('external_id', n), "
		  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series(1, 1000) n");
	sql("SELECT tiktok.set_access_token('$source', '$Rehearsal::TOKEN')");
	Rehearsal::drained($node, 30) or diag(sql("SELECT * FROM tiktok.backlog") . sql("SELECT outcome, count(*), min(started_at), max(finished_at), avg(finished_at - started_at) FROM tiktok.request JOIN tiktok.source s ON s.id = source_id WHERE name = '$source' GROUP BY 1"));
	return $tiktok->stats->{requests};
}

for my $k (split / /, $ENV{K} // '1 2 5 20')
{
	my @bad = map { 37 + 45 * $_ } 0 .. $k - 1;
	for my $named (1, 0)
	{
		my $source = "k$k" . ($named ? 'named' : 'halved');
		my $requests = batch($source, \@bad, $named ? () : (name_index => JSON::PP::false));
		my $good = 1000 - $k;
		is(Rehearsal::statuses($node, "source = '$source'"), "delivered $good, rejected $k", "$source: only the culprits are rejected");
		is($tiktok->stats->{counted_events}, $good, "$source: all others arrive");
		is($tiktok->stats->{duplicate_copies}, 0, "$source: once");
		cmp_ok($requests, '<=', $named ? 3 * $k + 1 : 20 * $k + 1, "$source: $requests requests");
	}
}
is(sql("SELECT DISTINCT reason, code, http_status FROM tiktok.event_status WHERE status = 'rejected'"), 'code 40002|40002|400',
	'with the code of TikTok');
is(sql("SELECT count(*) FROM tiktok.event_status WHERE status = 'rejected' AND source LIKE '%named' AND message NOT LIKE 'Batch.0.event_id%'"), 0,
	'and its message about the event alone');

# All bad: it stops
sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('bad', 'web', 'Cbad')");
$tiktok->reset_all;
$tiktok->script({ action => 'code', code => 40002, times => undef, match => { event_source_id => 'Cbad' } });
sql("SELECT count(tiktok.track('bad', 'ViewContent', 'bad-' || n, user_data => jsonb_build_object('external_id', n), "
	  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series(1, 1000) n");
sql("SELECT tiktok.set_access_token('bad', '$Rehearsal::TOKEN')");
ok($node->poll_query_until('postgres', "SELECT state = 'open' FROM tiktok.backlog WHERE source = 'bad'"), 'a batch where all are bad stops the source');
is(Rehearsal::statuses($node, "source = 'bad'"), 'pending 992, rejected 8', 'after eight refusals');
is(sql("SELECT reason FROM tiktok.backlog WHERE source = 'bad'"), 'refused: code 40002', 'and why');
cmp_ok($tiktok->stats->{requests}, '<=', 30, 'and few requests: ' . $tiktok->stats->{requests});
cmp_ok(batch('beside', []), '<=', 4, 'other sources go on, beside a few probes');
$tiktok->script;
sql("SELECT tiktok.resume('bad')");
ok(Rehearsal::drained($node, 30), 'an operator resumes it');
is(Rehearsal::statuses($node, "source = 'bad'"), 'delivered 992, rejected 8', 'and the rest arrives');

$node->stop;
done_testing();
