# Through pgbouncer in transaction mode, with fewer server connections than clients, everything works as without it.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use IPC::Run;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my ($pgbouncer) = grep { -x } '/usr/sbin/pgbouncer', '/usr/bin/pgbouncer';
plan skip_all => 'no pgbouncer' unless $pgbouncer;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('pooled');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $pooled = "host=$dir port=$port dbname=postgres user=app";

$tiktok->sources($node);
$node->safe_psql('postgres', 'CREATE ROLE app SUPERUSER LOGIN');
append_to_file("$dir/pgbouncer.ini", '[databases]
postgres = host=' . $node->host . ' port=' . $node->port . " user=app
[pgbouncer]
pool_mode = transaction
default_pool_size = 2
listen_port = $port
listen_addr =
unix_socket_dir = $dir
auth_type = any
pidfile = $dir/pid
logfile = $dir/log
");
system_or_bail($pgbouncer, '-q', '-d', "$dir/pgbouncer.ini");
END { local $?; kill 'TERM', slurp_file("$dir/pid") + 0 if $dir && -e "$dir/pid" }
Rehearsal::await('the pooler', sub { -S "$dir/.s.PGSQL.$port" });

# A statement of a client of its own; dies of an error
sub sql
{
	my ($sql) = @_;
	my ($out, $err) = run_command([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $pooled, '-c', $sql ]);
	die $err if $err =~ /ERROR|FATAL/;
	return $out;
}

# Clients that stay connected while others use the same server connections
sub client
{
	my %client = (in => '', out => '', err => '');
	$client{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $pooled ], '<', \$client{in}, '>', \$client{out}, '2>', \$client{err}, IPC::Run::timeout(180));
	return \%client;
}

sub ask
{
	my ($client, $sql) = @_;
	$client->{out} = '';
	$client->{in} .= "$sql\n\\echo done\n";
	$client->{run}->pump until $client->{out} =~ s/\n?^done\n//m;
	return $client->{out};
}

# Tables and triggers
sql('CREATE TABLE orders (order_no text PRIMARY KEY, status text, total numeric, email text, paid_at timestamptz DEFAULT now())');
like(sql(q{SELECT tiktok.create_trigger('orders', 'shop', 'Purchase',
	'{"event_id": "order_no", "value": "total", "currency": "''EUR''", "email": "email", "event_time": "paid_at", "url": "''https://shop.example.com/''"}', $$status = 'paid'$$)}),
	qr/^CREATE TRIGGER/, 'create_trigger');

# Ten clients on two connections, each in turn, so that none keeps its backend
my @clients = map { client() } 1 .. 10;
for my $round (1 .. 3)
{
	ask($clients[$_], "INSERT INTO orders VALUES ('t-$_-$round', 'paid', 1, 'c$_\@example.com');") for 0 .. 9;
	ask($clients[$_], "BEGIN; INSERT INTO orders VALUES ('u-$_-$round', 'new', 1, 'c$_\@example.com'); UPDATE orders SET status = 'paid' WHERE order_no = 'u-$_-$round'; COMMIT;") for 0 .. 9;
	ask($clients[$_], "SELECT tiktok.track('shop', 'ViewContent', 'c-$_-$round', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}');") for 0 .. 9;
}
is(join('', map { $_->{err} } @clients), '', 'ten clients without an error');
cmp_ok(sql("SELECT count(DISTINCT pid) FROM pg_stat_activity WHERE usename = 'app'"), '<=', 2, 'on two server connections');
is(sql("SELECT tiktok.wait('30 s')"), 't', 'tiktok.wait');
is(sql("SELECT status, count(*) FROM tiktok.event_status GROUP BY 1"), 'delivered|90', 'every event is delivered');
is($tiktok->stats->{counted_events}, 90, 'and counted once');

# What one client configures, the others' backends know
sql("UPDATE tiktok.source SET consent = 'required' WHERE name = 'shop'");
ask($clients[$_], "INSERT INTO orders VALUES ('consent-$_', 'paid', 1, 'c$_\@example.com');") for 0 .. 3;
is(sql("SELECT DISTINCT status FROM tiktok.event_status WHERE event_id LIKE 'consent-%'"), 'suppressed', 'configuration reaches every backend');
sql("UPDATE tiktok.source SET consent = 'optional' WHERE name = 'shop'");

# Test events are a matter of the transaction
sql("SELECT tiktok.set_test_code('shop', 'TEST1')");
ask($clients[0], "BEGIN; SET LOCAL tiktok_events.test_event = on; INSERT INTO orders VALUES ('a-test', 'paid', 1, 'a\@example.com'); COMMIT;");
ask($clients[$_], "INSERT INTO orders VALUES ('no-test-$_', 'paid', 1, 'a\@example.com');") for 0 .. 3;
is(sql("SELECT string_agg(event_id, ' ') FROM tiktok.event_status WHERE is_test"), 'a-test', 'SET LOCAL makes a test of one transaction');

# A client that leaves in the middle
my $leaver = client();
ask($leaver, "BEGIN; INSERT INTO orders VALUES ('left', 'paid', 1, 'a\@example.com');");
$leaver->{run}->kill_kill;
Rehearsal::await('the end of its transaction', sub { sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'") == 0 });
is(sql("SELECT count(*) FROM tiktok.event_status WHERE event_id = 'left'"), 0, 'a client that goes away records nothing');

# Poolers may clean the connection up
ask($clients[$_], 'DISCARD ALL;') for 0 .. 3;
sql("INSERT INTO orders VALUES ('discard', 'paid', 1, 'a\@example.com')");
is(sql("SELECT count(*) FROM tiktok.event_status WHERE event_id = 'discard'"), 1, 'DISCARD ALL does no harm');

# Rows that are there
sql("ALTER TABLE orders DISABLE TRIGGER tiktok_shop_purchase; INSERT INTO orders SELECT 'past-' || n, 'paid', 1, 'p' || n || '\@example.com' FROM generate_series(1, 3000) n");
is(sql("SELECT count(*) FROM tiktok.check_rows('orders', 'tiktok_shop_purchase', \$\$order_no LIKE 'past-%'\$\$, 5)"), 5, 'check_rows');
sql("CALL tiktok.backfill('orders', 'tiktok_shop_purchase', \$\$order_no LIKE 'past-%'\$\$)");
cmp_ok(sql("SELECT count(DISTINCT xid) FROM tiktok.event WHERE event_id LIKE 'past-%'"), '>', 1, 'backfill commits as it goes');
is(sql("SELECT tiktok.wait('60 s')"), 't', 'and is delivered');
is($tiktok->stats->{counted_events}, 90 + 4 + 1 + 3000, 'all of it, once');

# Operating and looking
sql("SELECT tiktok.pause('shop'); SELECT tiktok.resume('shop')");
sql("ALTER TABLE orders ENABLE TRIGGER tiktok_shop_purchase; INSERT INTO orders VALUES ('page', 'paid', 1, 'a\@example.com')");
like(sql("SELECT tiktok.pixel_event('shop', 'Purchase', 'page')"), qr/ttq\.track\("Purchase"/, 'pixel_event');
like(sql("SELECT tiktok.report_html(now() - interval '1 day', now() + interval '1 hour')"), qr/^<!DOCTYPE html>.*<\/html>\s*$/s, 'report_html');
unlike(sql("SELECT string_agg(state, ' ') FROM tiktok.health() WHERE check_name = 'worker'"), qr/fail/, 'health');
is(sql("SELECT tiktok.forget(email => 'nobody\@example.com')"), 0, 'forget');
$_->{run}->kill_kill for @clients;

done_testing();
