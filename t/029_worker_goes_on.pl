# The worker goes on: beside an operator's transaction that stays open, after a mismatch of versions; and it says and
# records what it does: events that become too old while there is no token, one line in the log for each change.
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
my $other = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub drained { return Rehearsal::drained($node, $_[0] // 30) }
sub status { return sql("SELECT status FROM tiktok.event_status WHERE event_id = '$_[0]'") }
sub becomes { return $node->poll_query_until('postgres', "SELECT status = '$_[1]' FROM tiktok.event_status WHERE event_id = '$_[0]'") }
sub id { return sql("SELECT id FROM tiktok.event_status WHERE event_id = '$_[0]'") }
sub copies { return scalar @{ $tiktok->events("?event_id=$_[0]&accepted=true") } }
sub in_flight { return $node->poll_query_until('postgres', "SELECT sum(in_flight) = $_[0] FROM tiktok.worker_status") }

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

# An operator's transaction that stays open; it holds what it has done as a session would.
sub open_decision { return sql("BEGIN; $_[0]; PREPARE TRANSACTION 'decision'") }

# Events of the same source that are recorded now are sent and recorded.
sub goes_on
{
	my ($name) = @_;
	$other++;
	sql(views("other$other"));
	ok(becomes("other$other", 'delivered'), "$name: other events go on");
}

sub settled
{
	my ($event_id, $status, $copies, $name) = @_;
	ok(becomes($event_id, $status), "$name: it ends $status");
	ok(drained(), "$name: finished");
	is(copies($event_id), $copies, "$name: sent as often as it should be");
	is(status($event_id), $status, "$name: it stays so");
	is(sql('SELECT count(*) FROM tiktok.delivery JOIN tiktok.retry USING (id)'), 0, "$name: with one fate");
	ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM tiktok.request WHERE finished_at IS NULL'), "$name: and no request stays open");
}

$tiktok->sources($node);

# On its way in a batch, discarded in a transaction that stays open
for my $end ([ 'COMMIT', 'discarded' ], [ 'ROLLBACK', 'delivered' ])
{
	my ($how, $status) = @$end;
	my $name = "on its way, $how";
	$tiktok->script({ action => 'delay', seconds => 3, when => 'before', match => { event_id => "a$how-7" } });
	sql('BEGIN;' . views(map { "a$how-$_" } 1 .. 20) . 'COMMIT');
	in_flight(1);
	open_decision("SELECT tiktok.discard(" . id("a$how-7") . ")");
	ok($node->poll_query_until('postgres', "SELECT count(*) = 19 FROM tiktok.event_status WHERE event_id ~ '^a$how' AND status = 'delivered'"),
		"$name: the other events of its request are recorded");
	goes_on($name);
	is(status("a$how-7"), 'pending', "$name: it waits");
	is(sql("SELECT tiktok.wait('0 s')"), 'f', "$name: which is not finished");
	sql("$how PREPARED 'decision'");
	settled("a$how-7", $status, 1, $name);
	is(Rehearsal::statuses($node, "event_id ~ '^a$how'"), $status eq 'delivered' ? 'delivered 20' : 'delivered 19, discarded 1', "$name: and all are accounted for");
}

# Held back while the source has trouble, and the sender goes back to what is unrecorded
$tiktok->script({ action => 'delay', seconds => 3, when => 'before', match => { event_id => 'b1' } });
sql(views('b1'));
in_flight(1);
open_decision('SELECT tiktok.discard(' . id('b1') . ')');
sql(views('b2'));
ok(becomes('b2', 'delivered'), 'trouble: another one is delivered');
$tiktok->script({ action => 'code', code => 40105, times => undef });
in_flight(0);
sql(views('b3'));
ok($node->poll_query_until('postgres', "SELECT state = 'open' FROM tiktok.backlog WHERE source = 'shop'"), 'trouble: the source is stopped');
$tiktok->script;
sql("SELECT tiktok.resume('shop')");
ok(becomes('b3', 'delivered'), 'trouble: and goes on');
sql("ROLLBACK PREPARED 'decision'");
settled('b1', 'delivered', 1, 'trouble');

# Waiting to be tried again, discarded in a transaction that stays open
for my $end ([ 'COMMIT', 'discarded', 0 ], [ 'ROLLBACK', 'delivered', 1 ])
{
	my ($how, $status, $copies) = @$end;
	my $name = "retrying, $how";
	$tiktok->script({ action => 'status', status => 503, match => { event_id => "c$how" } });
	sql(views("c$how"));
	ok(becomes("c$how", 'retrying'), "$name: it is retrying");
	sql("SELECT tiktok.pause('shop')");
	sql('UPDATE tiktok.retry SET next_attempt_at = now()');
	open_decision("SELECT tiktok.discard(" . id("c$how") . ")");
	sql("SELECT tiktok.resume('shop')");
	goes_on($name);
	is(status("c$how"), 'retrying', "$name: it waits");
	sql("$how PREPARED 'decision'");
	settled("c$how", $status, $copies, $name);
}

# On its way for the second time, and to be tried again
for my $end ([ 'COMMIT', 'discarded', 0 ], [ 'ROLLBACK', 'delivered', 1 ])
{
	my ($how, $status, $copies) = @$end;
	my $name = "retried, $how";
	$tiktok->script({ action => 'status', status => 503, match => { event_id => "d$how" } });
	sql(views("d$how"));
	ok(becomes("d$how", 'retrying'), "$name: it is retrying");
	in_flight(0);
	$tiktok->script({ action => 'hang', match => { event_id => "d$how" } });
	sql('UPDATE tiktok.retry SET next_attempt_at = now()');
	sql(views("wake$how"));
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM tiktok.request q JOIN tiktok.retry r ON r.last_request_id = q.id WHERE q.finished_at IS NULL");
	open_decision("SELECT tiktok.discard(" . id("d$how") . ")");
	in_flight(0);
	goes_on($name);
	sql("$how PREPARED 'decision'");
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM tiktok.request WHERE finished_at IS NULL");
	sql('UPDATE tiktok.retry SET next_attempt_at = now()');
	settled("d$how", $status, $copies, $name);
}

# Not sent yet, discarded in a transaction that stays open: one alone, and all there are
for my $end ([ 'COMMIT', 'discarded' ], [ 'ROLLBACK', 'delivered' ])
{
	my ($how, $status) = @$end;
	my $name = "pending, $how";
	sql("SELECT tiktok.pause('shop')");
	sql(views("h$how"));
	open_decision("SELECT tiktok.discard(" . id("h$how") . ")");
	sql("SELECT tiktok.resume('shop')");
	goes_on($name);
	is(status("h$how") . copies("h$how"), 'pending0', "$name: it waits");
	sql("$how PREPARED 'decision'");
	settled("h$how", $status, $how eq 'COMMIT' ? 0 : 1, $name);

	$name = "all pending, $how";
	sql("SELECT tiktok.pause('shop')");
	sql("SELECT count(tiktok.track('shop', 'ViewContent', 'i$how' || n, user_data => jsonb_build_object('external_id', n), "
		  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series(1, 2500) n");
	open_decision("SELECT tiktok.discard('shop')");
	sql("SELECT tiktok.resume('shop')");
	sql("SELECT tiktok.track('crm', 'Won', 'i$how', lead => '{\"lead_id\": 7412345678901234567}')");
	ok(becomes("i$how", 'delivered'), "$name: other sources go on");
	is(copies("i${how}1") + copies("i${how}2500"), 0, "$name: they wait");
	sql("$how PREPARED 'decision'");
	ok(drained(60), "$name: finished");
	is(Rehearsal::statuses($node, "event_id ~ '^i$how\\d'"), "$status 2500", "$name: all are $status");
	is(scalar(grep { $_->{event_id} =~ /^i$how\d/ } @{ $tiktok->events('?accepted=true') }), $how eq 'COMMIT' ? 0 : 2500, "$name: sent as often as they should be");
}

# Too old to be sent
sql("SELECT tiktok.pause('shop')");
sql(views('e1') =~ s/'e1',/'e1', event_time => now() - interval '2 days',/r);
open_decision('SELECT tiktok.discard(' . id('e1') . ')');
sql("UPDATE tiktok.source SET max_event_age = '1 day' WHERE name = 'shop'");
sql("SELECT tiktok.resume('shop')");
goes_on('too old');
is(status('e1'), 'pending', 'too old: it waits');
sql("ROLLBACK PREPARED 'decision'");
settled('e1', 'expired', 0, 'too old');
sql("UPDATE tiktok.source SET max_event_age = NULL WHERE name = 'shop'");

# Put back
$tiktok->script({ reject_event_ids => ['f1'] });
sql(views('f1'));
ok(becomes('f1', 'rejected'), 'put back: it was rejected');
$tiktok->script;
open_decision('SELECT tiktok.retry(' . id('f1') . ')');
goes_on('put back');
sql("COMMIT PREPARED 'decision'");
settled('f1', 'delivered', 1, 'put back');
is(sql("SELECT last_error IS NULL FROM tiktok.worker_status"), 't', 'the worker has had no error');

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
	is(sql("SELECT state FROM tiktok.health() WHERE check_name = 'worker'"), 'fail', "version $version: tiktok.health() says that nothing is sent");
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
# What a worker leaves to the next one, when another database needs its process: that it has said what is wrong.  It is forgotten when that is undone.
my $shared = $tiktok->cluster('shared', 'tiktok_events.max_workers' => 1);
my $refuse = 'ALTER TABLE tiktok.cursor FORCE ROW LEVEL SECURITY';
my $mend = 'ALTER TABLE tiktok.cursor NO FORCE ROW LEVEL SECURITY';

sub said { my ($what) = @_; return scalar(() = slurp_file($shared->logfile) =~ /LOG:  tiktok_events: $what/g) }
sub served { return $shared->safe_psql('postgres', "SELECT pid FROM tiktok.worker_status WHERE database = 'postgres'") }

sub view
{
	my ($id) = @_;
	return "SELECT tiktok.track('shop', 'ViewContent', '$id', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')";
}

sub another
{
	my ($pid) = @_;
	return Rehearsal::await('another worker', sub { my $now = served(); return $now && $now ne $pid ? $now : undef });
}

$tiktok->sources($shared);
$shared->safe_psql('postgres', 'CREATE DATABASE other');
$shared->safe_psql('other', 'CREATE EXTENSION tiktok_events');
$tiktok->sources($shared, 'other');
$shared->safe_psql('postgres', "$refuse; " . view('before'));
Rehearsal::await('a refusal', sub { said('nothing is sent in database "postgres"') });
my $first = served();
Rehearsal::await('room for the other database', sub { $shared->safe_psql('other', "SELECT tiktok.pause('app'), tiktok.resume('app')"); return served() eq '' });
$shared->safe_psql('postgres', view('refused'));
another($first // 0);
ok($shared->poll_query_until('postgres', "SELECT state = 'refused' FROM tiktok.worker_status WHERE database = 'postgres'"), 'the next worker refuses the table, too');
is(said('nothing is sent in database "postgres"'), 1, 'which the log has once');
$shared->safe_psql('postgres', $mend);
ok(Rehearsal::drained($shared, 20), 'it goes on when the table is in order');
is(said('the tables of database "postgres" are in order again'), 1, 'which the log has once, too');
my $second = served();
$shared->safe_psql('postgres', "SELECT pg_terminate_backend($second)") if $second;
$shared->safe_psql('postgres', view('after'));
ok(Rehearsal::drained($shared, 20), 'a worker that did not make room leaves nothing');
is(said('the tables of database "postgres" are in order again'), 1, 'the next one knows nothing of the refusal');
$shared->safe_psql('postgres', "$refuse; " . view('again'));
ok(Rehearsal::await('another refusal', sub { said('nothing is sent in database "postgres"') == 2 }), 'and tells of another one');
$shared->stop;

done_testing();
