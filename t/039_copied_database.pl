# A copy by CREATE DATABASE ... TEMPLATE has the queue of its original, which goes on and sends it.  However late the copy is confirmed, it sends nothing
# again that TikTok would count twice, and everything that was recorded in it.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('node');

sub sql { my ($db, $sql) = @_; return $node->safe_psql($db, $sql) }
sub copies { my ($id) = @_; return scalar @{ $tiktok->events("?event_id=$id") } }
sub states { my ($db) = @_; return sql($db, "SELECT string_agg(event_id || ' ' || status || coalesce(' ' || reason, ''), ', ' ORDER BY id) FROM tiktok.event_status WHERE event_id <> 'first'") }

sub track
{
	my ($db, $id) = @_;
	sql($db, "SELECT tiktok.track('shop', 'ViewContent', '$id', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')");
}

sub databases
{
	my ($names) = @_;
	sql('postgres', "ALTER SYSTEM SET tiktok_events.databases = '$names'");
	$node->reload;
}

# Waits until the worker of a copy has noted that it is one
sub noted
{
	my ($db) = @_;
	return $node->poll_query_until($db, 'SELECT noted_database_oid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND recovered_to IS NOT NULL FROM tiktok.installation');
}

# As if everything in the database had happened three days earlier
sub age
{
	my ($db) = @_;
	sql($db, "UPDATE tiktok.installation SET seen_at = seen_at - interval '3 days', recovered_to = recovered_to - interval '3 days', confirmed_at = confirmed_at - interval '3 days'");
	sql($db, "UPDATE tiktok.request SET started_at = started_at - interval '3 days', finished_at = finished_at - interval '3 days'");
	sql($db, "UPDATE tiktok.retry SET possibly_received_at = possibly_received_at - interval '3 days', first_attempt_at = first_attempt_at - interval '3 days'");
}

# The original: an event delivered, one waiting, one to be tried again that TikTok has not received
$tiktok->sources($node);
track('postgres', 'first');
ok(Rehearsal::drained($node, 20), 'delivered');
sql('postgres', "SELECT tiktok.pause('shop')");
track('postgres', $_) for qw(waiting untried);
sql('postgres', "INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, next_attempt_at) SELECT id, source_id, 0, now(), now() FROM tiktok.event WHERE event_id = 'untried'");

# Four copies: one that a worker finds at once, one that no worker sees before it is confirmed, one that is confirmed at once, and a copy of the first
sql('postgres', 'CREATE DATABASE seen TEMPLATE postgres');
ok(noted('seen'), 'the worker of a copy notes that it is one');
databases('postgres, seen');
sql('postgres', "CREATE DATABASE $_ TEMPLATE postgres") for qw(unseen soon);
sql('postgres', 'CREATE DATABASE again TEMPLATE seen');
track($_, "new-in-$_") for qw(seen unseen soon again);
is(sql('seen', "SELECT state FROM tiktok.backlog WHERE source = 'shop'"), 'paused', 'a copy is paused as its original was');
sql($_, "SELECT tiktok.resume('shop')") for qw(seen unseen soon again);
ok($node->poll_query_until('seen', "SELECT state = 'copied' FROM tiktok.backlog WHERE source = 'shop'"), 'and a copy');
sql('postgres', "SELECT tiktok.resume('shop')");
ok(Rehearsal::drained($node, 20), 'the original sends what waited');
is(states('postgres'), 'waiting delivered, untried delivered', 'and it is delivered');

# Confirmed at once, a copy sends it, too, and TikTok drops the copies
databases('*');
sql('soon', 'SELECT tiktok.confirm_database()');
ok(Rehearsal::drained($node, 20, 'soon'), 'confirmed at once');
is(states('soon'), 'waiting delivered, untried delivered, new-in-soon delivered', 'a copy sends everything');
is(copies('waiting'), 2, 'what its original has sent, again');
is($tiktok->stats->{duplicate_copies}, 2, 'which TikTok drops');

# Three days later TikTok would count them
$tiktok->control('POST', 'clock', { offset_seconds => 3 * 86400 });
databases('postgres, seen');
my $counted = $tiktok->stats->{counted_events};
for my $case ([ 'seen', 'new-in-seen delivered' ], [ 'again', 'new-in-again uncertain restore_gap' ], [ 'unseen', 'new-in-unseen uncertain restore_gap' ])
{
	my ($db, $new) = @$case;

	age($db);
	sql($db, 'SELECT tiktok.confirm_database()');
	databases('*') unless $db eq 'seen';
	ok(Rehearsal::drained($node, 20, $db), "$db: confirmed three days later");
	my ($waiting, $untried) = map { "$_ uncertain " . ($_ eq 'untried' || $db eq 'again' ? 'retry_horizon' : 'restore_gap') } qw(waiting untried);
	is(states($db), "$waiting, $untried, $new", 'what the original may have sent is not sent');
}
is($tiktok->stats->{counted_events}, $counted + 1, 'only what was recorded in a copy after its worker came');
is(copies('waiting') + copies('untried'), 4, 'nothing else');

# What is no copy is not taken for one
my $before = sql('seen', 'SELECT recovered_to, recovered_xid FROM tiktok.installation');
sql('postgres', 'ALTER DATABASE seen RENAME TO renamed');
track('renamed', 'after-rename');
ok(Rehearsal::drained($node, 20, 'renamed'), 'a renamed database sends');
is(sql('renamed', 'SELECT recovered_to, recovered_xid FROM tiktok.installation'), $before, 'and is no copy');
$node->stop;

done_testing();
