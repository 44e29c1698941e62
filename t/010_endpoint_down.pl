# The endpoint is away, not to be trusted, or out of its mind: nothing is lost, and it is delivered afterwards.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('trouble', 'tiktok_events.request_timeout' => '2s', 'tiktok_events.connect_timeout' => '1s');
my $n = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub track
{
	my $source = $_[0] // 'shop';
	my $id = 'e' . ++$n;
	sql("SELECT tiktok.track('$source', 'ViewContent', '$id', user_data => '{\"external_id\": $n}', "
		  . "page => '{\"url\": \"https://shop.example.com/\"}')");
	return $id;
}

sub status { return sql("SELECT status FROM tiktok.event_status WHERE event_id = '$_[0]'") }

sub reload
{
	my ($setting, $value) = @_;
	$node->append_conf('postgresql.conf', "$setting = '$value'");
	$node->reload;
}

sub failed_request
{
	my ($outcome) = @_;
	return $node->poll_query_until('postgres', "SELECT count(*) > 0 FROM tiktok.request WHERE outcome = '$outcome'");
}

# No token
sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'CPIXEL0000000001')");
my $id = track();
is(sql("SELECT tiktok.wait('1 s')"), 'f', 'without a token an event waits');
is(sql('SELECT count(*) FROM tiktok.request'), 0, 'and nothing is sent');
sql("SELECT tiktok.set_access_token('shop', '$Rehearsal::TOKEN')");
ok(Rehearsal::drained($node, 10), 'a token sends it');

# Sending switched off
reload('tiktok_events.enabled', 'off');
$id = track();
is(sql("SELECT tiktok.wait('1 s')"), 'f', 'with tiktok_events.enabled = off it waits');
reload('tiktok_events.enabled', 'on');
ok(Rehearsal::drained($node, 10), 'and goes when it is on again');
reload('tiktok_events.enabled', 'off');
$id = track();
$node->restart;
reload('tiktok_events.enabled', 'on');
ok(Rehearsal::drained($node, 3), 'also in a server that was started with it off');

# Nobody listens
reload('tiktok_events.endpoint', 'https://127.0.0.1:9/open_api/v1.3/event/track/');
$id = track();
ok(failed_request('stop_endpoint'), 'a refused connection is noted');
is(status($id), 'pending', 'and costs the event nothing');
like(sql('SELECT state || reason FROM tiktok.source_state'), qr/^open/, 'the source says why it waits');
reload('tiktok_events.endpoint', $tiktok->{https_url});
ok(Rehearsal::drained($node, 60), 'it is delivered when the endpoint is back');
is(sql('SELECT count(*) FROM tiktok.source_state'), 0, 'and the source is open again');

# Certificates that are not to be trusted
for my $certificate (qw(self_signed expired wrong_host))
{
	sql('TRUNCATE tiktok.request');
	$tiktok->control('POST', 'certificate', { certificate => $certificate });
	reload('tiktok_events.log_requests', 'off');    # new connections
	my $before = $tiktok->stats->{requests};
	$id = track();
	ok(failed_request('stop_endpoint'), "certificate $certificate: refused");
	is($tiktok->stats->{requests}, $before, "certificate $certificate: no request, so no token, was sent");
	$tiktok->control('POST', 'certificate', { certificate => 'good' });
	ok(Rehearsal::drained($node, 60), "certificate $certificate: delivered with a good one");
	is(status($id), 'delivered', "certificate $certificate: its event is delivered");
}

# Answers that are no success: one source for each, because each has its own breaker
my %fault = (
	html => { action => 'html' },
	empty => { action => 'empty' },
	cut => { action => 'cut_json' },
	array => { action => 'json_array' },
	text => { action => 'code_string' },
	busy => { action => 'status', status => 503 },
	reset => { action => 'reset_after_body' },
	hang => { action => 'hang' },
	throttled => { action => 'code', code => 40100 },
	revoked => { action => 'code', code => 40105, times => undef },
	moved => { action => 'redirect', location => 'https://127.0.0.1:9/' });
sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('$_', 'web', 'C$_')") for sort keys %fault;
sql("SELECT tiktok.set_access_token(name, '$Rehearsal::TOKEN') FROM tiktok.source");
$tiktok->script(map { { %{ $fault{$_} }, match => { event_source_id => "C$_" } } } sort keys %fault);
track($_) for sort keys %fault;
$node->poll_query_until('postgres', "SELECT count(DISTINCT source_id) = 11 FROM tiktok.request WHERE finished_at IS NOT NULL AND source_id > 1");
# (a request on a kept connection that is reset is sent again by libcurl itself)
is(sql("SELECT coalesce(string_agg(name, ' '), '') FROM (SELECT DISTINCT ON (source_id) source_id, outcome FROM tiktok.request WHERE source_id > 1 ORDER BY source_id, id) first JOIN tiktok.source s ON s.id = source_id "
		  . "WHERE outcome = 'delivered' AND name <> 'reset'"), '', 'none of the answers is taken for success');
ok($node->poll_query_until('postgres', "SELECT count(*) = 10 FROM tiktok.event_status WHERE source <> 'shop' AND status = 'delivered'"),
	'the events are delivered later');
is(sql("SELECT string_agg(source || ' ' || status || ' ' || attempts, ', ' ORDER BY source) FROM tiktok.event_status WHERE source IN ('revoked', 'throttled')"),
	'revoked pending 0, throttled delivered 1', 'throttling and a revoked token cost an event nothing');
is(sql("SELECT string_agg(name || ' ' || reason, ', ' ORDER BY name) FROM tiktok.source_state JOIN tiktok.source ON id = source_id"),
	'revoked stop_credential: code 40105', 'and the source says why it waits');
is(scalar @{ $tiktok->events('?counted=true') }, $n - 1, 'every other event is counted once');

$node->stop;
done_testing();
