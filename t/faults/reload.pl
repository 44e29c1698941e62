# Settings change just when a worker leaves its database to another one: it decided by the old settings that there was nothing to do.
# What the new ones let it do must not wait for the next look, which comes after ten minutes, or a minute when old rows are due.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep);

my $tiktok = Rehearsal->start('--trust');
my $node = $tiktok->cluster('reload', 'tiktok_events.max_workers' => 1, 'tiktok_events.enabled' => 'off');
my $fault = $node->data_dir . '/tiktok_events.fault';

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }

$tiktok->sources($node);
sql("SELECT tiktok.track('shop', 'ViewContent', 'waits', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')");
sql('SELECT pg_reload_conf()');
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM tiktok.worker_status WHERE database = 'postgres' AND state = 'idle'"), 'the worker is there');
append_to_file($fault, "leaving * wait\n");
sql('CREATE DATABASE other');
sql('CREATE EXTENSION tiktok_events', 'other');
ok(Rehearsal::await('the worker at the door', sub { slurp_file($node->logfile) =~ /fault point "leaving": process \d+ waits/ }), 'it makes room for another database');
sql('ALTER SYSTEM SET tiktok_events.enabled = on');
$node->reload;
sleep 1;
unlink $fault;
ok(Rehearsal::await('the event', sub { Rehearsal::statuses($node) eq 'delivered 1' }, 30), 'what may be sent now is sent');

$node->stop;
done_testing();
