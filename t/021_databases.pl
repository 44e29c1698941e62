# A worker comes to every database that has the extension, and goes when the database has to be alone.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(time);

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('databases');

my $SLACK = 5;			# of a busy machine
my $started;

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

# Commands that need a database for themselves, each while a request hangs
my $worker = "SELECT pid FROM tiktok.worker_status WHERE in_flight = 1 AND database =";

sub hanging
{
	my ($db) = @_;
	for (1 .. 300)
	{
		my $pid = sql("$worker '$db'");
		return $pid if $pid;
		select undef, undef, undef, 0.1;
	}
	die "no request of database $db hangs";
}

# Does the command within 5 s; returns what it says.
sub timed
{
	my ($name, $command, $fails) = @_;
	my $started = time;
	my ($rc, undef, $err) = $node->psql('postgres', $command, on_error_stop => 1);
	my $took = time - $started;
	note(sprintf '%.2f s: %s', $took, $name);
	cmp_ok($took, '<=', 5 + $SLACK, "$name of a busy database") unless $fails;
	is($rc ? 'fails' : 'works', $fails ? 'fails' : 'works', "$name: $command") or diag($err);
	return $err;
}

sql('CREATE ROLE stranger CREATEDB; CREATE ROLE owner');
$tiktok->script({ action => 'hang', times => undef });
track('b', 'other');
my $pid = hanging('other');
for my $command ('DROP DATABASE other', 'DROP DATABASE other WITH (FORCE)', 'ALTER DATABASE other RENAME TO mine',
	'ALTER DATABASE other SET TABLESPACE pg_default', 'CREATE DATABASE mine TEMPLATE other')
{
	like(timed('stranger', "SET ROLE stranger; $command", 1), qr/must be owner|permission denied/, 'a stranger may not do it');
}
is(hanging('other'), $pid, 'and does not stop the worker');
timed('RENAME', 'ALTER DATABASE other RENAME TO renamed');
isnt(hanging('renamed'), $pid, 'the worker comes back');
sql("SET allow_in_place_tablespaces = on; CREATE TABLESPACE elsewhere LOCATION ''");
timed('SET TABLESPACE', 'ALTER DATABASE renamed SET TABLESPACE elsewhere');
for my $strategy (qw(wal_log file_copy))
{
	hanging('renamed');
	timed("TEMPLATE ... $strategy", "CREATE DATABASE copy_$strategy TEMPLATE renamed STRATEGY $strategy");
}
hanging('renamed');
my $guest = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('renamed'), '-c', 'SELECT pg_sleep(60)' ], '>', \my $out, '2>', \my $err);
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'");
$pid = hanging('renamed');
like(timed('DROP that fails', 'DROP DATABASE renamed', 1), qr/is being accessed by other users/, 'DROP DATABASE fails because of another session');
isnt(hanging('renamed'), $pid, 'the worker comes back');
sql('ALTER DATABASE copy_wal_log OWNER TO owner');
timed('DROP by the owner', 'SET ROLE owner; DROP DATABASE copy_wal_log');
timed('DROP', 'DROP DATABASE copy_file_copy');
timed('DROP of another database', 'CREATE DATABASE nobody; DROP DATABASE nobody');
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'");
$guest->finish;
$tiktok->script;
timed('SET TABLESPACE', 'ALTER DATABASE renamed SET TABLESPACE pg_default');
ok(has_workers('postgres renamed'), 'the worker comes back');
ok(Rehearsal::drained($node, 30, 'renamed'), 'and goes on');
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
hanging('copy');
timed('DROP WITH FORCE', 'DROP DATABASE copy WITH (FORCE)');
$tiktok->script;
ok(has_workers('postgres renamed'), 'its worker is gone');

# Databases with the extension come and go, and leave nothing behind
my $launcher = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'tiktok_events launcher'");

sub round
{
	my ($n) = @_;
	sql("CREATE DATABASE round$n");
	sql('CREATE EXTENSION tiktok_events', "round$n");
	has_workers("postgres renamed round$n") if $n % 5 == 0;
	sql("DROP DATABASE round$n");
}

sub resident { return slurp_file("/proc/$launcher/status") =~ /RssAnon:\s*(\d+)/ ? $1 : die 'no RssAnon' }
sub descriptors { return scalar(() = glob("/proc/$launcher/fd/*")) }
sub shared { return sql("SELECT count(*), sum(allocated_size) FROM pg_shmem_allocations WHERE name LIKE 'tiktok%'") }

round($_) for 1 .. 3;
my ($memory, $descriptors, $shared) = (resident(), descriptors(), shared());
my $rounds = $ENV{ROUNDS} // 12;
$started = time;
round($_) for 4 .. 3 + $rounds;
note(sprintf '%d rounds in %.1f s: the launcher has %d kB and %d descriptors more', $rounds, time - $started, resident() - $memory, descriptors() - $descriptors);
cmp_ok(resident() - $memory, '<', 1000, "the launcher's memory does not grow");
cmp_ok(descriptors() - $descriptors, '<=', 1, 'nor do its open files');
is(shared(), $shared, 'nor does shared memory');
ok(has_workers('postgres renamed'), 'no worker is left over');
is(sql("SELECT count(*) FROM tiktok.worker_status"), 2, 'nor a slot');

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
unlike($log, qr/ERROR:(?!  must be owner|  permission denied|  database "renamed" is being accessed)|PANIC|FATAL:(?!  terminating (background worker|connection|autovacuum process))/,
	'nothing untoward in the log');

done_testing();
