# A worker comes to every database that has the extension, and goes when the database has to be alone.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('databases');

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }
sub workers { return sql("SELECT string_agg(database, ' ' ORDER BY database) FROM tiktok.worker_status WHERE pid IS NOT NULL") }
sub has_workers { return $node->poll_query_until('postgres', "SELECT coalesce(string_agg(database, ' ' ORDER BY database), '') = '$_[0]' FROM tiktok.worker_status WHERE pid IS NOT NULL") }

sub track
{
	my ($id, $db) = @_;
	sql("SELECT tiktok.track('shop', 'ViewContent', '$id', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')", $db);
}

ok(has_workers('postgres'), 'a database with the extension has a worker');
sql('CREATE DATABASE other');
sql('BEGIN; CREATE EXTENSION tiktok_events; ROLLBACK', 'other');
is(workers(), 'postgres', 'a rolled back CREATE EXTENSION starts nothing');
sql('CREATE EXTENSION tiktok_events', 'other');
ok(has_workers('other postgres'), 'CREATE EXTENSION starts a worker');
$tiktok->sources($node, 'other');
track('a', 'other');
ok(Rehearsal::drained($node, 10, 'other'), 'which delivers');

# while a request hangs
$tiktok->script({ action => 'hang', times => undef });
track('b', 'other');
$node->poll_query_until('postgres', "SELECT in_flight = 1 FROM tiktok.worker_status WHERE database = 'other'");
my $started = time;
sql('ALTER DATABASE other RENAME TO renamed');
cmp_ok(time - $started, '<=', 2, 'RENAME of a busy database');
$tiktok->script;
ok(has_workers('postgres renamed'), 'the worker comes back');
ok(Rehearsal::drained($node, 20, 'renamed'), 'and goes on');
is(Rehearsal::statuses($node, 'true', 'renamed'), 'delivered 2', 'nothing is lost');

sql('CREATE DATABASE copy TEMPLATE renamed');
ok(has_workers('copy postgres renamed'), 'a copy of a database gets a worker');
track('c', 'copy');
is(sql("SELECT tiktok.wait('1 s')", 'copy'), 'f', 'which sends nothing, because its token was set elsewhere');
is(sql("SELECT state FROM tiktok.backlog WHERE source = 'shop'", 'copy'), 'copied', 'and says so');
sql("SELECT tiktok.set_access_token('shop', '$Rehearsal::TOKEN')", 'copy');
ok(Rehearsal::drained($node, 10, 'copy'), 'until it is set here');
sql("SELECT tiktok.track('crm', 'Lead', 'l', lead => '{\"lead_id\": \"7412345678901234567\"}')", 'copy');
is(sql("SELECT tiktok.wait('1 s')", 'copy'), 'f', 'which holds for each source');
sql('SELECT tiktok.confirm_database()', 'copy');
ok(Rehearsal::drained($node, 10, 'copy'), 'until the copy is confirmed');

$tiktok->script({ action => 'hang', times => undef });
track('d', 'copy');
$node->poll_query_until('postgres', "SELECT in_flight = 1 FROM tiktok.worker_status WHERE database = 'copy'");
$started = time;
sql('DROP DATABASE copy');
cmp_ok(time - $started, '<=', 2, 'DROP DATABASE of a busy database');
$tiktok->script;
ok(has_workers('postgres renamed'), 'its worker is gone');
$started = time;
sql("CREATE DATABASE many$_; DROP DATABASE many$_") for (1 .. 5);
cmp_ok(time - $started, '<=', 10, 'databases come and go');

# DROP EXTENSION, and again
sql('DROP EXTENSION tiktok_events', 'renamed');
sql('CREATE EXTENSION tiktok_events', 'renamed');
$tiktok->sources($node, 'renamed');
track('e', 'renamed');
ok(Rehearsal::drained($node, 20, 'renamed'), 'a new extension is served');
sql('DROP EXTENSION tiktok_events', 'renamed');
ok(has_workers('postgres'), 'a dropped one is not');

$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/ERROR|PANIC|FATAL:(?!  terminating background worker)/, 'nothing untoward in the log');

done_testing();
