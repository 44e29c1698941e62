# Two shards record, a hub delivers, by the statements of docs/scale-out.md: no event is lost or counted twice when the hub and a shard crash
# and another shard fails over; the shards send nothing, learn every fate, and keep no identifier of what was delivered.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use ScaleOut;
use Test::More;
use Time::HiRes qw(time);

my %recipe = ScaleOut::blocks('043_scale_out');
my %used;
my $tiktok = Rehearsal->start;
my $elsewhere = Rehearsal->start;    # hears of every server that should be silent
my %settings = (wal_level => 'logical', max_wal_senders => 10, max_logical_replication_workers => 8, wal_retrieve_retry_interval => '100ms');
my $hub = $tiktok->cluster('hub', %settings);
my @shard = map { $elsewhere->cluster("shard$_", %settings, 'tiktok_events.enabled' => 'off') } 1, 2;

sub sql { my ($node, $sql) = @_; return $node->safe_psql('postgres', $sql) }
sub counted { my ($id) = @_; return scalar @{ $tiktok->events("?event_id=$id&counted=true") } }
sub status { my ($node, $id) = @_; return sql($node, "SELECT string_agg(concat_ws(' ', status, reason), ', ') FROM tiktok.event_status WHERE event_id = '$id'") }
sub final { my ($node) = @_; return sql($node, "SELECT count(*) FROM tiktok.event_status WHERE status IN ('pending', 'retrying')") == 0 }

# Runs a block of the page; a test may edit it first.
sub recipe
{
	my ($what, $node, $n, $edit) = @_;
	local $_ = $recipe{$what} // die "docs/scale-out.md has no block: $what";

	$edit->() if $edit;
	$used{$what} = 1;
	$n //= 1;
	return sql($node, ScaleOut::adapted($_, $n, $hub, $shard[ $n - 1 ]));
}

sub track
{
	my ($node, $id, %more) = @_;
	my $at = $more{event_time} // 'now()';
	my $user = $more{user_data} // '{"external_id": "1"}';
	return sql($node, "SELECT tiktok.track('shop', 'ViewContent', '$id', $at, '$user', page => '{\"url\": \"https://shop.example.com/\"}')");
}

# Set up
for my $node ($hub, @shard)
{
	sql($node, 'DROP EXTENSION tiktok_events');    # the page makes it
	recipe('on every server', $node);
}
recipe('on the hub', $hub);
for my $n (1, 2)
{
	recipe('on the hub for a shard', $hub, $n);
	recipe('on the shard', $shard[ $n - 1 ], $n);
	recipe('on the hub at last', $hub, $n);
}
$hub->wait_for_subscription_sync;
$_->wait_for_subscription_sync for @shard;

# One event after the other: the hub's worker is woken by what is applied, and does not wait for its poll every 5 s
my $started = time;
for my $n (1 .. 6)
{
	track($shard[0], "one-$n");
	Rehearsal::await("fate of one-$n", sub { status($shard[0], "one-$n") eq 'delivered' });
}
my $took = time - $started;
cmp_ok($took, '<', 15, sprintf('from a shard to TikTok and back: %.2f s each', $took / 6));
diag('commit on the shard to reply, ms: ' . sql($hub, "SELECT string_agg(round(1000 * extract(epoch FROM delivered_at - enqueued_at))::text, ' ' ORDER BY id) FROM tiktok.event_status"));
is(sql($_, 'SELECT count(*) FROM tiktok.identity'), 0, $_->name . ' has deleted the identifiers') for $hub, $shard[0];
like(recipe('replication lag', $shard[0]), qr/^tiktok_shard1\|t\|reserved\|\d+$/, 'how far replication is');

# The hub may have sent an event before its own shard shows it: here the shard waits for a synchronous standby that there is not
sub synchronous { my ($node, $name) = @_; $node->append_conf('postgresql.conf', "synchronous_standby_names = '$name'"); $node->reload }
synchronous($shard[1], 'nobody');
my $writer = Rehearsal::writer($shard[1], "SELECT tiktok.track('shop', 'ViewContent', 'early', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')");
Rehearsal::await('its delivery', sub { status($hub, 'early') eq 'delivered' });
$shard[1]->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'logical replication %worker' AND wait_event_type = 'Lock'")
  or die 'the fate does not wait';
is(status($shard[1], 'early'), '', 'an event is delivered before its shard sees it');
synchronous($shard[1], '');
waitpid $writer, 0;
Rehearsal::await('its fate', sub { status($shard[1], 'early') eq 'delivered' });
is(sql($shard[1], 'SELECT count(*) FROM tiktok.identity'), 0, 'and leaves no identifiers there');

# A standby of shard 1 that has what shard 1 has acknowledged
$shard[0]->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($shard[0], 'base', has_streaming => 1);
$standby->start;
synchronous($shard[0], 'standby');
$shard[0]->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'");

