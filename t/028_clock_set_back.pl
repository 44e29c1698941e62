# A clock that is set back or forth by a year stalls nothing and sends nothing twice.
# The server lives by the clock of t/clock.c, which is compiled here.
use strict;
use warnings;

use Fcntl;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $library = "$dir/clock.so";
my $compiler = $ENV{CC} // 'cc';
plan skip_all => "no C compiler: $compiler"
  if system($compiler, '-shared', '-fPIC', '-O2', '-o', $library, dirname(__FILE__) . '/clock.c') != 0;

my $tiktok = Rehearsal->start('--trust');
my $node = $tiktok->cluster('clock', 'tiktok_events.endpoint' => $tiktok->{http_url});

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub wait_for { return $node->poll_query_until('postgres', "SELECT $_[0]") }

# Sets the clock of the server, so many days from now.
sub set_clock
{
	my ($days) = @_;
	sysopen my $file, "$dir/clock", O_WRONLY | O_CREAT or die "$dir/clock: $!";
	syswrite $file, pack('q', $days * 86400);
	close $file;
}

sub track
{
	my ($id) = @_;
	return "SELECT tiktok.track('shop', 'ViewContent', '$id', user_data => '{\"external_id\": \"7\"}', "
	  . "page => '{\"url\": \"https://shop.example.com/\"}');";
}

sub worker { return sql("SELECT coalesce(max(pid), 0) FROM tiktok.worker_status WHERE state <> 'starting'") }

sub drained
{
	my ($what) = @_;
	ok(Rehearsal::drained($node, 30), $what);
	is($tiktok->stats->{duplicate_copies}, 0, 'and nothing arrives twice');
}

# all processes of the server live by that clock, which starts with the present
$node->stop;
set_clock(0);
{
	local %ENV = (%ENV, LD_PRELOAD => $library, TEST_CLOCK => "$dir/clock");
	$node->start;
}
$tiktok->sources($node);
sql("UPDATE tiktok.source SET max_event_age = '10 years'");
sql(track('first'));
drained('delivery by the right clock');
my $worker = worker();
set_clock(365);
wait_for("extract(epoch FROM heartbeat) > " . (time + 364 * 86400) . ' FROM tiktok.worker_status');
pass('the worker lives by the clock that was set forth');
sql(track('forth'));
drained('after the clock was set forth');
is(worker(), $worker, 'by the same worker');

# events that are to be tried again in some seconds
$tiktok->script({ action => 'status', status => 503, when => 'before' });
sql(track('retry'));
wait_for("status = 'retrying' FROM tiktok.event_status WHERE event_id = 'retry'");
set_clock(0);
drained('an attempt that is due when the clock is set back is made');

# requests that wait for their turn
sql("UPDATE tiktok.source SET requests_per_second = 1, batch_size = 1 WHERE name = 'shop'");
sql(join '', map { track("rate$_") } 1 .. 6);
wait_for("count(*) >= 2 FROM tiktok.event_status WHERE event_id ~ '^rate' AND status = 'delivered'");
set_clock(-365);
drained('requests that the rate holds up when the clock is set back are made');

# a worker that is to be started again in some seconds
$worker = worker();
for my $time (1 .. 3)
{
	sql("SELECT pg_terminate_backend($worker)");
	wait_for("count(*) = 0 FROM tiktok.worker_status WHERE pid = $worker");
	last if $time == 3;
	wait_for("count(*) = 1 FROM tiktok.worker_status WHERE pid IS NOT NULL AND state <> 'starting'");
	$worker = worker();
}
set_clock(-730);
sql(track('back'));
drained('a worker that is to be started when the clock is set back is started');
is(Rehearsal::statuses($node), 'delivered 10', 'all is delivered');

$node->stop;
done_testing();
