# tiktok.differences, bridge and reconcile of random shops say what t/numbers/shops.py works out for itself.
# NUMBERS sets which: NUMBERS='--seed 1000 --shops 500'.
use strict;
use warnings;

use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('bridge');
$node->init;
$node->append_conf('postgresql.conf', <<CONF);
shared_preload_libraries = 'tiktok_events'
tiktok_events.databases = 'none_of_these'
jit = off
CONF
$node->start;

my @command = ('/usr/bin/python3', dirname(__FILE__) . '/numbers/shops.py', '--database', $node->connstr('postgres'), split ' ', $ENV{NUMBERS} // '--shops 24');
my $said = `@{[join ' ', map { "'$_'" } map { s/'/'\\''/gr } @command]} 2>&1`;
is($?, 0, 'all is as expected') or diag $said;
my %times = $said =~ /\b([a-z_0-9]+) (\d+)(?=,|$)/gm;
my @causes = qw(test other_source pixel_only no_longer_known no_event pending retrying rejected invalid suppressed expired uncertain discarded duplicate
  no_value other_currency value_zero value_hundredfold value_constant value_net value_differs late no_order recorded_twice pixel_other_name pixel_other_id pixel_48_hours);
ok($times{$_}, "there are orders with cause $_") for @causes;
$node->stop;
done_testing();
