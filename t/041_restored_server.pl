# A server that comes back from a backup never has an event counted twice: what may have been sent after the state it comes back to is
# sent again only while TikTok drops copies, and when that state is older than 47 hours an operator is asked first.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $origin = $tiktok->cluster('origin', wal_level => 'replica', max_wal_senders => 10);

sub sql { my ($node, $sql) = @_; return $node->safe_psql('postgres', $sql) }
sub copies { my ($id) = @_; return scalar @{ $tiktok->events("?event_id=$id&accepted=true") } }
sub counted { my ($id) = @_; return scalar @{ $tiktok->events("?event_id=$id&counted=true") } }
sub requests { return $tiktok->stats->{requests} }
sub states { my ($node) = @_; return sql($node, "SELECT string_agg(source || ' ' || state, ', ' ORDER BY source) FROM tiktok.backlog") }
sub gaps_logged { my ($node) = @_; return scalar(() = slurp_file($node->logfile) =~ /LOG:  tiktok_events: all sources of database "postgres" are paused: restore_gap/g) }

sub track
{
	my ($node, $id, $source) = @_;
	$source //= 'shop';
	return sql($node, "SELECT tiktok.track('$source', 'ViewContent', '$id', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')");
}

sub set
{
	my ($node, %settings) = @_;
	$node->append_conf('postgresql.conf', "tiktok_events.$_ = '$settings{$_}'") for keys %settings;
}

