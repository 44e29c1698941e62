# A server that was made from a backup of another one, which goes on beside it: it has the same sources and tokens, and sends nothing until an
# operator says that it is the one to send.  So does a configuration that was brought to another server.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $origin = $tiktok->cluster('origin', wal_level => 'replica', max_wal_senders => 10, 'tiktok_events.request_timeout' => '60s');
my $all = 'app paused, crm paused, shop paused, store paused';

sub sql { my ($node, $sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql) }
sub received { my ($id) = @_; return scalar @{ $tiktok->events("?event_id=$id&accepted=true") } }
sub counted { my ($id) = @_; return scalar @{ $tiktok->events("?event_id=$id&counted=true") } }
sub states { my ($node) = @_; return sql($node, "SELECT string_agg(source || ' ' || state, ', ' ORDER BY source) FROM tiktok.backlog") }

sub track
{
	my ($node, $id, %how) = @_;
	my $source = $how{source} // 'shop';
	my $user_data = $source eq 'store' ? '{"email": "a@example.com"}' : '{"external_id": 1}';
	sql($node, "SELECT tiktok.track('$source', 'ViewContent', '$id', user_data => '$user_data', page => '{\"url\": \"https://shop.example.com/\"}')", $how{db});
}

sub delivered
{
	my ($node, @ids) = @_;
	my $list = join ', ', map { "'$_'" } @ids;
	return $node->poll_query_until('postgres', "SELECT count(*) = " . @ids . " FROM tiktok.event_status WHERE event_id IN ($list) AND status = 'delivered'");
}

# A server from the backup; its clients write to it, and it is left alone for a while.
sub sends_nothing
{
	my ($node, $how) = @_;
	my $name = $node->name;
	my %before = map { $_ => received($_) } qw(delivered in-flight waiting retrying after on-hold), "new-in-$name";

	# the archive is the original's
	$node->append_conf('postgresql.conf', 'archive_mode = off');
	$node->start;
	$node->poll_query_until('postgres', "SELECT NOT pg_is_in_recovery() AND count(*) = 4 FROM tiktok.backlog WHERE state = 'paused'");
	is(states($node), $all, "$how: all sources are paused");
	is(sql($node, "SELECT string_agg(source, ' ' ORDER BY source) FROM tiktok.backlog WHERE reason ~ '^restored: this server was recovered from a backup to a state of 20'"),
		'app crm shop', 'for this reason, where there was no other');
	is(sql($node, "SELECT reason FROM tiktok.backlog WHERE source = 'store'"), 'stocktaking', 'an operator\'s reason stays');
	like(slurp_file($node->logfile), qr/LOG:  tiktok_events: all sources of database "postgres" are paused: restored: /, 'the log says so');
	like(sql($node, "SELECT hint FROM tiktok.health() WHERE check_name = 'source' AND detail LIKE '\"shop\"%'"), qr/If this is the server to send.*tiktok\.resume\('shop'\)/, 'and health');
	track($node, "new-in-$name");
	is(sql($node, "SELECT tiktok.wait('2 s')"), 'f', 'everything waits, what is new as well');
	$node->restart;
	is(sql($node, "SELECT tiktok.wait('2 s')"), 'f', 'also after a restart');
	is(received($_), $before{$_}, "$_ has not been sent") for sort keys %before;
	track($origin, "beside-$name");
	ok(delivered($origin, "beside-$name"), 'the original goes on');
	is(states($origin), 'app sending, crm sending, shop sending, store paused', 'as it was');
}

# The state that is restored: an event delivered, one on its way, one that waits, one to be tried again, one on hold
$tiktok->sources($origin);
$origin->enable_archiving;
$origin->restart;
track($origin, 'delivered');
ok(Rehearsal::drained($origin, 20), 'delivered');
sql($origin, "SELECT tiktok.pause('store', 'stocktaking')");
track($origin, 'on-hold', source => 'store');
$origin->backup('base');
$tiktok->script({ action => 'status', status => 503, match => { event_id => 'retrying' }, times => undef },
	{ action => 'delay', seconds => 20, match => { event_id => 'in-flight' } });
track($origin, 'retrying');
$origin->poll_query_until('postgres', 'SELECT count(*) = 1 FROM tiktok.retry');
track($origin, 'in-flight');
Rehearsal::await('the event is received', sub { received('in-flight') });
my $session = Rehearsal::session($origin, 'BEGIN; LOCK tiktok.request IN SHARE MODE;');
track($origin, 'waiting');
my $wal = sql($origin, "SELECT pg_walfile_name(pg_create_restore_point('here'))");
Rehearsal::end_session($session, 'COMMIT;');
$tiktok->script;
ok(delivered($origin, qw(waiting retrying)), 'the original goes on');
track($origin, 'after');
ok(delivered($origin, qw(in-flight after)), 'with what comes after that state');
sql($origin, 'SELECT pg_switch_wal()');
$origin->poll_query_until('postgres', "SELECT last_archived_wal >= '$wal' FROM pg_stat_archiver");
is(Rehearsal::statuses($origin), 'delivered 5, pending 1', 'all of it');

# Recovered to that point, in another data directory
my $pitr = PostgreSQL::Test::Cluster->new('pitr');
$pitr->init_from_backup($origin, 'base', standby => 0, has_restoring => 1);
$pitr->append_conf('postgresql.conf', "recovery_target_name = 'here'\nrecovery_target_action = 'promote'");
sends_nothing($pitr, 'recovery to a point in time');
is(Rehearsal::statuses($pitr, "event_id !~ '^new'"), 'delivered 1, pending 2, retrying 2', 'it is the state of that time');

