# A source that is stopped says why it was, whatever comes back later; one that is deleted leaves nothing behind.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('stopped', 'tiktok_events.max_in_flight' => 16, 'tiktok_events.request_timeout' => '4s');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub view
{
	return "SELECT tiktok.track('$_[0]', 'ViewContent', '$_[1]', user_data => '{\"external_id\": 1}', "
	  . "page => '{\"url\": \"https://shop.example.com/\"}');";
}

sub state_of { return sql("SELECT state || ' ' || reason FROM tiktok.backlog WHERE source = '$_[0]'") }

# What the worker keeps of sources in memory, by its own account
sub senders
{
	my $seen = -s $node->logfile;
	sql("SELECT pg_log_backend_memory_contexts(pid) FROM tiktok.worker_status WHERE database = 'postgres'");
	my $log = Rehearsal::await('the contexts in the log', sub { my $log = slurp_file($node->logfile, $seen); $log =~ /Grand total/ && $log });
	return scalar(() = $log =~ /tiktok_events sender/g);
}

# A request is on its way when another one stops the source, and ends like this afterwards.
my %late = (
	accepted => { action => 'delay', seconds => 2 },
	silent => { action => 'hang' },
	slow => { action => 'slow_loris', seconds => 2 });
my @sources = sort keys %late;

sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('$_', 'web', 'C$_')") for @sources;
sql("SELECT tiktok.set_access_token(name, '$Rehearsal::TOKEN') FROM tiktok.source");
$tiktok->script(
	(map { { %{ $late{$_} }, match => { event_id => "late-$_" } } } @sources),
	(map { { action => 'code', code => 40105, times => undef, match => { event_id => "stop-$_" } } } @sources));
sql(join '', map { view($_, "late-$_") } @sources);
$node->poll_query_until('postgres', 'SELECT sum(in_flight) = 3 FROM tiktok.worker_status');
sql(join '', map { view($_, "stop-$_") } @sources);
ok($node->poll_query_until('postgres', 'SELECT count(*) = 3 FROM tiktok.source_state'), 'the sources are stopped');
my $since = sql('SELECT string_agg(since::text, $$ $$ ORDER BY source_id) FROM tiktok.source_state');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM tiktok.request WHERE finished_at IS NULL'), 'and the other requests come back');
isnt(sql("SELECT string_agg(outcome, ' ' ORDER BY source_id) FROM tiktok.request WHERE outcome <> 'stop_credential'"), '', 'with another outcome');
is(state_of($_), 'open stop_credential: code 40105', "$_: the source says why it was stopped") for @sources;
is(sql('SELECT string_agg(since::text, $$ $$ ORDER BY source_id) FROM tiktok.source_state'), $since, 'and since when');

# Another trouble at the next try is another reason
$tiktok->script({ action => 'code', code => 40001, times => undef, match => { event_id => 'stop-accepted' } });
sql("SELECT tiktok.resume('accepted')");
ok($node->poll_query_until('postgres', "SELECT reason = 'stop_configuration: code 40001' FROM tiktok.backlog WHERE source = 'accepted'"),
	'what stops it the next time is the reason then');

# Deleted sources
sql("INSERT INTO tiktok.source (name, event_source, event_source_id) SELECT 'x' || n, 'web', 'CX' || n FROM generate_series(1, 20) n");
ok($node->poll_query_until('postgres', "SELECT count(*) = 20 FROM tiktok.source_state WHERE state = 'no_token'"), 'sources without a token wait');
is(senders(), 23, 'the worker knows them');
sql("DELETE FROM tiktok.source WHERE name ~ '^x'");
ok($node->poll_query_until('postgres', 'SELECT count(*) = 3 FROM tiktok.source_state'), 'when they are deleted their state is');
is(sql('SELECT count(*) FROM tiktok.source_state WHERE source_id NOT IN (SELECT id FROM tiktok.source)'), 0, 'only theirs');
is(sql('SELECT count(*) FROM tiktok.cursor WHERE source_id NOT IN (SELECT id FROM tiktok.source)'), 0, 'and their place in the queue');
is(senders(), 3, 'and the worker forgets them');

# One whose events were deleted by hand while they were on their way
sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('y', 'web', 'CY')");
sql("SELECT tiktok.set_access_token('y', '$Rehearsal::TOKEN')");
$tiktok->script({ action => 'delay', seconds => 2, match => { event_id => 'y' } });
sql(view('y', 'y'));
$node->poll_query_until('postgres', 'SELECT sum(in_flight) = 1 FROM tiktok.worker_status');
sql("DELETE FROM tiktok.event WHERE event_id = 'y'; DELETE FROM tiktok.source WHERE name = 'y'");
ok($node->poll_query_until('postgres', 'SELECT sum(in_flight) = 0 FROM tiktok.worker_status'), 'its answer comes back');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM tiktok.request WHERE finished_at IS NULL'), 'and is recorded');
Rehearsal::await('its end', sub { senders() == 3 }, 30);
sql("SELECT tiktok.resume('slow')");
is(sql("SELECT last_error FROM tiktok.worker_status WHERE database = 'postgres'"), '', 'without an error');

$node->stop;
done_testing();