# A server made from a backup of another one, with the worker on.
sub from_backup
{
	my ($name, $from, $backup, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init_from_backup($from, $backup, standby => 0, %options);
	$node->append_conf('postgresql.conf', "recovery_target_name = 'here'\nrecovery_target_action = 'promote'") if $options{has_restoring};
	set($node, enabled => 'on');
	return $node;
}

# The worker has looked at what server it is in.
sub start_and_check
{
	my ($node) = @_;
	$node->start;
	$node->poll_query_until('postgres', "SELECT NOT pg_is_in_recovery() AND seen_at > now() - interval '1 hour' FROM tiktok.installation");
}

# A server that was stopped for a week
$tiktok->sources($origin);
sql($origin, "INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('web', 'web', 'CPIXEL0000000002')");
sql($origin, "SELECT tiktok.set_access_token('web', '$Rehearsal::TOKEN')");
track($origin, 'first');
ok(Rehearsal::drained($origin, 20), 'delivered');
is(sql($origin, "SELECT timeline, backup_start, recovered_to, seen_at > now() - interval '1 hour' FROM tiktok.installation"), '1|||t', 'the worker leaves a note');
sql($origin, "UPDATE tiktok.installation SET seen_at = now() - interval '8 days'");
$origin->enable_archiving;
$origin->restart;
track($origin, 'after-a-week');
ok(Rehearsal::drained($origin, 20), 'a server that was only stopped, or idle, goes on');
is(states($origin), 'app sending, crm sending, shop sending, store sending, web sending', 'nothing is paused');

# A backup with something unfinished: two events that were never sent, and one to be tried again.  The state in it is 70 hours old, as
# far as the worker has noted.
$tiktok->script({ action => 'status', status => 503, match => { event_id => 'retried' }, times => undef });
track($origin, 'retried');
$origin->poll_query_until('postgres', 'SELECT count(*) = 1 FROM tiktok.retry');
set($origin, enabled => 'off');
$origin->restart;
sql($origin, "UPDATE tiktok.retry SET possibly_received_at = NULL, next_attempt_at = now() + interval '1 hour'");
track($origin, 'pending-1');
my $discarded = track($origin, 'pending-2', 'web');
sql($origin, "UPDATE tiktok.installation SET seen_at = now() - interval '70 hours'");
$origin->backup('base');
sql($origin, "CREATE TABLE recent ()");
sql($origin, "SELECT pg_create_restore_point('here'); SELECT pg_switch_wal()");
$tiktok->script;
sql($origin, 'UPDATE tiktok.retry SET next_attempt_at = now()');
set($origin, enabled => 'on');
$origin->restart;
ok(Rehearsal::drained($origin, 20), 'the old server delivers what is unfinished in the backup');
$origin->stop;

# Point-in-time recovery within 47 hours: what was replayed last is recent, but somebody has to say that it is to send
my $pitr = from_backup('pitr', $origin, 'base', has_restoring => 1);
$tiktok->script({ action => 'status', status => 503, match => { event_id => 'pending-1' }, times => undef },
	{ action => 'hang', match => { event_id => 'pending-2' }, times => undef });
start_and_check($pitr);
is(states($pitr), 'app paused, crm paused, shop paused, store paused, web paused', 'a recovered server sends nothing by itself');
sql($pitr, 'SELECT tiktok.resume(name) FROM tiktok.source');
$pitr->poll_query_until('postgres', "SELECT in_flight = 1 AND (SELECT count(*) = 2 FROM tiktok.retry) FROM tiktok.worker_status WHERE database = 'postgres'");
$pitr->stop('immediate');
$tiktok->script;
$pitr->start;
ok($pitr->poll_query_until('postgres', "SELECT count(*) = 2 FROM tiktok.event_status WHERE event_id LIKE 'pending-%' AND status = 'delivered'"),
	'told to, it goes on, over trouble and a crash');
is(states($pitr), 'app sending, crm sending, shop sending, store sending, web sending', 'nothing is paused again');
is(copies("pending-$_") . counted("pending-$_"), '21', "a copy of pending-$_ is sent, and not counted") for (1, 2);
is(sql($pitr, "SELECT i.timeline, count(*), bool_and(f.possibly_received_at = i.recovered_to) FROM tiktok.installation i, "
		  . "(SELECT * FROM tiktok.retry r NATURAL FULL JOIN tiktok.delivery d) f JOIN tiktok.event_status e USING (id) WHERE e.event_id ~ '^(pending|retried)' GROUP BY 1"),
	'2|3|t', 'all that was unfinished counts as received at the time of the state');
is(gaps_logged($pitr), 0, 'there is no gap');
$pitr->stop;

# The same, three days later: here TikTok would count copies, and the server that replayed has been restarted before the worker came
$tiktok->control('POST', 'clock', { offset_seconds => 3 * 86400 });
my $doubles = $tiktok->stats->{duplicate_copies};
my $before = requests();
my $late = from_backup('late', $origin, 'base', has_restoring => 1);
set($late, databases => 'none');
$late->start;
$late->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
set($late, databases => '*');
$late->stop;
start_and_check($late);
is(states($late), 'app paused, crm paused, shop paused, store paused, web paused', 'recovery to a state of 70 hours ago pauses all sources');
is(sql($late, 'SELECT timeline > 1 FROM tiktok.installation'), 't', 'on the new timeline');
$late->stop;

# A base backup that is simply started keeps its timeline
my $restored = from_backup('restored', $origin, 'base');
start_and_check($restored);
is(states($restored), 'app paused, crm paused, shop paused, store paused, web paused', 'so does a base backup');
is(sql($restored, 'SELECT timeline FROM tiktok.installation'), 1, 'on the old timeline');
my $reason = sql($restored, 'SELECT DISTINCT reason FROM tiktok.backlog');
like($reason, qr/^restore_gap: this server was recovered to a state of 20\d\d-.*, more than 47 hours ago$/, 'the backlog says why');
is(sql($restored, "SELECT last_error FROM tiktok.worker_status WHERE database = 'postgres'"), $reason, 'and so does the worker');
is(gaps_logged($restored), 1, 'and the log, once');
track($restored, 'new');
sql($restored, 'UPDATE tiktok.retry SET next_attempt_at = now()');
is(sql($restored, "SELECT tiktok.wait('1 s')"), 'f', 'everything waits');
$restored->restart;
is(sql($restored, "SELECT tiktok.wait('3 s')"), 'f', 'also after a restart');
is(gaps_logged($restored), 1, 'which is not another recovery');
is(requests(), $before, 'nothing has been sent');
$restored->backup('again');

# Resumed: what may have been received is not sent
sql($restored, "SELECT tiktok.discard($discarded); SELECT tiktok.resume('shop'); SELECT tiktok.resume('web')");
ok(Rehearsal::drained($restored, 20), 'an operator resumes');
is(sql($restored, "SELECT string_agg(event_id || ' ' || status || coalesce(' ' || reason, ''), ', ' ORDER BY id) FROM tiktok.event_status WHERE id >= $discarded - 2"),
	'retried uncertain retry_horizon, pending-1 uncertain restore_gap, pending-2 discarded pending, new delivered', 'what is new is sent, what was unfinished is not');
is(copies('new'), 1, 'one event is');
is(requests(), $before + 1, 'in one request');
is(states($restored), 'app paused, crm paused, shop sending, store paused, web sending', 'the other sources wait for their operator');
is(sql($restored, 'SELECT count(*) FROM tiktok.delivery d, tiktok.installation i WHERE d.possibly_received_at = i.recovered_to'), 3, 'as what may have been received then');
my (undef, undef, $err) = $restored->psql('postgres', "SELECT tiktok.retry($discarded - 1)");
like($err, qr/DETAIL:  TikTok may have received it more than 47 hours ago/, 'tiktok.retry refuses it');
sql($restored, "SELECT tiktok.retry($discarded - 1, allow_double => true)");
ok(Rehearsal::drained($restored, 20), 'an operator who knows better may send it');
is(copies('pending-1') . counted('pending-1'), '32', 'and TikTok counts it again');
is($tiktok->stats->{duplicate_copies}, $doubles, 'nothing else is a copy');
$restored->stop;

# A second recovery, to a recent state in which something from before the first one is unfinished
$before = requests();
my $again = from_backup('again', $restored, 'again');
start_and_check($again);
is(sql($again, "SELECT now() - recovered_to < interval '1 hour' FROM tiktok.installation"), 't', 'a second recovery, to a recent state');
is(gaps_logged($again), 0, 'is no restore gap');
sql($again, "SELECT tiktok.resume('shop'); SELECT tiktok.resume('web')");
ok(Rehearsal::drained($again, 20), 'resumed');
is(sql($again, "SELECT string_agg(event_id || ' ' || status || coalesce(' ' || reason, ''), ', ' ORDER BY id) FROM tiktok.event_status WHERE id >= $discarded - 2"),
	'retried uncertain retry_horizon, pending-1 uncertain retry_horizon, pending-2 uncertain retry_horizon, new delivered',
	'the first recovery is not forgotten');
is(requests(), $before + 1, 'one request is made');
is(copies('new') . counted('new'), '21', 'for what the first server sent after its backup: a copy');

# A promotion leaves no other label, only another timeline
sql($again, "UPDATE tiktok.installation SET seen_at = now() - interval '70 hours'");
$again->stop;
$again->set_standby_mode;
$again->start;
$again->promote;
$again->poll_query_until('postgres', 'SELECT timeline = 2 FROM tiktok.installation');
is(states($again), 'app paused, crm paused, shop paused, store paused, web paused', 'a standby that is promoted after 70 hours pauses all sources');
is(gaps_logged($again), 1, 'and says so');
$again->stop;

done_testing();