# Clients write on both; the hub crashes, then shard 2, then shard 1 for good, and all of that while they write
$tiktok->reset_all;
my @clients = (Rehearsal::client($shard[0], 'a', transactions => 1000), Rehearsal::client($shard[1], 'b', transactions => 60));
Rehearsal::await('deliveries from both shards', sub { my $seen = join ' ', map { $_->{event_id} } @{ $tiktok->events }; $seen =~ /\ba-/ && $seen =~ /\bb-/ });
$hub->stop('immediate');
my $written = sql($shard[0], 'SELECT count(*) FROM tiktok.event');
$shard[0]->poll_query_until('postgres', "SELECT count(*) > $written + 20 FROM tiktok.event");
$shard[1]->stop('immediate');
$shard[1]->start;
$shard[0]->stop('immediate');
kill 'KILL', $clients[0]{pid};    # at any other end it would stop the servers
$standby->promote;
$shard[0] = $standby;
recipe('on a promoted shard', $standby);
my @more = Rehearsal::client($standby, 'c', transactions => 10);
$hub->start;
recipe('copy again on the hub', $hub);
push @more, Rehearsal::client($standby, 'd', transactions => 10);
Rehearsal::await('copies', sub { recipe('copied', $hub) =~ /^\S+\|r\n\S+\|r$/ });
recipe('resume', $hub);
recipe('copy again on the shard', $standby);
my $events = Rehearsal::client_events(@clients, @more);
Rehearsal::await('the hub to have every event', sub { sql($hub, 'SELECT count(*) FROM tiktok.event') == sql($shard[0], 'SELECT count(*) FROM tiktok.event') + sql($shard[1], 'SELECT count(*) FROM tiktok.event') });
ok(Rehearsal::drained($hub, 60), 'the hub delivers');
my $result = $tiktok->compare($hub, $events);
diag("$result->{events} events tried, " . $tiktok->stats->{counted_events} . " counted, $result->{lost} lost, $result->{double} double, $result->{copies} copies");
is($result->{lost}, 0, 'nothing is lost');
is($result->{double}, 0, 'or counted twice');
is_deeply($result->{problems}, [], 'what was acknowledged is there, what was rolled back is not');
is(sql($hub, 'SELECT count(*) FROM tiktok.request r WHERE finished_at IS NULL'), 0, 'no request is open');
for my $n (1, 2)
{
	my $node = $shard[ $n - 1 ];
	Rehearsal::await("fates on shard $n", sub { final($node) });
	is(Rehearsal::statuses($node), Rehearsal::statuses($hub, "id % 16 = $n"), "shard $n knows every fate");
	is(sql($node, 'SELECT count(*) FROM tiktok.identity'), 0, 'and has no identifiers');
	is(sql($node, 'SELECT count(*) FROM tiktok.request'), 0, 'and sent nothing');
}
is(sql($hub, 'SELECT count(*) FROM tiktok.identity'), 0, 'nor has the hub any identifiers');

# A key that another shard has used
track($shard[0], 'same');
Rehearsal::await('the first', sub { status($shard[0], 'same') eq 'delivered' });
track($shard[1], 'same');
Rehearsal::await('the second', sub { status($shard[1], 'same') eq 'invalid duplicate' });
is(counted('same'), 1, 'two shards with the same key are one event, and the second shard says so');
like(slurp_file($hub->logfile), qr/WARNING:  tiktok_events: event \d+ is not sent: event \d+ of the same source has the same event_id/, 'as does the log');
is(sql($hub, 'SELECT count(*) FROM tiktok.identity'), 0, 'its identifiers do not stay');

# What the hub has never sent can be recorded again
sql($hub, "UPDATE tiktok.source SET max_event_age = '10 minutes'");
track($shard[1], 'late', event_time => "now() - interval '1 hour'");
Rehearsal::await('the late one', sub { status($shard[1], 'late') =~ /^expired/ });
track($shard[1], 'late');
Rehearsal::await('the one of now', sub { status($shard[1], 'late') eq 'delivered' });
is(status($hub, 'late'), 'delivered', 'an expired event makes room on shard and hub');
sql($hub, 'UPDATE tiktok.source SET max_event_age = NULL');

# Invalid, suppressed and expired at once: no matter of the hub
track($shard[0], 'old', event_time => "now() - interval '1 month'");
track($shard[0], 'after-old');
Rehearsal::await('the next event', sub { status($shard[0], 'after-old') eq 'delivered' });
is(status($hub, 'old'), '', 'what is not to be sent is not replicated');
like(status($shard[0], 'old'), qr/^expired/, 'and keeps its fate');

