# A dump has the configuration and nothing that could be sent: restored anywhere, in any way, it sends nothing until it has a token of its own or,
# where tokens are in files, until somebody says that this is the database to send.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $origin = $tiktok->cluster('origin');

sub sql { my ($node, $sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql) }
sub requests { return $tiktok->stats->{requests} }

sub track
{
	my ($node, $id, $db) = @_;
	sql($node, "SELECT tiktok.track('shop', 'ViewContent', '$id', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')", $db);
}

# What is dumped: one event delivered, another one not
$tiktok->sources($origin);
track($origin, 'delivered');
ok(Rehearsal::drained($origin, 20), 'delivered');
sql($origin, "SELECT tiktok.pause('shop')");
track($origin, 'pending');

# Dumped and restored
my $dir = PostgreSQL::Test::Utils::tempdir();
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->append_conf('postgresql.conf', "shared_preload_libraries = 'tiktok_events'\ntiktok_events.endpoint = '$tiktok->{https_url}'\ntiktok_events.ca_file = '$tiktok->{ca_file}'");
$other->start;
sql($other, 'CREATE DATABASE plain');
sql($origin, 'CREATE DATABASE custom');
$origin->command_ok([ 'pg_dump', '-f', "$dir/plain", '-d', $origin->connstr('postgres') ], 'pg_dump');
$origin->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/custom", '-d', $origin->connstr('postgres') ], 'pg_dump -Fc');
my ($listed) = run_command([ 'pg_restore', '-l', "$dir/custom" ]);
like($listed, qr/TABLE DATA tiktok config_origin .*TABLE DATA tiktok source /s, 'a database is told as a copy before it has sources');
$origin->command_ok([ 'pg_dumpall', '-f', "$dir/all", '-d', $origin->connstr('postgres') ], 'pg_dumpall');
$other->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain", '-d', $other->connstr('plain') ], 'restored in another cluster');
$origin->command_ok([ 'pg_restore', '--exit-on-error', '-d', $origin->connstr('custom'), "$dir/custom" ], 'restored in another database');
# the role that restores is in the dump, and exists
$other->command_ok([ 'psql', '-X', '-q', '-f', "$dir/all", '-d', $other->connstr('postgres') ], 'a whole cluster restored');
for my $restored ([ $other, 'plain' ], [ $origin, 'custom' ], [ $other, 'postgres' ])
{
	my ($node, $db) = @$restored;
	my $name = $node->name . ".$db";
	my $before = requests();

	is(sql($node, 'SELECT (SELECT count(*) FROM tiktok.source), (SELECT count(*) FROM tiktok.event), (SELECT count(*) FROM tiktok.access_token)', $db),
		'4|0|0', "$name has sources, but neither events nor tokens");
	track($node, "restored-$name", $db);
	is(sql($node, "SELECT tiktok.wait('1 s')", $db), 'f', "$name sends nothing");
	is(requests(), $before, 'no request is made');
	is(sql($node, "SELECT state FROM tiktok.backlog WHERE source = 'shop'", $db), 'no_token', 'for want of a token');
	sql($node, "INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('new', 'web', 'CNEW'); SELECT tiktok.set_access_token('shop', '$Rehearsal::TOKEN')", $db);
	ok(Rehearsal::drained($node, 20, $db), "$name sends with a token");
	is(sql($node, "SELECT source_id = (SELECT id FROM tiktok.source WHERE name = 'shop') FROM tiktok.event", $db), 't', 'under the number of its source');
}

# Tokens in files, which are there before the dump comes
my $tokens = PostgreSQL::Test::Utils::tempdir();
chmod 0700, $tokens;
for my $name (qw(shop own))
{
	append_to_file("$tokens/$name", $Rehearsal::TOKEN);
	chmod 0600, "$tokens/$name";
}
for my $node ($origin, $other)
{
	$node->append_conf('postgresql.conf', "tiktok_events.access_token_dir = '$tokens'");
	$node->reload;
}

