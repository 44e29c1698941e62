# The worker goes on after a mismatch of versions; and it says and records what it does: events that become too old
# while there is no token, one line in the log for each change.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep time);

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('worker', 'tiktok_events.request_timeout' => '4s', 'log_min_messages' => 'warning');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub drained { return Rehearsal::drained($node, $_[0] // 30) }
sub status { return sql("SELECT status FROM tiktok.event_status WHERE event_id = '$_[0]'") }
sub becomes { return $node->poll_query_until('postgres', "SELECT status = '$_[1]' FROM tiktok.event_status WHERE event_id = '$_[0]'") }

sub views
{
	return join '', map { "SELECT tiktok.track('shop', 'ViewContent', '$_', user_data => '{\"external_id\": 1}', "
		  . "page => '{\"url\": \"https://shop.example.com/\"}');\n" } @_;
}

# Has the log that line so often, before long?
sub says
{
	my ($line, $times) = @_;
	for (1 .. 300)
	{
		return 1 if (() = slurp_file($node->logfile) =~ /LOG:  tiktok_events: \Q$line\E$/mg) >= ($times // 1);
		sleep 0.1;
	}
	return 0;
}

$tiktok->sources($node);

# Without a token events become too old all the same
sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('mute', 'web', 'CMUTE')");
sql("SELECT count(tiktok.track('mute', 'ViewContent', 'g' || n, event_time => now() - make_interval(days => CASE WHEN n <= 2500 THEN 3 ELSE 0 END), "
	  . "user_data => jsonb_build_object('external_id', n), page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series(1, 2510) n");
is(sql("SELECT pending, state FROM tiktok.backlog WHERE source = 'mute'"), '2510|no_token', 'without a token events wait');
my $since = sql("SELECT since FROM tiktok.backlog WHERE source = 'mute'");
sql("UPDATE tiktok.source SET max_event_age = '2 days' WHERE name = 'mute'");
ok($node->poll_query_until('postgres', "SELECT pending = 10 FROM tiktok.backlog WHERE source = 'mute'"), 'until they are too old');
is(Rehearsal::statuses($node, "source = 'mute'"), 'expired 2500, pending 10', 'which is their fate');
is(sql("SELECT count(*) FROM tiktok.identity i JOIN tiktok.event e USING (id) WHERE e.event_id ~ '^g'"), 10, 'and their identifiers are gone');
$node->restart;
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM tiktok.worker_status WHERE state = 'idle'");
is(sql("SELECT since = '$since' FROM tiktok.backlog WHERE source = 'mute'"), 't', 'a restart does not change since when');
sql("SELECT tiktok.set_access_token('mute', '$Rehearsal::TOKEN')");
ok(drained(), 'with a token: finished');
is(Rehearsal::statuses($node, "source = 'mute'"), 'delivered 10, expired 2500', 'the others are delivered');
sql("SELECT tiktok.set_access_token('mute', NULL)");
ok($node->poll_query_until('postgres', "SELECT state = 'no_token' FROM tiktok.backlog WHERE source = 'mute'"), 'the token is taken away');
sql("SELECT tiktok.set_access_token('mute', '$Rehearsal::TOKEN')");
ok($node->poll_query_until('postgres', "SELECT state = 'sending' FROM tiktok.backlog WHERE source = 'mute'"), 'and given back');
sql("SELECT tiktok.pause('mute', 'private reason')");
ok(says('nothing is sent to source "mute" for now: it is paused'), 'the log says that it is paused');
sql("SELECT tiktok.resume('mute')");
ok(says('source "mute" is sent to again', 3), 'and that it is resumed');
my @said = slurp_file($node->logfile) =~ /LOG:  tiktok_events: (.*"mute".*)/g;
is_deeply(\@said, [ map { ("nothing is sent to source \"mute\" for now: $_", 'source "mute" is sent to again') }
	  'no access token is set', 'no access token is set', 'it is paused' ], 'the log has a line for each change')
  or diag(join "\n", @said);

# An extension of another version than the library
for my $version ('9.9', '0.9')
{
	my $pid = sql('SELECT pid FROM tiktok.worker_status');
	sql("UPDATE pg_extension SET extversion = '$version' WHERE extname = 'tiktok_events'");
	sql(views("v$version"));
	ok($node->poll_query_until('postgres', "SELECT state = 'version_mismatch' FROM tiktok.worker_status"), "version $version: the worker idles");
	like(sql('SELECT last_error FROM tiktok.worker_status'), qr/version "\Q$version\E" of extension tiktok_events does not fit/, "version $version: and says why");
	sql(views("w$version"));
	sql("SELECT tiktok.wait('3 s')");
	is(status("v$version") . status("w$version"), 'pendingpending', "version $version: nothing is sent");
	is(sql('SELECT pid, state FROM tiktok.worker_status'), "$pid|version_mismatch", "version $version: it is still the same worker");
	if ($version eq '9.9')
	{
		sql("UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'tiktok_events'");
	}
	else
	{
		# just after it has looked by itself
		my $turn = sql('SELECT heartbeat FROM tiktok.worker_status');
		$node->poll_query_until('postgres', "SELECT heartbeat > '$turn' FROM tiktok.worker_status");
		my $started = time;
		sql("BEGIN; UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'tiktok_events'; ALTER EXTENSION tiktok_events UPDATE; COMMIT");
		ok(becomes("v$version", 'delivered'), 'ALTER EXTENSION wakes it');
		cmp_ok(time - $started, '<', 3, 'at once');
	}
	ok(drained(), "version $version: mended, it goes on");
	is(status("v$version") . status("w$version"), 'delivereddelivered', "version $version: and delivers what has waited");
	is(scalar(() = slurp_file($node->logfile) =~ /WARNING:  tiktok_events: version "\Q$version\E"/g), 1, "version $version: one warning was enough");
}

$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|terminated by signal|lock timeout|private reason|example\.com/, 'no crash, no lock timeout, and nothing private in the log');
done_testing();
