# A dump has the configuration and nothing that could be sent: restored anywhere, in any format, it sends nothing until it has a token.
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
$other->stop;

done_testing();