# What the original has delivered since then is not known here; whoever writes it again records it again
$origin->stop;
track($pitr, 'after');
sql($pitr, "SELECT tiktok.resume(source) FROM tiktok.backlog WHERE reason LIKE 'restored:%'");
ok(delivered($pitr, qw(waiting in-flight retrying after new-in-pitr)), 'once an operator says so, it sends');
is(states($pitr), 'app sending, crm sending, shop sending, store paused', 'but for what was paused before');
is(received($_) . counted($_), '21', "a copy of $_ is sent, and not counted") for qw(waiting in-flight retrying after);
is(received('delivered'), 1, 'what was delivered in that state is not sent again');
is(sql($pitr, "SELECT count(*) FROM tiktok.source_control WHERE paused AND reason LIKE 'restored:%'"), 0, 'nobody asks again');
$pitr->restart;
track($pitr, 'restarted');
ok(delivered($pitr, 'restarted'), 'not after a restart, either');
is(received('on-hold'), 0, 'what is on hold stays there');
$pitr->stop;
$origin->start;

# To the end of the archive, and a base backup that is simply started
my $latest = PostgreSQL::Test::Cluster->new('latest');
$latest->init_from_backup($origin, 'base', standby => 0, has_restoring => 1);
sends_nothing($latest, 'recovery to the end of the archive');
$latest->stop;
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($origin, 'base', standby => 0);
sends_nothing($copy, 'a base backup');
$copy->stop;
is($tiktok->stats->{duplicate_copies}, 4, 'nothing else has been sent twice');

# The configuration alone, brought to a server that has the extension: the tables of schema tiktok that are dumped at all, and those that have triggers
my $dir = PostgreSQL::Test::Utils::tempdir();
my $tokens = PostgreSQL::Test::Utils::tempdir();
chmod 0700, $tokens;
append_to_file("$tokens/shop", $Rehearsal::TOKEN);
chmod 0600, "$tokens/shop";
sql($origin, <<'SQL');
CREATE TABLE orders (no text PRIMARY KEY, total numeric, at timestamptz DEFAULT now());
CREATE TABLE leads (id int PRIMARY KEY, lead text, stage text);
INSERT INTO tiktok.lead_stage (source, stage, event) VALUES ('crm', 'Won', 'Purchase');
INSERT INTO tiktok.weekly_floor (source, event, events) VALUES ('shop', 'Purchase', 20);
CREATE VIEW truth AS SELECT no AS event_id, total AS value, 'EUR' AS currency, at FROM orders;
INSERT INTO tiktok.source_of_truth VALUES ('shop', 'Purchase', 'public.truth');
SELECT tiktok.create_trigger('orders', 'shop', 'Purchase', '{"event_id": "no", "event_time": "now", "value": "total", "currency": "''EUR''", "external_id": "no", "url": "''https://shop.example.com/''"}');
SELECT tiktok.create_trigger('leads', 'crm', '=stage', '{"lead_id": "lead", "event_time": "now"}');
INSERT INTO orders VALUES ('N-1', 10);
SQL
ok(delivered($origin, 'N-1'), 'an order of the original');
$origin->command_ok([ 'pg_dump', '-t', 'tiktok.*', '-t', 'orders', '-t', 'leads', '-t', 'truth', '-f', "$dir/configuration", '-d', $origin->connstr('postgres') ], 'pg_dump of the configuration');
my $second = $tiktok->cluster('second', 'tiktok_events.access_token_dir' => $tokens);
$second->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/configuration", '-d', $second->connstr('postgres') ], 'restored');
for my $table (qw(source lead_stage weekly_floor source_of_truth))
{
	my $rows = "SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM tiktok.$table t";
	is(sql($second, $rows), sql($origin, $rows), "tiktok.$table is the same");
}
is(sql($second, 'SELECT (SELECT count(*) FROM tiktok.event), (SELECT count(*) FROM orders)'), '0|1', 'the order makes no event again');
sql($second, "INSERT INTO orders VALUES ('N-2', 10); INSERT INTO leads VALUES (1, '7412345678901234567', 'Won')");
is(sql($second, "SELECT tiktok.wait('2 s')"), 'f', 'what is new makes events, and they wait');
is(sql($second, "SELECT string_agg(source || ' ' || state, ', ' ORDER BY source) FROM tiktok.backlog WHERE pending > 0"), 'crm no_token, shop copied', 'for the operator');
is(received('N-2'), 0, 'nothing has been sent');
sql($second, "INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('another', 'web', 'CPIXEL0000000009')");
is(sql($second, "SELECT count(DISTINCT id) = count(*) FROM tiktok.source"), 't', 'a new source has a number of its own');
sql($second, 'SELECT tiktok.confirm_database()');
ok(delivered($second, 'N-2'), 'confirmed, it sends with the token in the file');
sql($second, "SELECT tiktok.set_access_token('crm', '$Rehearsal::TOKEN')");
ok(Rehearsal::drained($second, 20), 'and with one that is set there');
is(received('N-1'), 1, 'what the original has sent is not sent again');
sql($origin, "INSERT INTO orders VALUES ('N-3', 10)");
ok(delivered($origin, 'N-3'), 'the original goes on');
$second->stop;
$origin->stop;

done_testing();
