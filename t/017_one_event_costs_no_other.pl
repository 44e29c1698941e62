# What happens to one event never costs another: one that always fails, one that an edge refuses, many that are
# refused, a source that hangs, codes about frequency and tokens; and any of it at random (SEED, ROUNDS).
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use JSON::PP;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep time);

my $tiktok = Rehearsal->start('--keep-bodies', '0');
my $node = $tiktok->cluster('costs', 'tiktok_events.request_timeout' => '5s', 'tiktok_events.endpoint' => $tiktok->{http_url});

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub source
{
	my ($name, $token) = @_;
	sql("INSERT INTO tiktok.source (name, event_source, event_source_id, batch_size) VALUES ('$name', 'web', 'C$name', 200)");
	sql("SELECT tiktok.set_access_token('$name', '" . ($token // $Rehearsal::TOKEN) . "')");
}

# Events with ids NAME-FROM to NAME-TO
# Those of one name after another, in one transaction: name => [ from, to ], ...
sub events_of
{
	my ($name, @ranges) = @_;
	my $sql = '';
	while (my ($event, $range) = splice @ranges, 0, 2)
	{
		$sql .= "SELECT count(tiktok.track('$name', '$event', '$name-' || n, user_data => jsonb_build_object('external_id', n), "
		  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series($range->[0], $range->[1]) n;";
	}
	sql("BEGIN; $sql COMMIT");
}

sub events { my ($name, $from, $to) = @_; events_of($name, ViewContent => [ $from, $to ]) }

sub always { return { @_, times => undef } }

# How many seconds until the events of that source but these are delivered; undef: they are not
sub delivered_within
{
	my ($name, $culprits, $seconds) = @_;
	my $others = join ', ', map { "'$name-$_'" } @$culprits;
	my $start = time;

	while (time - $start < $seconds)
	{
		return time - $start if sql("SELECT count(*) = 0 FROM tiktok.event_status WHERE source = '$name' AND status <> 'delivered' AND event_id NOT IN ($others)") eq 't';
		sleep 0.2;
	}
	diag(Rehearsal::statuses($node, "source = '$name'") . ' ' . sql("SELECT * FROM tiktok.backlog WHERE source = '$name'"));
	return;
}

sub finished
{
	my ($where) = @_;
	return $node->poll_query_until('postgres', "SELECT count(*) = 0 FROM tiktok.event_status WHERE $where AND status IN ('pending', 'retrying')");
}

sub requests_of { return sql("SELECT count(*) FROM tiktok.request r JOIN tiktok.source s ON s.id = source_id WHERE name = '$_[0]'") }
sub status_of { return sql("SELECT status FROM tiktok.event_status WHERE event_id = '$_[0]'") }
sub state_of { return sql("SELECT state FROM tiktok.backlog WHERE source = '$_[0]'") }

# 1. One event of 200 always fails; there is traffic beside it.
my %fails = (
	status => { action => 'status', status => 503 },
	code => { action => 'code', code => 50000 },
	reset => { action => 'reset_after_body' },
	hang => { action => 'hang' });
for my $how (sort keys %fails)
{
	my $name = "always$how";
	source($name);
	$tiktok->script(always(%{ $fails{$how} }, match => { event_id => "$name-77" }));
	events($name, 1, 200);
	for my $n (201 .. 210)
	{
		events($name, $n, $n);
		sleep 0.3;
	}
	# the halves of 200 events: eight time-outs of five seconds at most
	my $bound = $how eq 'hang' ? 50 : 15;
	my $took = delivered_within($name, [77], $bound);
	ok(defined $took, "one event in 200 always fails ($how): all others are delivered") and diag(sprintf '%s: %.1f s, %d requests', $name, $took, requests_of($name));
	is(status_of("$name-77"), 'retrying', 'it is tried again by itself');
	cmp_ok(requests_of($name), '<=', 40, 'with few requests');
	is(state_of($name), 'sending', 'and the source is sent to');
}

# 2. An edge refuses the oldest event, with each status that it may use.
my @statuses = (302, 401, 403, 404, 405, 406, 410, 414, 418, 429, 451);
source("edge$_") for @statuses;
$tiktok->script(map { always(action => 'status', status => $_, match => { event_id => "edge$_-1" }) } @statuses);
events("edge$_", 1, 1) for @statuses;
sleep 0.5;
events("edge$_", 2, 20) for @statuses;
for my $status (@statuses)
{
	my $name = "edge$status";
	ok(defined delivered_within($name, [1], 15), "an edge refuses one event with $status: all others are delivered");
	is(sql("SELECT status || ' ' || coalesce(http_status, 0) FROM tiktok.event_status WHERE event_id = '$name-1'"), "retrying $status", 'the event shows why');
	is(state_of($name), 'sending', 'and the source is sent to');
	cmp_ok(requests_of($name), '<=', 12, 'with few requests: ' . requests_of($name));
}

# All of them refused: the source stops, and says by what
source('blocked');
$tiktok->script(always(action => 'status', status => 403, match => { event_source_id => 'Cblocked' }));
events('blocked', 1, 1);
events('blocked', 2, 2);
ok($node->poll_query_until('postgres', "SELECT state = 'open' FROM tiktok.backlog WHERE source = 'blocked'"), 'an edge that refuses all stops the source');
is(sql("SELECT reason FROM tiktok.backlog WHERE source = 'blocked'"), 'blocked: http 403 without code', 'which says why');
$tiktok->script;
ok(defined delivered_within('blocked', [0], 60), 'when it lets them pass, all are delivered');

# 3. 40 refused events, then 5 good ones; 1000 bad rows of one trigger with others between
source('refused');
my @refused = map { "refused-$_" } 1 .. 40;
$tiktok->script({ reject_event_ids => \@refused, name_index => JSON::PP::false });
events('refused', 1, 45);
ok(finished("source = 'refused'"), '40 refused events and 5 good ones are finished');
is(Rehearsal::statuses($node, "source = 'refused'"), 'delivered 5, rejected 40', 'as they should be');
cmp_ok(requests_of('refused'), '<=', 100, 'with few requests: ' . requests_of('refused'));

source('trigger');
$tiktok->script(always(action => 'code', code => 40002, match => { event_source_id => 'Ctrigger', event => 'Lead' }));
# all in one batch: had the others been accepted before the first is refused, eight refusals would stop the source
events_of('trigger', Lead => [ 1, 300 ], ViewContent => [ 301, 305 ], Lead => [ 306, 400 ]);
my $start = time;
ok(defined delivered_within('trigger', [ 1 .. 300, 306 .. 400 ], 15), 'events of another name are delivered at once')
  and diag(sprintf 'behind 300 refused: %.1f s', time - $start);
is(sql("SELECT source || ' ' || event || ' ' || (waiting > 0) FROM tiktok.backlog_kind"), 'trigger Lead true', 'those that are refused wait in tiktok.backlog_kind');
ok(finished("source = 'trigger'"), 'they are finished, too');
is(Rehearsal::statuses($node, "source = 'trigger'"), 'delivered 5, rejected 395', 'without a pause');

# 4. Events of a source that hangs, one of another source
source($_) for qw(hanging other);
$tiktok->script(always(action => 'hang', match => { event_source_id => 'Changing' }));
events('hanging', 1, 4000);
sleep 1;
events('other', 1, 1);
my $took = delivered_within('other', [0], 20);
cmp_ok($took // 99, '<=', 3, 'a source that hangs leaves slots to another one') and diag(sprintf 'beside a source that hangs: %.1f s', $took);
$tiktok->reset_all;
sql("SELECT tiktok.discard('hanging'::text, 'retrying'), tiktok.discard('hanging'::text, 'pending')");
ok(finished("source = 'hanging'"), 'finished');

# 5. Codes about frequency and tokens reject nobody, and the first one costs two seconds
my @frequent = (40016, 40100, 40133);
my @token = (40106, 40107, 40109, 40112, 40115, 40116, 40119, 40010, 40013, 40014);
$tiktok->control('POST', 'tokens', { tokens => [ $Rehearsal::TOKEN, map { "token-$_" } @frequent, @token ] });
source("code$_", "token-$_") for @frequent, @token;
$tiktok->script((map { { action => 'code', code => $_, match => { event_source_id => "Ccode$_" } } } @frequent),
	map { always(action => 'code', code => $_, match => { event_source_id => "Ccode$_" }) } @token);
events("code$_", 1, 3) for @frequent, @token;
ok(defined delivered_within("code$_", [0], 6), "code $_: delivered after two seconds") for @frequent;
is(Rehearsal::statuses($node, "source = 'code$_'") . ' ' . state_of("code$_"), 'pending 3 open', "code $_ stops the source and rejects nobody") for @token;
$tiktok->script;
sql("SELECT tiktok.resume(name) FROM tiktok.source WHERE name ~ '^code'");
ok(finished("source ~ '^code'"), 'when it is over, all are delivered');
is(sql("SELECT count(*) FROM tiktok.event_status WHERE source ~ '^code' AND status <> 'delivered'"), 0, 'none is rejected');

# Any subset of the events of three sources, by any of it
my $seed = $ENV{SEED} // 1;
for my $round (1 .. $ENV{ROUNDS} // 2)
{
	my %culprit;
	my @rules;
	my @kinds = ([ status => { action => 'status', status => 503 } ], [ edge => { action => 'status', status => 403 } ],
		[ code => { action => 'code', code => 40002 } ], [ system => { action => 'code', code => 50002 } ],
		[ reset => { action => 'reset_after_body' } ], [ hang => { action => 'hang' } ], [ large => { action => 'status', status => 413 } ]);

	srand($seed + $round);
	source("r$round$_") for 'a' .. 'c';
	for (1 .. 6)
	{
		my $id = "r$round" . chr(97 + int rand 3) . '-' . (1 + int rand 300);
		next if $culprit{$id};
		my ($kind, $rule) = @{ $kinds[rand @kinds] };
		$culprit{$id} = $kind;
		push @rules, always(%$rule, match => { event_id => $id });
	}
	push @rules, { action => 'delay', seconds => 3, times => 2 };
	$tiktok->script(@rules);
	note('round ' . ($seed + $round) . ': ' . join ', ', map { "$_ $culprit{$_}" } sort keys %culprit);
	events("r$round$_", 1, 300) for 'a' .. 'c';
	for my $source ('a' .. 'c')
	{
		my @own = map { /^r$round$source-(\d+)$/ ? $1 : () } keys %culprit;
		my $took = delivered_within("r$round$source", [ 0, @own ], 120);
		ok(defined $took, "round $round, source $source: every innocent event is delivered") and diag(sprintf '%.1f s, %d requests', $took, requests_of("r$round$source"));
	}
	for my $id (sort keys %culprit)
	{
		my $expected = $culprit{$id} =~ /code|large/ ? 'rejected' : 'retrying';
		ok($node->poll_query_until('postgres', "SELECT status = '$expected' FROM tiktok.event_status WHERE event_id = '$id'"), "$id ($culprit{$id}): $expected")
		  or diag(sql("SELECT * FROM tiktok.event_status WHERE event_id = '$id'"));
	}
	sql("SELECT tiktok.discard(name, 'retrying') FROM tiktok.source WHERE name ~ '^r$round'");
	$tiktok->script;
}
is($tiktok->stats->{duplicate_events} // 0, 0, 'nothing counts twice');

$node->stop;
unlike(slurp_file($node->logfile), qr/ERROR|PANIC|terminated by signal/, 'and no error is logged');
done_testing();
