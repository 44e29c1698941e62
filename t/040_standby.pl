# Only the server that the orders are written to sends: a standby is silent until it is promoted and then delivers at once, a clone
# without token files, whatever its operator says, and a logical replication subscriber send nothing.
use strict;
use warnings;

use File::Basename qw(dirname);
use IPC::Run;
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep time);

my $tiktok = Rehearsal->start;
my $elsewhere = Rehearsal->start;    # hears of every server that should be silent
my $tokens = PostgreSQL::Test::Utils::tempdir();
my $primary = $tiktok->cluster('primary', wal_level => 'logical', max_wal_senders => 10);

sub sql { my ($node, $sql) = @_; return $node->safe_psql('postgres', $sql) }

sub track
{
	my ($node, $id, $source) = @_;
	$source //= 'shop';
	sql($node, "SELECT tiktok.track('$source', 'ViewContent', '$id', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')");
}

# A copy of the primary's files that would send to the other server.
sub copy_of_primary
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$primary->backup($name);
	$node->init_from_backup($primary, $name, %options);
	$node->append_conf('postgresql.conf',
		"tiktok_events.endpoint = '$elsewhere->{https_url}'\ntiktok_events.ca_file = '$elsewhere->{ca_file}'");
	return $node;
}

sub is_silent { my ($name) = @_; is($elsewhere->stats->{connections}{https}, 0, "$name has connected to nothing") }
sub copies { my ($id) = @_; return scalar @{ $tiktok->events("?event_id=$id&accepted=true") } }

sub wait_for
{
	my ($condition) = @_;
	my $end = time + 60;
	sleep 0.1 until $condition->() || time > $end;
}

# Waits until the server's walreceiver has gone, so that no more is replicated.
sub cut_off
{
	my ($node) = @_;
	$node->append_conf('postgresql.conf', "primary_conninfo = ''");
	$node->reload;
	$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_wal_receiver') or die 'the walreceiver stays';
}

# The standby, while the primary delivers
$tiktok->sources($primary);
track($primary, 'first');
ok(Rehearsal::drained($primary, 20), 'the primary delivers');
my $standby = copy_of_primary('standby', has_streaming => 1);
$standby->start;
my $until = time + 6;
my $n = 0;
do
{
	track($primary, 'replicated-' . ++$n);
	ok(Rehearsal::drained($primary, 20), 'the primary goes on') if $n % 10 == 1;
	sleep 0.1;
} while (time < $until);
ok(Rehearsal::drained($primary, 20), 'all is delivered');
$primary->wait_for_catchup($standby);
is(sql($standby, "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'tiktok_events%'"), 0, 'a standby has neither launcher nor worker');
is(sql($standby, 'SELECT count(*) FROM tiktok.worker_status'), 0, 'and says so');
is(Rehearsal::statuses($standby), 'delivered ' . ($n + 1), 'its views can be read');
is(sql($standby, "SELECT state, pending FROM tiktok.backlog WHERE source = 'shop'"), 'no_worker|0', 'and the backlog, which says that nothing is sent');
is(sql($standby, "SELECT tiktok.wait('5 s')"), 't', 'tiktok.wait sees what was replicated');
like(sql($standby, "SELECT tiktok.preview('shop', 'ViewContent', 'p', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')"),
	qr/"event_id": "p"/, 'tiktok.preview works');
for my $call (
	"track('shop', 'Contact', 'c', user_data => '{\"external_id\": 1}')", "pause('shop')", "resume('shop')",
	"retry('shop')", 'retry(1)', "discard('shop')", 'discard(1)', "set_access_token('shop', 't')",
	"set_test_code('shop', 't')", 'confirm_database()',
	"forget(external_id => '1')", "withdraw_consent('shop', 'first')", 'purge()', "pixel_seen('shop', 'ViewContent', 'first')", "grant_reader('pg_monitor')")
{
	my (undef, undef, $err) = $standby->psql('postgres', "SELECT tiktok.$call", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	my ($function) = $call =~ /^(\w+)/;
	my $what = { grant_reader => 'GRANT', pixel_seen => 'INSERT' }->{$function} // "tiktok.$function()";
	like($err, qr/^psql:<stdin>:1: ERROR:  25006: cannot execute \Q$what\E in a read-only transaction$/m, "a standby refuses tiktok.$call");
}
is_silent('a standby');

# Promoted while the primary was ahead of it: there the worker cannot record while somebody locks its table, and the standby misses the
# rest.  The note of the worker is old, as on a server that was idle for long.
sql($primary, "UPDATE tiktok.installation SET seen_at = now() - interval '3 days'");
my ($in, $out) = ("BEGIN; LOCK tiktok.delivery IN SHARE MODE; SELECT 'locked';\n", '');
my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $primary->connstr('postgres') ], '<', \$in, '>', \$out, IPC::Run::timeout(180));
$session->pump until $out =~ /locked/;
track($primary, 'open');
wait_for(sub { copies('open') == 1 });
track($primary, 'ahead');
$primary->wait_for_catchup($standby);
cut_off($standby);
$in .= "COMMIT;\n\\q\n";
$session->finish;
ok(Rehearsal::drained($primary, 60), 'the primary delivers what the standby does not know of');
$primary->stop('immediate');
$standby->append_conf('postgresql.conf', "tiktok_events.endpoint = '$tiktok->{https_url}'\ntiktok_events.ca_file = '$tiktok->{ca_file}'");
$standby->reload;
my $started = time;
$standby->promote;
ok(Rehearsal::drained($standby, 30), 'a promoted standby delivers');
cmp_ok(time - $started, '<', 20, 'within seconds');
track($standby, 'new');
ok(Rehearsal::drained($standby, 10), 'and goes on');
is(Rehearsal::statuses($standby), 'delivered ' . ($n + 4), 'every event is delivered');
is(copies('replicated-1'), 1, 'an event whose delivery was replicated is not sent again');
is(copies('open'), 2, 'one of which only the request was replicated is');
is(copies('ahead'), 2, 'and one of which not even that');
is($tiktok->stats->{duplicate_copies}, 2, 'and no other');
is($tiktok->stats->{counted_events}, $n + 4, 'each is counted once');
is(sql($standby, "SELECT timeline, now() - recovered_to < interval '1 hour', (SELECT string_agg(DISTINCT state, '') FROM tiktok.backlog) FROM tiktok.installation"),
	'2|t|sending', 'nothing is paused: what was replayed last is recent');
