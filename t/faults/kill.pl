# The worker is killed, fails, and is terminated in every named place, while clients commit: what a client was told to be
# committed is counted by TikTok exactly once, whatever was sent twice was sent with the same bytes and few times, and nothing stays behind.
# Needs a library built with FAULT_POINTS=1.  ROUNDS: kills in each place (default 2); half as many errors and terminations.
# PLACES: only these, parted by blanks.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../lib';
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(time);

my $BATCH = 10;
my $rounds = POSIX::ceil(($ENV{ROUNDS} // 2) / 2);    # of each of two servers, which run side by side
my $dir = PostgreSQL::Test::Utils::tempdir();

# Where, and what it takes to come there: a function that runs once the fault has been ordered and the clients are at work.
# quiet: nothing is on the wire there if there is one request at a time, so nothing is sent twice; elsewhere only what was in flight is.
my @points = (
	[ 'connected', later => \&restart_worker ],
	[ 'tokens-read', later => \&set_token, quiet => 1 ],
	[ 'snapshot-taken', quiet => 1 ],
	[ 'loaded', later => \&restart_worker ],
	[ 'recovering', script => { action => 'hang', when => 'after' }, later => \&kill_hanging ],
	[ 'request-inserted', quiet => 1 ],
	[ 'requests-committed', quiet => 1 ],
	[ 'body-half-sent', padding => 120_000, quiet => 1, kill_only => 1 ],
	[ 'in-flight' ],
	[ 'body-sent', name => 'in-flight', script => { action => 'hang', when => 'after' }, before => \&hanging ],
	[ 'all-forgotten', script => { action => 'hang', when => 'after' }, later => \&cancel_hanging ],
	[ 'answer-begun', kill_only => 1 ],
	[ 'answer-read' ],
	[ 'before-record' ],
	[ 'request-finished' ],
	[ 'fate-written' ],
	[ 'retry-written', script => { action => 'status', status => 503 } ],
	[ 'cursor-moved' ],
	[ 'before-record-commits' ],
	[ 'recorded', quiet => 1 ]);
if (my %only = map { $_ => 1 } split / /, $ENV{PLACES} // '')
{
	@points = grep { $only{ $_->[0] } } @points;
}

# What a server needs to know: its node, the rehearsal server beside it, and how many requests go at a time.
my @lanes = map { lane($_) } 1, 4;

sub lane
{
	my ($in_flight) = @_;
	my $tiktok = Rehearsal->start('--whole-events');
	my $node = $tiktok->cluster("kill_$in_flight", 'tiktok_events.max_in_flight' => $in_flight);

	$node->safe_psql('postgres', "INSERT INTO tiktok.source (name, event_source, event_source_id, batch_size, requests_per_second) "
		  . "VALUES ('shop', 'web', 'CPIXEL0000000001', $BATCH, 1000); SELECT tiktok.set_access_token('shop', '$Rehearsal::TOKEN')");
	return { in_flight => $in_flight, tiktok => $tiktok, node => $node, fault => $node->data_dir . '/tiktok_events.fault' };
}

# A query whose connection may be lost with the worker
sub ask
{
	my ($lane, $sql) = @_;
	my $answer = '';
	my $rc = $lane->{node}->psql('postgres', $sql, stdout => \$answer, stderr => \my $stderr);
	return $rc == 0 ? $answer : '';
}

sub worker { my ($lane) = @_; return Rehearsal::await('a worker', sub { ask($lane, 'SELECT pid FROM tiktok.worker_status WHERE pid > 0') }) }
sub hanging { my ($lane) = @_; $lane->{tiktok}->await_fault('hang') }
sub restart_worker { my ($lane) = @_; $lane->{own_kills}++; kill 'KILL', worker($lane) }
sub kill_hanging { my ($lane) = @_; hanging($lane); restart_worker($lane) }
sub cancel_hanging { my ($lane) = @_; hanging($lane); kill 'INT', worker($lane) }
sub set_token { my ($lane) = @_; ask($lane, "SELECT tiktok.set_access_token('shop', '$Rehearsal::TOKEN')") }

sub order
{
	my ($lane, $name, $action) = @_;
	append_to_file("$lane->{fault}.new", "$name * $action\n");
	rename "$lane->{fault}.new", $lane->{fault};
}

sub new_log
{
	my ($lane) = @_;
	return slurp_file($lane->{node}->logfile, $lane->{log_from});
}

# The worker waits in the named place: terminate it there.  Returns how long it took to end.
sub terminate
{
	my ($lane, $name) = @_;
	my $pid = Rehearsal::await("\"$name\" to be reached", sub { new_log($lane) =~ /fault point "$name": process (\d+) waits/ ? $1 : 0 });
	my $started = time;

	kill 'TERM', $pid;
	select undef, undef, undef, 0.01 while kill(0, $pid) && time - $started < 30;
	unlink $lane->{fault};
	return time - $started;
}

# One fault in one place; returns what came of it.
sub strike
{
	my ($lane, $point, $action, $n) = @_;
	my ($label, %how) = @$point;
	my $name = $how{name} // $label;
	my $prefix = "$label-$action-$n";
	my ($tiktok, $node) = @$lane{qw(tiktok node)};
	my (@clients, $ended);

	$tiktok->reset_all;
	# with answers that take a while, requests overlap where they may
	$tiktok->script($how{script} // (), $lane->{in_flight} > 1 ? { action => 'delay', seconds => 0.1, times => undef } : ());
	$lane->{log_from} = -s $node->logfile;
	$lane->{own_kills} = 0;
	$lane->{requests} = ask($lane, 'SELECT coalesce(max(id), 0) FROM tiktok.request');
	order($lane, $name, $action eq 'terminate' ? 'wait' : $action) unless $how{before};
	@clients = (
		Rehearsal::client($node, "$prefix-a", padding => $how{padding}),
		Rehearsal::client($node, "$prefix-b", padding => $how{padding}, asynchronous => 1));
	if ($how{before})
	{
		$how{before}->($lane);
		order($lane, $name, $action eq 'terminate' ? 'wait' : $action);
	}
	$how{later}->($lane) if $how{later};
	$ended = terminate($lane, $name) if $action eq 'terminate';
	Rehearsal::await("\"$name\" to be reached", sub { !-e $lane->{fault} });
	my $events = Rehearsal::client_events(@clients);
	Rehearsal::await('everything to be finished', sub { ask($lane, "SELECT tiktok.wait('10 s')") eq 't' });
	my $result = $tiktok->compare($node, $events);
	judge($lane, $result, $action, $how{quiet} && $lane->{in_flight} == 1);
	return { %$result, point => $label, action => $action, ended => $ended };
}

# What else must be true after a round
sub judge
{
	my ($lane, $result, $action, $quiet) = @_;
	my $problems = $result->{problems};
	my ($cut, $in_flight) = split /\|/, ask($lane, "SELECT count(*), coalesce(sum(events), 0) FROM tiktok.request "
		  . "WHERE id > $lane->{requests} AND outcome IN ('interrupted', 'abandoned')");
	my $log = new_log($lane);
	my $kills = () = $log =~ /terminated by signal 9/g;
	my $failures = () = $log =~ /fault point "[\w-]+"$/mg;
	my $left = ask($lane, 'SELECT (SELECT count(*) FROM tiktok.request WHERE finished_at IS NULL), (SELECT count(*) FROM tiktok.retry), '
		  . '(SELECT count(*) FROM tiktok.identity)');

	push @$problems, "$result->{copies} copies of $in_flight events in flight" if $result->{copies} > ($quiet ? 0 : $in_flight);
	push @$problems, "$cut requests in flight" if $cut > $lane->{in_flight} * (1 + $lane->{own_kills});
	push @$problems, "$kills kills" if $kills != $lane->{own_kills} + ($action eq 'kill');
	push @$problems, "$failures errors" if $failures != ($action eq 'error');
	push @$problems, "left behind: $left" if $left ne '0|0|0';
	push @$problems, 'PANIC' if $log =~ /PANIC|TRAP|signal (?!9\b)\d+:/;
}

# All rounds on one server, in a process of its own; results go to a file.
sub run_lane
{
	my ($lane, $file) = @_;

	for my $n (1 .. $rounds)
	{
		for my $point (@points)
		{
			my ($label, %how) = @$point;
			# one server fails half of the time, the other one is terminated: an error costs a pause of a second, and so does an end
			my $other = ($n + $lane->{in_flight}) % 2 ? 'error' : 'terminate';
			for my $action ($how{kill_only} ? () : $other, 'kill')
			{
				my $result = eval { strike($lane, $point, $action, $n) } // { point => $label, action => $action, problems => ["$@"] };
				append_to_file($file, encode_json($result) . "\n");
				return if $@;
			}
		}
	}
}

for my $lane (@lanes)
{
	$lane->{results} = "$dir/$lane->{in_flight}";
	$lane->{pid} = fork // die "fork: $!";
	next if $lane->{pid};
	eval { run_lane($lane, $lane->{results}); 1 } or append_to_file($lane->{results}, encode_json({ point => 'all', problems => ["$@"] }) . "\n");
	POSIX::_exit(0);
}
waitpid $_->{pid}, 0 for @lanes;

# Adds up
my %sum;
for my $lane (@lanes)
{
	for my $result (map { decode_json($_) } split /\n/, slurp_file($lane->{results}))
	{
		my $sum = $sum{ $result->{point} } //= { problems => [] };
		$sum->{ $result->{action} }++;
		$sum->{$_} += $result->{$_} // 0 for qw(events lost double);
		push @{ $sum->{problems} }, map { "one of $lane->{in_flight}, $result->{action}: $_" } @{ $result->{problems} };
		for my $max (qw(copies most ended))
		{
			$sum->{$max} = $result->{$max} if ($result->{$max} // 0) > ($sum->{$max} // 0);
		}
	}
}
note(sprintf '%-22s %5s %6s %5s %8s %5s %7s %10s %6s %8s', qw(place kills errors terms events lost double copies/max most end/max));
for my $label (map { $_->[0] } @points)
{
	my $sum = $sum{$label} // { problems => ['not reached'] };
	my @figures = map { $_ // 0 } @$sum{qw(kill error terminate events lost double copies most ended)};

	note(sprintf '%-22s %5d %6d %5d %8d %5d %7d %10d %6d %8.2f', $label, @figures);
	is_deeply($sum->{problems}, [], "$label: nothing lost, doubled or left behind");
	is($figures[4] + $figures[5], 0, "$label: everything is counted once");
	cmp_ok($figures[8], '<', 5, "$label: ends at once when it is terminated");
}
$_->{node}->stop for @lanes;
done_testing();
