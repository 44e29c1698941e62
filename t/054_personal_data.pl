# Personal data while the worker runs: a person is forgotten and consent withdrawn while events wait, are in flight and are retried;
# old rows and identifiers are deleted beside deliveries, and never an unfinished event; no log has an identifier.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use JSON::PP;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('personal', 'tiktok_events.request_timeout' => '8s', 'tiktok_events.max_in_flight' => 1, 'log_min_messages' => 'debug5');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub drained { return Rehearsal::drained($node, $_[0] // 30) }
sub status { return sql("SELECT status FROM tiktok.event_status WHERE event_id = '$_[0]'") }
sub is_polled { my ($query, $name) = @_; return ok($node->poll_query_until('postgres', $query), $name) }
sub sent { return $tiktok->events("?event_id=$_[0]") }
sub copies { return scalar grep { $_->{accepted} } @{ sent($_[0]) } }

sub in_flight
{
	is_polled("SELECT sum(in_flight) = 1 FROM tiktok.worker_status", 'on its way');
}

# SQL that records events of shop, each with its own e-mail address, and of leads, which can be matched without
sub views
{
	return join '', map { "SELECT tiktok.track('shop', 'ViewContent', '$_', user_data => '{\"email\": \"canary-$_\@example.com\"}', "
		  . "page => '{\"url\": \"https://shop.example.com/\"}');\n" } @_;
}
sub leads
{
	return join '', map { "SELECT tiktok.track('crm', 'Won', '$_', user_data => '{\"email\": \"canary-$_\@example.com\"}', "
		  . "lead => '{\"lead_id\": \"7412345678901234567\"}');\n" } @_;
}
sub bare_leads { return join '', map { "SELECT tiktok.track('crm', 'Won', '$_', lead => '{\"lead_id\": \"7412345678901234567\"}');\n" } @_ }
sub forget { return sql("SELECT tiktok.forget(email => 'canary-$_[0]\@example.com')") }
sub withdraw { return sql("SELECT tiktok.withdraw_consent('shop', '$_[0]')") }

$tiktok->sources($node);

# Requests that will be old
sql(<<'SQL');
INSERT INTO tiktok.request (source_id, started_at, finished_at, events, first_xid, first_id, last_xid, last_id, bytes)
	SELECT 1, now(), now(), 1, '0', 0, '0', 0, 1 FROM generate_series(1, 1500);
SQL

# While events wait
sql("SELECT tiktok.pause('shop'), tiktok.pause('crm')");
sql(views('wait1', 'wait2', 'wait3') . leads('lead1', 'lead2'));
is(forget('wait1') . forget('lead1') . withdraw('wait2'), '111', 'forgotten and withdrawn while they wait');
sql("SELECT tiktok.resume('shop'), tiktok.resume('crm')");
ok(drained(), 'finished');
is(join(' ', map { status($_) } qw(wait1 wait2 wait3 lead1 lead2)), 'suppressed suppressed delivered delivered delivered', 'the others go');
is(scalar @{ sent('wait1') } + @{ sent('wait2') }, 0, 'nothing of a suppressed one is sent');
my %user;
for my $request (@{ $tiktok->bodies(5) })
{
	$user{ $_->{event_id} } = $_->{user} for @{ decode_json($request->{body})->{data} };
}
ok(exists $user{lead1} && !defined $user{lead1}, 'a lead goes without the identifiers of who was forgotten');
like($user{lead2}{email}, qr/^[0-9a-f]{64}$/, 'another one with its own');

# On its way, and taken: delivered is the truth
$tiktok->script({ action => 'delay', seconds => 5, when => 'before' });
sql(views('taken'));
in_flight();
is(withdraw('taken') . status('taken'), '1suppressed', 'withdrawn on its way it is suppressed');
is_polled("SELECT count(*) = 0 FROM tiktok.request WHERE finished_at IS NULL", 'the answer comes');
is(sql("SELECT status, reason, http_status, attempts FROM tiktok.event_status WHERE event_id = 'taken'"), 'delivered|consent_withdrawn|200|1', 'TikTok took it all the same');
is(copies('taken'), 1, 'once');