# A person asks to be forgotten while the event waits on the hub: on the shard, then on the hub
sql($hub, "SELECT tiktok.pause('shop')");
track($shard[0], 'person', user_data => '{"email": "ana@example.com"}');
Rehearsal::await('the event on the hub', sub { status($hub, 'person') eq 'pending' });
is(sql($_, "SELECT tiktok.forget(email => 'ana\@example.com')"), 1, 'forgotten on ' . $_->name) for $shard[0], $hub;
sql($hub, "SELECT tiktok.resume('shop')");
track($shard[0], 'after-person');
Rehearsal::await('the next event', sub { status($shard[0], 'after-person') eq 'delivered' });
is(status($_, 'person'), 'suppressed forgotten', $_->name . ' suppresses the event') for $shard[0], $hub;
is(counted('person'), 0, 'which is not sent');

# Numbers are in no order of time: what is young on one shard does not hide what is old on another
sql($hub, "SELECT tiktok.pause('shop')");
my ($old) = track($shard[0], 'old-and-refused');
my ($young) = track($shard[1], 'young');
Rehearsal::await('both on the hub', sub { sql($hub, "SELECT count(*) FROM tiktok.identity WHERE id IN ($old, $young)") == 2 });
cmp_ok($young, '<', $old, 'the younger event has the smaller number');
sql($hub, "UPDATE tiktok.event SET enqueued_at = now() - interval '10 days' WHERE id = $old; INSERT INTO tiktok.delivery (id, status, at) VALUES ($old, 'rejected', now() - interval '10 days')");
is(sql($hub, 'SELECT identities FROM tiktok.purge()'), 1, 'identifiers that were kept long enough are deleted');
sql($hub, "SELECT tiktok.resume('shop')");
ok(Rehearsal::drained($hub, 20), 'delivered');

# Copying once more changes nothing
my $before = $tiktok->stats->{accepted_copies};
my $fates = sql($hub, 'SELECT md5(string_agg(d::text, $$ $$ ORDER BY id)) FROM tiktok.delivery d');
sql($hub, 'DROP SUBSCRIPTION tiktok_shard2');
recipe('on the hub at last', $hub, 2);
$hub->wait_for_subscription_sync;
ok(Rehearsal::drained($hub, 20), 'copied once more');
is($tiktok->stats->{accepted_copies}, $before, 'nothing is sent again');
is(sql($hub, 'SELECT md5(string_agg(d::text, $$ $$ ORDER BY id)) FROM tiktok.delivery d'), $fates, 'and no fate changes');
# The hub fails over to a standby that was behind it, and does not know what the other one delivered last
$hub->backup('hub');
my $next = PostgreSQL::Test::Cluster->new('next');
$next->init_from_backup($hub, 'hub', has_streaming => 1);
$next->start;
$hub->wait_for_catchup($next);
$next->append_conf('postgresql.conf', "primary_conninfo = ''");
$next->reload;
$next->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_wal_receiver') or die 'the walreceiver stays';
$tiktok->reset_all;
track($shard[$_], "gap-$_") for 0, 1;
for my $n (0, 1)
{
	Rehearsal::await("gap-$n", sub { status($shard[$n], "gap-$n") eq 'delivered' });
}
$hub->stop('immediate');
track($shard[$_], "down-$_") for 0, 1;
$next->promote;
$hub = $next;
my $slot_gone = sub { s/^(?=DROP SUBSCRIPTION (\S+);)/ALTER SUBSCRIPTION $1 DISABLE;\nALTER SUBSCRIPTION $1 SET (slot_name = NONE);\n/m };
my $slot_there = sub { s/^ALTER SUBSCRIPTION .*\n//mg };
recipe('on a promoted shard', $hub);
recipe('copy again on the hub', $hub, $_, $slot_there) for 1, 2;
$hub->wait_for_subscription_sync;
recipe('on a promoted hub', $hub);
recipe('resume', $hub);
recipe('copy again on the shard', $shard[ $_ - 1 ], $_, $slot_gone) for 1, 2;
for my $n (0, 1)
{
	Rehearsal::await("down-$n", sub { status($shard[$n], "down-$n") eq 'delivered' });
}
ok(Rehearsal::drained($hub, 20), 'the new hub delivers');
is(join(' ', map { status($shard[$_], "gap-$_") } 0, 1), 'delivered delivered', 'what was delivered stays so');
is(join(' ', map { counted($_) } qw(gap-0 gap-1 down-0 down-1)), '1 1 1 1', 'every event is counted once');
is($tiktok->stats->{refused_events}, 0, 'and none is sent without its identifiers');
is($elsewhere->stats->{connections}{https}, 0, 'the shards have connected to nothing');
is_deeply([ sort keys %recipe ], [ sort keys %used ], 'every statement of the page was run');

done_testing();
