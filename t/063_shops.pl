# The checks are silent in shops that are well and name what goes wrong in others: t/shops/shops.py simulates both.
# SHOPS sets what is simulated: SHOPS='--weeks 2 --copies 3' takes half an hour, '--verbose' says what was said.
# The server lives by the clock of t/clock.c, which is compiled here.
use strict;
use warnings;

use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $here = dirname(__FILE__);
my $dir = PostgreSQL::Test::Utils::tempdir();
my $compiler = $ENV{CC} // 'cc';
plan skip_all => "no C compiler: $compiler"
  if system($compiler, '-shared', '-fPIC', '-O2', '-o', "$dir/clock.so", "$here/clock.c") != 0;

# Few shops: those that were most often taken for ill, and faults of every kind of check
my @options = split ' ', $ENV{SHOPS} // join ' ', '--step 48 --fault-hours 20',
  '--sizes 80,3 --kinds first_week,promotion_ended,renewals,pays_later,crm',
  '--faults trigger_disabled,trigger_dropped,nothing_recorded,numbers_of_another_shop,twice,all_refused,consent_gone,email_gone,pixel_other_ids,hundredfold';

my $node = PostgreSQL::Test::Cluster->new('shops');
$node->init;
$node->append_conf('postgresql.conf', <<CONF);
shared_preload_libraries = 'tiktok_events'
tiktok_events.databases = 'none_of_these'
jit = off
CONF
append_to_file("$dir/clock", pack('q', 0));
{
	local %ENV = (%ENV, LD_PRELOAD => "$dir/clock.so", TEST_CLOCK => "$dir/clock");
	$node->start;
}
my @command = ('/usr/bin/python3', "$here/shops/shops.py", '--database', $node->connstr('postgres'), '--clock', "$dir/clock", @options);
my $said = `@{[join ' ', map { "'$_'" } map { s/'/'\\''/gr } @command]}`;
is($?, 0, 'the simulation ran');
note $said;

my ($false, $weeks, $named, $faults, $blamed) = $said =~ /^(\d+) of (\d+) shop-weeks had a false alarm; (\d+) of (\d+) faults were named in time, (\d+) with words that blame something else$/m;
cmp_ok($weeks, '>', 0, 'there are shops that are well');
is($false, 0, 'without a false alarm');
cmp_ok($faults, '>', 0, 'there are faults');
is($named, $faults, 'all named in time');
is($blamed, 0, 'and nothing that is well was blamed');
$node->stop;
done_testing();