# The same in a batch large enough to be recorded at once
my @many = map { "many$_" } 1 .. 40;
sql("SELECT tiktok.pause('shop')");
sql('BEGIN;' . views(@many) . 'COMMIT');
$tiktok->script({ action => 'delay', seconds => 5, when => 'before' });
sql("SELECT tiktok.resume('shop')");
in_flight();
is(withdraw('many7'), 1, 'withdrawn while it is on its way with others');
is_polled("SELECT count(*) = 0 FROM tiktok.request WHERE finished_at IS NULL", 'the answer comes');
is(Rehearsal::statuses($node, "event_id ~ '^many'"), 'delivered 40', 'TikTok took them all');
my $copies = 0;
$copies += copies($_) for @many;
is($copies, 40, 'once');
is(sql("SELECT count(*) FROM tiktok.identity"), 0, 'no identifiers are left');

# What needs no identifier to be sent is not sent again either, whether TikTok refused it, took it, or took it at the moment
$tiktok->script({ reject_event_ids => ['refused'] }, { action => 'delay', seconds => 5, when => 'before', match => { event_id => 'moment' } });
sql(bare_leads('refused', 'accepted', 'other'));
ok(drained(), 'a lead is refused, others are taken');
sql(bare_leads('moment'));
in_flight();
is(sql("SELECT tiktok.withdraw_consent('crm', 'refused'), tiktok.withdraw_consent('crm', 'accepted'), tiktok.withdraw_consent('crm', 'moment')"), '1|0|1', 'consent is withdrawn');
is_polled("SELECT status = 'delivered' FROM tiktok.event_status WHERE event_id = 'moment'", 'the answer comes');
is(join(' ', map { status($_) } qw(refused accepted moment)), 'suppressed delivered delivered', 'what was taken remains so');
$tiktok->script;
for my $lead (qw(refused accepted moment))
{
	my (undef, undef, $err) = $node->psql('postgres', "SELECT tiktok.retry(id, true) FROM tiktok.event_status WHERE event_id = '$lead'");
	like($err, qr/cannot be sent again.*Consent to it has been withdrawn/s, "$lead: tiktok.retry refuses it");
}
is(sql("SELECT tiktok.retry('crm', 'delivered', true)"), 1, 'tiktok.retry leaves them out where it sends another again');
ok(drained(), 'finished');
is(join(' ', map { copies($_) } qw(refused accepted moment other)), '0 1 1 2', 'only that one');

# On its way, and no answer: it is not sent again
$tiktok->script({ action => 'hang' });
sql(views('lost'));
in_flight();
is(forget('lost') . status('lost'), '1suppressed', 'forgotten on its way it is suppressed');
is_polled("SELECT count(*) = 0 FROM tiktok.request WHERE finished_at IS NULL", 'no answer comes');
ok(drained(), 'it is finished');
is(status('lost') . @{ sent('lost') }, 'suppressed1', 'and not sent again');
is(sql("SELECT possibly_received_at IS NOT NULL FROM tiktok.delivery JOIN tiktok.event USING (id) WHERE event_id = 'lost'"), 't', 'TikTok may have it');
sql("SELECT tiktok.resume('shop')");

# What is retried: suppressed while it waits, and while it is on its way the second time
$tiktok->script({ action => 'status', status => 500, when => 'before', times => 1 });
sql(views('again'));
is_polled("SELECT status = 'retrying' FROM tiktok.event_status WHERE event_id = 'again'", 'retried');
is(forget('again'), 1, 'forgotten before the next attempt');
ok(drained(), 'finished');
is(sql("SELECT status, attempts FROM tiktok.event_status WHERE event_id = 'again'") . @{ sent('again') }, 'suppressed|11', 'there is no next attempt');
$tiktok->script({ action => 'status', status => 500, when => 'before', times => 1 }, { action => 'delay', seconds => 5, when => 'before', times => 1 });
sql(views('second'));
is_polled("SELECT status = 'retrying' FROM tiktok.event_status WHERE event_id = 'second'", 'retried');
in_flight();
is(withdraw('second') . status('second'), '1suppressed', 'withdrawn during the second attempt');
is_polled("SELECT count(*) = 0 FROM tiktok.request WHERE finished_at IS NULL", 'the answer comes');
is(status('second'), 'delivered', 'TikTok took it');