sub state_of { my ($node, $db, $source) = @_; return sql($node, "SELECT state FROM tiktok.backlog WHERE source = '" . ($source // 'shop') . "'", $db) }
sub own_stamps { my ($node, $db) = @_; return sql($node, 'SELECT bool_and(database_oid = (SELECT oid FROM pg_database WHERE datname = current_database())) FROM tiktok.config_origin', $db) }

sub sends_nothing
{
	my ($node, $db, $name, $source) = @_;
	my $before = requests();

	sql($node, "SELECT tiktok.track('" . ($source // 'shop') . "', 'ViewContent', '$name', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')", $db);
	is(sql($node, "SELECT tiktok.wait('2 s')", $db), 'f', "$name sends nothing");
	is(requests(), $before, 'no request is made');
	is(state_of($node, $db, $source), 'copied', 'as a copy');
}

sub restored
{
	my ($node, $db, $name, $fails, @command) = @_;
	my $run = $fails ? $node->can('command_fails') : $node->can('command_ok');

	$node->$run([ @command, '-d', $node->connstr($db), $command[0] eq 'psql' ? ('-f', "$dir/plain") : "$dir/custom" ], $name);
}

my @ways = ([ 'plain', 'psql', '-X', '-q' ], [ 'exit', 'pg_restore', '--exit-on-error' ], [ 'custom', 'pg_restore' ], [ 'single', 'pg_restore', '--single-transaction' ]);
for my $case ((map { [ $other, @$_ ] } @ways), (map { [ $origin, @$_ ] } @ways[ 0, 1 ]))
{
	my ($node, $way, @command) = @$case;
	my $name = join '-', $node->name, $way;

	sql($node, 'CREATE DATABASE restored');
	restored($node, 'restored', "$name: restored", 0, @command);
	sends_nothing($node, 'restored', $name);
	sql($node, "SELECT tiktok.set_access_token('app', '$Rehearsal::TOKEN')", 'restored');
	is(sql($node, "SELECT tiktok.wait('1 s')", 'restored'), 'f', 'nor with the token of another source');
	sql($node, 'SELECT tiktok.confirm_database()', 'restored');
	ok(Rehearsal::drained($node, 20, 'restored'), 'until it is confirmed');
	is(own_stamps($node, 'restored'), 't', 'for good');
	sql($node, 'DROP DATABASE restored');
}

# A token that was set here speaks for its source, and for the file of its name
sql($other, 'CREATE DATABASE restored');
restored($other, 'restored', 'restored', 0, 'pg_restore');
sends_nothing($other, 'restored', 'said');
sql($other, "SELECT tiktok.set_access_token('shop', 'wrong')", 'restored');
ok(Rehearsal::drained($other, 20, 'restored'), 'a token that is set here confirms its source');
sql($other, "INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('own', 'web', 'COWN')", 'restored');
sends_nothing($other, 'restored', 'other-source', 'own');

# A copy by TEMPLATE knows as well
sql($other, 'SELECT tiktok.confirm_database()', 'restored');
ok(Rehearsal::drained($other, 20, 'restored'), 'confirmed');
sql($other, 'CREATE DATABASE copy TEMPLATE restored');
sends_nothing($other, 'copy', 'template');
sql($other, 'SELECT tiktok.confirm_database()', 'copy');
ok(Rehearsal::drained($other, 20, 'copy'), 'confirmed');
is(sql($other, 'SELECT (SELECT count(*) FROM tiktok.config_origin), (SELECT count(*) FROM tiktok.installation)', 'copy'), '1|1', 'with one stamp');
is(own_stamps($other, 'copy'), 't', 'which is its own');
sql($other, "DROP DATABASE $_") for qw(copy restored);

# Data alone come into a database that is at work; some rows may be there already
for my $way ([ 'alone' ], [ 'exit', '--exit-on-error' ], [ 'again' ])
{
	my ($name, @options) = @$way;

	sql($other, 'CREATE DATABASE data');
	sql($other, "CREATE EXTENSION tiktok_events; INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (100, 'own', 'web', 'COWN')", 'data');
	sql($other, "INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (101, 'crm', 'web', 'CCRM')", 'data') if $name eq 'again';
	sql($other, "SELECT tiktok.track('own', 'ViewContent', 'before', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')", 'data');
	ok(Rehearsal::drained($other, 20, 'data'), 'a database that sends');
	restored($other, 'data', "data $name", $name eq 'again', 'pg_restore', '--data-only', '--disable-triggers', @options);
	sends_nothing($other, 'data', "data-$name", 'own');
	is(state_of($other, 'data'), $name eq 'again' ? '' : 'copied', 'nor what came with the dump');
	sql($other, 'SELECT tiktok.confirm_database()', 'data');
	ok(Rehearsal::drained($other, 20, 'data'), 'until it is confirmed');
	sql($other, 'DROP DATABASE data') unless $name eq 'again';
}

# pg_restore has left triggers that no replica fires: what one writes is noticed, by the worker and by sessions
is(sql($other, "SELECT string_agg(tgenabled::text, '') FROM pg_trigger WHERE tgrelid = 'tiktok.source'::regclass AND tgname = 'changed'", 'data'), 'O', 'a trigger that replicas do not fire');
my $track = "SELECT tiktok.track('own', 'ViewContent', '%s', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}');";
my $session = Rehearsal::session($other, sprintf($track, 'session'), 'data');
ok(Rehearsal::drained($other, 20, 'data'), 'a session that has read the configuration');
sql($other, "SET session_replication_role = replica; UPDATE tiktok.source SET enabled = false, consent = 'required' WHERE name = 'own'", 'data');
sleep 7;
Rehearsal::end_session($session, sprintf($track, 'no-consent'));
is(sql($other, "SELECT status FROM tiktok.event_status WHERE event_id = 'no-consent'", 'data'), 'suppressed', 'the session knows');
my $before = requests();
sql($other, "SELECT tiktok.track('own', 'ViewContent', 'disabled', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}', consent => true)", 'data');
is(sql($other, "SELECT tiktok.wait('1 s')", 'data'), 'f', 'and the worker');
is(requests(), $before, 'which sends nothing');
sql($other, "SET session_replication_role = replica; UPDATE tiktok.source SET enabled = true WHERE name = 'own'", 'data');
ok(Rehearsal::drained($other, 20, 'data'), 'until it may');
$other->stop;

# What comes back into its own database is no copy
$origin->command_ok([ 'pg_restore', '--clean', '--if-exists', '--exit-on-error', '-d', $origin->connstr('postgres'), "$dir/custom" ], 'restored in the same database');
track($origin, 'back');
ok(Rehearsal::drained($origin, 20), 'it sends');
sql($origin, 'DROP EXTENSION tiktok_events; CREATE EXTENSION tiktok_events');
restored($origin, 'postgres', 'data alone in the same database', 0, 'pg_restore', '--data-only', '--disable-triggers', '--exit-on-error');
track($origin, 'back-again');
ok(Rehearsal::drained($origin, 20), 'it sends');
$origin->stop;

done_testing();