is_silent('the standby before its promotion');
$standby->stop;

# A clone of the data directory has the sources and the queue, but not the token files
$primary->start;
sql($primary, 'SELECT tiktok.set_access_token(name, NULL) FROM tiktok.source');
$primary->append_conf('postgresql.conf', "tiktok_events.access_token_dir = '$tokens'");
$primary->reload;
track($primary, 'cloned');
my $clone = copy_of_primary('clone');
$clone->append_conf('postgresql.conf', "tiktok_events.access_token_dir = '" . PostgreSQL::Test::Utils::tempdir() . "/missing'");
$clone->start;
$clone->poll_query_until('postgres', "SELECT state = 'paused' FROM tiktok.backlog WHERE source = 'shop'");
sql($clone, 'SELECT tiktok.resume(name) FROM tiktok.source');
$clone->poll_query_until('postgres', "SELECT count(*) = 1 FROM tiktok.source_state WHERE source_id = 1 AND state = 'no_token'");
track($clone, 'in-the-clone');
is(sql($clone, "SELECT tiktok.wait('2 s')"), 'f', 'a clone waits for tokens');
is(sql($clone, "SELECT state, pending FROM tiktok.backlog WHERE source = 'shop'"), 'no_token|2', 'and says so');
is_silent('the clone');
$clone->stop;
open my $fh, '>', "$tokens/shop" or die $!;
chmod 0600, "$tokens/shop";
print $fh $Rehearsal::TOKEN;
close $fh;
ok(Rehearsal::drained($primary, 20), 'the original delivers with its token file');

# A subscriber of the orders, with the same trigger and a token of its own.  Changes that are applied do not fire it: ENABLE ALWAYS or
# ENABLE REPLICA would make it record every order a second time, with the same event_id, which TikTok drops for 48 hours only.
my $subscriber = $elsewhere->cluster('subscriber');
$elsewhere->sources($subscriber);
for my $node ($primary, $subscriber)
{
	sql($node, <<'SQL');
CREATE TABLE orders (id int PRIMARY KEY, email text);
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON orders FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'email=email', 'url=''https://shop.example.com/''');
SQL
}
sql($primary, "INSERT INTO orders VALUES (1, 'a\@example.com'); CREATE PUBLICATION orders FOR TABLE orders");
my $connection = $primary->connstr . ' dbname=postgres';
sql($subscriber, "CREATE SUBSCRIPTION orders CONNECTION '$connection' PUBLICATION orders");
$subscriber->wait_for_subscription_sync($primary, 'orders');
sql($primary, "INSERT INTO orders VALUES (2, 'b\@example.com'); UPDATE orders SET email = 'c\@example.com' WHERE id = 1");
$primary->wait_for_catchup('orders');
ok(Rehearsal::drained($primary, 20), 'the publisher delivers');
is(copies('orders-2'), 1, 'each order');
is(sql($subscriber, "SELECT string_agg(email, ' ' ORDER BY id) FROM orders"), 'c@example.com b@example.com', 'the subscriber has the orders');
is(sql($subscriber, 'SELECT count(*) FROM tiktok.event'), 0, 'and records no event');
is_silent('the subscriber');
sql($subscriber, "INSERT INTO orders VALUES (3, 'd\@example.com')");
ok(Rehearsal::drained($subscriber, 20), 'what is written there goes from there');
is($elsewhere->stats->{counted_events}, 1, 'and nothing else');

done_testing();