# A batch that is to be split after its answer: what is in memory is out of date
sql("SELECT tiktok.pause('shop')");
sql('BEGIN;' . views('good1', 'good2', 'bad', 'gone1', 'gone2', 'good3') . 'COMMIT');
$tiktok->script({ action => 'delay', seconds => 5, when => 'before', times => 1 }, { reject_event_ids => ['bad'], name_index => JSON::PP::false });
sql("SELECT tiktok.resume('shop')");
in_flight();
is(forget('gone1') . withdraw('gone2'), '11', 'forgotten and withdrawn while their batch is on its way');
ok(drained(), 'the batch is refused, and the bad one found');
is(join(' ', map { status($_) } qw(good1 good2 bad gone1 gone2 good3)), 'delivered delivered rejected suppressed suppressed delivered', 'each has its fate');
is(copies('gone1') + copies('gone2'), 0, 'what was taken back does not go with what is left of the batch');
is(copies('good1') + copies('good2') + copies('good3'), 3, 'the others go once');
$tiktok->script;

# Retention: the identifiers of what was refused
is(sql("SELECT count(*) FROM tiktok.identity"), 1, 'a refused event keeps its identifiers');
sql("ALTER SYSTEM SET tiktok_events.identifier_ttl = 1");
$node->reload;
is_polled("SELECT count(*) = 0 FROM tiktok.identity", 'for the time of identifier_ttl');
my ($rc, $out, $err) = $node->psql('postgres', "SELECT tiktok.retry(id) FROM tiktok.event_status WHERE event_id = 'bad'");
like($err, qr/cannot be sent again.*identifiers have been deleted/s, 'then it cannot be sent again');

# While a source is paused or disabled, nothing waits longer than an event may
my $ages = "event_time => now() - make_interval(days => CASE WHEN n <= 2500 THEN 3 ELSE 0 END)";
for my $held (['shop', "SELECT tiktok.pause('shop')", "SELECT tiktok.resume('shop')"],
	['app', "UPDATE tiktok.source SET enabled = false WHERE name = 'app'", "UPDATE tiktok.source SET enabled = true WHERE name = 'app'"])
{
	my ($source, $stop, $go) = @$held;
	my $is_mine = "source = '$source' AND event_id ~ '^aged'";
	sql("$stop; UPDATE tiktok.source SET max_event_age = '4 days' WHERE name = '$source'");
	sql("SELECT count(tiktok.track('$source', 'ViewContent', 'aged' || n, $ages, user_data => '{\"email\": \"canary-aged\@example.com\"}', "
		  . ($source eq 'shop' ? "page => '{\"url\": \"https://shop.example.com/\"}'" : "app => '{\"app_id\": \"7400000000000000002\"}'") . ")) FROM generate_series(1, 2510) n");
	# two that TikTok may have: the operator may yet discard the young one
	sql("INSERT INTO tiktok.retry SELECT e.id, source_id, 1, now() - interval '3 days', now() - interval '3 days', now() FROM tiktok.event e JOIN tiktok.source s ON s.id = source_id "
		  . "WHERE s.name = '$source' AND event_id IN ('aged1', 'aged2510'); SELECT tiktok.retry('$source')");
	sql("UPDATE tiktok.source SET max_event_age = '2 days' WHERE name = '$source'");
	is_polled("SELECT count(*) = 2499 FROM tiktok.event_status WHERE $is_mine AND status = 'expired'", "$source: what is too old expires");
	is(Rehearsal::statuses($node, $is_mine), 'expired 2499, pending 9, retrying 1, uncertain 1', "$source: nothing else has another fate");
	is(sql("SELECT count(*) FROM tiktok.identity JOIN tiktok.event_status USING (id) WHERE $is_mine AND status <> 'uncertain'"), 10, "$source: the identifiers are gone");
	sql($go);
	ok(drained(), "$source: it goes on");
	is(Rehearsal::statuses($node, $is_mine), 'delivered 9, expired 2499, uncertain 2', "$source: what is young enough is sent");
	sql("UPDATE tiktok.source SET max_event_age = NULL WHERE name = '$source'");
}

