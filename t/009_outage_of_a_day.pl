# TikTok is away for 24 hours, in every way, while three sources record events: when it is back, all are delivered within a minute, once.
# The server lives by the clock of t/clock.c, which begins a day ago and goes on by half hours.
use strict;
use warnings;

use Fcntl;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep time);

my $dir = PostgreSQL::Test::Utils::tempdir();
my $library = "$dir/clock.so";
my $compiler = $ENV{CC} // 'cc';
plan skip_all => "no C compiler: $compiler"
  if system($compiler, '-shared', '-fPIC', '-O2', '-o', $library, dirname(__FILE__) . '/clock.c') != 0;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('day', 'tiktok_events.endpoint' => $tiktok->{http_url}, 'tiktok_events.request_timeout' => '1s');
my $steps = 48;
my $recorded = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Sets the clock of the server, so many seconds from now.
sub set_clock
{
	my ($seconds) = @_;
	sysopen my $file, "$dir/clock", O_WRONLY | O_CREAT or die "$dir/clock: $!";
	syswrite $file, pack('q', $seconds);
	close $file;
}

sub record
{
	my ($step) = @_;
	sql(<<SQL);
SELECT count(tiktok.track('shop', 'Purchase', 's$step-' || n, user_data => jsonb_build_object('external_id', n), page => '{"url": "https://shop.example.com/"}',
	properties => '{"value": 10, "currency": "EUR"}')) FROM generate_series(1, 20) n;
SELECT count(tiktok.track('crm', 'Won', 'c$step-' || n, lead => jsonb_build_object('lead_id', 7412345678901230000 + n))) FROM generate_series(1, 2) n;
SELECT tiktok.track('store', 'Purchase', 'o$step', user_data => '{"email": "ana\@example.com"}', properties => '{"value": 1, "currency": "EUR"}');
SQL
	$recorded += 23;
}

# pg_ctl would not wait for a server that starts in the past
$node->stop;
set_clock(0);
{
	local %ENV = (%ENV, LD_PRELOAD => $library, TEST_CLOCK => "$dir/clock");
	$node->start;
}
set_clock(-86400);
$tiktok->sources($node);
record(0);
ok(Rehearsal::drained($node, 30), 'before: delivered');
is(Rehearsal::statuses($node), 'delivered 23', 'all of it');
my $requests = sql('SELECT count(*) FROM tiktok.request');

# Each kind of outage for some hours. "Too often" is not the last one: said twice within a minute, it means a pause of five minutes or more.
my @outages = (
	{ action => 'status', status => 503 }, { action => 'hang' }, { action => 'reset_after_body' }, { action => 'code', code => 40100 },
	{ action => 'status', status => 403 }, { action => 'code', code => 50000 });
for my $step (1 .. $steps)
{
	$tiktok->script({ %{ $outages[ ($step - 1) * @outages / $steps ] }, times => undef });
	set_clock(-86400 + $step * 86400 / $steps);
	record($step);
	sleep 0.4;
}
is(Rehearsal::statuses($node) =~ /rejected|uncertain|expired|invalid/, '', 'none is given up') or diag(Rehearsal::statuses($node));
$requests = sql('SELECT count(*) FROM tiktok.request') - $requests;
cmp_ok($requests, '<=', 12 * $steps, "requests while it was away: $requests");

# It is back
$tiktok->script;
$tiktok->reset_all;
my $start = time;
my $finished = Rehearsal::drained($node, 120);
my $took = time - $start;
ok($finished, 'after: finished');
cmp_ok($took, '<=', 60, sprintf 'within a minute of its end: %.1f s', $took);
is(Rehearsal::statuses($node), "delivered $recorded", 'all are delivered');
my $stats = $tiktok->stats;
is($stats->{duplicate_copies} // 0, 0, 'and none twice') or diag(explain $stats);
is(scalar @{ $tiktok->events('?accepted=true') }, $recorded - 23, 'as TikTok has seen since it is back');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'no crash');
done_testing();
