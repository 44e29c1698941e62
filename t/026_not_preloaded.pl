# Without preloading events are recorded and wait; a list of databases is honoured; a dump brings back configuration and sends nothing.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('unloaded');

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }

sub track
{
	my ($id, $db) = @_;
	sql("SELECT tiktok.track('shop', 'ViewContent', '$id', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')", $db);
}

# Not preloaded
$tiktok->sources($node);
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
track('waits');
is(sql("SELECT status FROM tiktok.event_status"), 'pending', 'without preloading an event is recorded');
my (undef, undef, $err) = $node->psql('postgres', "SELECT tiktok.wait('1 s')");
like($err, qr/tiktok_events is not preloaded.*HINT:.*shared_preload_libraries/s, 'tiktok.wait says what is missing');
is(sql("SELECT DISTINCT state FROM tiktok.backlog"), 'not_preloaded', 'and the backlog');
is(sql('SELECT count(*) FROM tiktok.worker_status'), 0, 'there is no worker');
is(sql("SELECT string_agg(check_name || ' ' || state, ' ' ORDER BY check_name) FROM tiktok.health() WHERE check_name IN ('preload', 'worker')"), 'preload fail',
	'tiktok.health says it');
is(sql("SELECT hint FROM tiktok.health() WHERE check_name = 'preload'"), "Restart the server after: ALTER SYSTEM SET shared_preload_libraries = 'tiktok_events';", 'and what to run');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'auth_delay, \"auto_explain\"'");
$node->restart;
my $hint = sql("SELECT hint FROM tiktok.health() WHERE check_name = 'preload'");
is($hint, "Restart the server after: ALTER SYSTEM SET shared_preload_libraries = 'auth_delay', 'auto_explain', 'tiktok_events';", 'beside other libraries');
sql($hint =~ s/.*: (?=ALTER)//r);
$node->restart;
is(sql('SHOW shared_preload_libraries'), 'auth_delay, auto_explain, tiktok_events', 'the server starts with it');
sql('ALTER SYSTEM RESET shared_preload_libraries');
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is(sql('SELECT count(conflict) + count(no_mapping) + count(since) FROM tiktok.enqueue_counters'), 0, 'nothing is counted');
is(sql('SELECT count(*) FROM tiktok.status_counters'), 0, 'and no status');
is(sql('SELECT count(*) FROM tiktok.unmapped_stage'), 0, 'nor are stages');
$node->psql('postgres', 'CREATE DATABASE fresh');
(undef, undef, $err) = $node->psql('fresh', 'CREATE EXTENSION tiktok_events');
like($err, qr/WARNING:  tiktok_events is not preloaded/, 'CREATE EXTENSION warns');
is($node->psql('postgres', 'SET tiktok_events.max_workers = 3'), 0, 'a setting of the postmaster does no harm');

# Preloaded again, for some databases
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'tiktok_events'\ntiktok_events.databases = 'fresh, missing, template1, fresh, postgres'");
$node->restart;
ok(Rehearsal::drained($node, 20), 'what waited is sent');
$node->poll_query_until('postgres', "SELECT string_agg(database, ' ' ORDER BY database) = 'fresh postgres' FROM tiktok.worker_status WHERE pid IS NOT NULL");
$node->append_conf('postgresql.conf', "tiktok_events.databases = 'fresh'");
$node->reload;
ok($node->poll_query_until('postgres', "SELECT string_agg(database, ' ') = 'fresh' FROM tiktok.worker_status WHERE pid IS NOT NULL"),
	'a database that is taken off the list loses its worker');
track('off');
is(sql("SELECT tiktok.wait('1 s')"), 'f', 'its events wait');
$node->append_conf('postgresql.conf', "tiktok_events.databases = '*'");
$node->reload;
ok(Rehearsal::drained($node, 20), 'and go when it is back');

# Dump and restore
sql("INSERT INTO tiktok.lead_stage VALUES ('crm', 'won', 'Purchase', 1)");
sql("INSERT INTO tiktok.source_of_truth VALUES ('shop', 'Contact', 'public.orders'); INSERT INTO tiktok.weekly_floor VALUES ('shop', 'Contact', 7)");
sql('CREATE TABLE orders (id int PRIMARY KEY, email text)');
sql("CREATE TRIGGER tiktok AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'email=email', 'url=''https://shop.example.com/''')");
sql("INSERT INTO orders VALUES (1, 'a\@example.com')");
ok(Rehearsal::drained($node, 20), 'all finished');
my $before = $tiktok->stats->{requests};
sql('CREATE DATABASE restored');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
unlike(slurp_file($dump), qr/$Rehearsal::TOKEN/, 'the dump has no token');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'restore');
is(sql('SELECT string_agg(name, \' \' ORDER BY name), (SELECT count(*) FROM tiktok.lead_stage) FROM tiktok.source', 'restored'), 'app crm shop store|1', 'sources and stages are back');
is(sql('SELECT relation, events FROM tiktok.source_of_truth JOIN tiktok.weekly_floor USING (source, event)', 'restored'), 'public.orders|7', 'so are the source of truth and the weekly floor');
is(sql('SELECT count(*) FROM tiktok.event', 'restored'), 0, 'the queue is empty: restoring the rows fired no trigger');
sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('new', 'web', 'CNEW')", 'restored');
sql("INSERT INTO orders VALUES (2, 'a\@example.com')", 'restored');
is(sql("SELECT tiktok.wait('1 s')", 'restored'), 'f', 'a restored database sends nothing');
is(sql("SELECT state FROM tiktok.backlog WHERE source = 'shop'", 'restored'), 'no_token', 'until it has a token');
is($tiktok->stats->{requests}, $before, 'nothing was sent');

$node->stop;
done_testing();