# Retention: events and requests, beside deliveries, in batches, without what is unfinished or locked
sql("UPDATE tiktok.source SET max_event_age = '1 hour' WHERE name = 'store'; SELECT tiktok.pause('store')");
sql("SELECT count(tiktok.track('store', 'Purchase', 'old' || n, user_data => '{\"email\": \"canary-old\@example.com\"}', properties => '{\"value\": 1, \"currency\": \"EUR\"}')) FROM generate_series(1, 3000) n");
sql(<<'SQL');
INSERT INTO tiktok.delivery (id, status, at) SELECT id, 'delivered', now() - interval '50 days' FROM tiktok.event WHERE event_id ~ '^old' AND event_id !~ '99$';
DELETE FROM tiktok.identity i USING tiktok.delivery d WHERE d.id = i.id;
UPDATE tiktok.event SET enqueued_at = now() - interval '50 days' WHERE event_id ~ '^old';
UPDATE tiktok.request SET started_at = now() - interval '50 days', finished_at = now() - interval '50 days' WHERE bytes = 1;
SQL
my $holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT id FROM tiktok.delivery WHERE id = (SELECT id FROM tiktok.event WHERE event_id = 'old1') FOR UPDATE");
$tiktok->script({ action => 'delay', seconds => 5, when => 'before', times => 1 });
sql(views('beside'));
in_flight();
$node->reload;
is_polled("SELECT count(*) = 31 FROM tiktok.event WHERE event_id ~ '^old'", 'old final events go');
is(sql("SELECT count(*) FROM tiktok.event_status WHERE event_id ~ '^old' AND status = 'pending'"), 30, 'but for the unfinished ones');
is(sql("SELECT status FROM tiktok.event_status WHERE event_id = 'old1'"), 'delivered', 'and one that somebody has locked');
is_polled("SELECT count(*) = 0 FROM tiktok.request WHERE bytes = 1", 'old requests go');
is_polled("SELECT status = 'delivered' FROM tiktok.event_status WHERE event_id = 'beside'", 'nothing has kept up deliveries');
is(sql("SELECT count(*) FROM tiktok.identity i JOIN tiktok.event e USING (id) WHERE event_id ~ '^old'"), 30, 'unfinished events keep their identifiers');
$holder->quit;
$node->reload;
is_polled("SELECT count(*) = 30 FROM tiktok.event WHERE event_id ~ '^old'", 'it goes the next time');
is(sql("SELECT count(*) FROM tiktok.event_status WHERE event_id IN ('taken', 'bad', 'wait1')"), 3, 'younger events stay');
sql("UPDATE tiktok.event SET enqueued_at = now() - interval '3 days' WHERE event_id = 'old99'");
sql("INSERT INTO tiktok.delivery (id, status, at) SELECT id, 'delivered', now() - interval '3 days' FROM tiktok.event WHERE event_id = 'old99'");
sql("SELECT count(tiktok.track('store', 'Purchase', 'young' || n, user_data => '{\"email\": \"canary-young\@example.com\"}', properties => '{\"value\": 1, \"currency\": \"EUR\"}')) FROM generate_series(1, 5000) n");
my ($deleted, $fetched) = split /\|/, sql("SELECT n_tup_del, idx_tup_fetch FROM pg_stat_user_tables WHERE relid = 'tiktok.event'::regclass");
sql("ALTER SYSTEM SET tiktok_events.retention = 1");
sql("ALTER SYSTEM RESET tiktok_events.identifier_ttl");
$node->reload;
is_polled("SELECT count(*) = 0 FROM tiktok.event WHERE event_id = 'old99'", 'a shorter retention');
is_polled("SELECT n_tup_del > $deleted FROM pg_stat_user_tables WHERE relid = 'tiktok.event'::regclass", 'is obeyed');
cmp_ok(sql("SELECT idx_tup_fetch - $fetched FROM pg_stat_user_tables WHERE relid = 'tiktok.event'::regclass"), '<', 3000, 'without a look at all that waits');
is(sql("SELECT count(*) FROM tiktok.event_status WHERE event_id IN ('taken', 'bad', 'wait1')"), 3, 'does not take what TikTok would still take');

# An error does not say whom it was about
(undef, undef, $err) = $node->psql('postgres', "SELECT tiktok.forget(email => 'canary at example.com')");
like($err, qr/email cannot be used/, 'an address that is none is an error');
$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|terminated by signal/, 'no crash');
unlike($log, qr/canary/, 'no identifier in the log');

done_testing();
