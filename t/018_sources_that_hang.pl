# Thousands of sources, some of which hang; and sessions that withdraw consent in a loop: nobody else waits for them.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep time);

my $many = $ENV{SOURCES} // 3000;
my $tiktok = Rehearsal->start('--keep-bodies', '0', '--keep-events', '0', '--trust');
my $node = $tiktok->cluster('many', 'tiktok_events.request_timeout' => '30s', 'tiktok_events.endpoint' => $tiktok->{http_url});

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub events
{
	my ($sources, $from, $to) = @_;
	sql("SELECT count(tiktok.track(name, 'ViewContent', name || '-' || n, user_data => jsonb_build_object('external_id', n), "
		  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM tiktok.source, generate_series($from, $to) n WHERE name IN ($sources)");
}

sub cpu_ms
{
	my ($pid) = @_;
	my @stat = split ' ', slurp_file("/proc/$pid/stat");
	return 10 * ($stat[13] + $stat[14]);
}

sql("INSERT INTO tiktok.source (name, event_source, event_source_id) SELECT 's' || n, 'web', 'C' || n FROM generate_series(1, $many) n");
sql("SELECT count(tiktok.set_access_token(name, '$Rehearsal::TOKEN')) FROM tiktok.source");
$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM tiktok.source_state');
my $pid = sql('SELECT pid FROM tiktok.worker_status');

$tiktok->script(map { { action => 'hang', times => undef, match => { event_source_id => "C$_" } } } 1 .. 3);
events("'s1', 's2', 's3'", 1, 500);
sleep 3;
my $cpu = cpu_ms($pid);
my $start = time;
my $longest = 0;
for my $n (10 .. 29)
{
	my $begun = time;
	events("'s$n'", 1, 1);
	Rehearsal::await("s$n", sub { sql("SELECT status = 'delivered' FROM tiktok.event_status WHERE event_id = 's$n-1'") eq 't' });
	my $took = time - $begun;
	$longest = $took if $took > $longest;
	sleep 0.2;
}
cmp_ok($longest, '<=', 3, "three of $many sources hang: an event of another one waits three seconds at most");
diag(sprintf 'beside 3 of %d sources that hang: %.2f s at most; the worker used %.1f %% of a processor', $many, $longest, (cpu_ms($pid) - $cpu) / 10 / (time - $start));
$tiktok->script;
sql("SELECT tiktok.discard(name) FROM tiktok.source WHERE name IN ('s1', 's2', 's3')");

# Sessions that withdraw consent in a loop, of events of another source and then of the same one: that takes the processors in both cases
my $n = 10000;
sub drain
{
	my ($source, $prefix) = @_;
	sql("SELECT count(tiktok.track('$source', 'ViewContent', '$prefix-' || n, user_data => jsonb_build_object('external_id', '$prefix' || n), "
		  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series(1, $n) n");
	my $begun = time;
	Rehearsal::await("the events $prefix", sub { sql("SELECT count(*) = $n FROM tiktok.event_status WHERE source = '$source' AND event_id LIKE '$prefix-%' AND status = 'delivered'") eq 't' }, 120);
	return $n / (time - $begun);
}

# each session one call after another
sub drain_beside
{
	my ($source, $prefix) = @_;
	my @sessions = map { my $session = $_; Rehearsal::writer($node, join '', map { "SELECT tiktok.withdraw_consent('$source', 'first-" . ($session * 400 + $_ % 400) . "'), pg_sleep(0.02);\n" } 1 .. 1000) } 1 .. 20;
	sleep 1;
	my $rate = drain('s50', $prefix);
	kill 'KILL', @sessions;
	waitpid $_, 0 for @sessions;
	return $rate;
}
drain('s60', 'first');
my $alone = drain('s50', 'first');
my ($elsewhere, $beside);
for my $try (1 .. 3)
{
	# other tests may take the processors meanwhile
	$elsewhere = drain_beside('s60', "elsewhere$try");
	$beside = drain_beside('s50', "beside$try");
	last if $beside >= $elsewhere / 2;
}
diag(sprintf 'events a second: %.0f alone, %.0f and %.0f beside 20 sessions that withdraw consent, of another source and of this one', $alone, $elsewhere, $beside);
cmp_ok($beside, '>=', $elsewhere / 2, 'a loop of withdrawals leaves delivery at half speed or better');

$node->stop;
done_testing();
