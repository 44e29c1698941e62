# Whatever the order in which transactions begin, commit and roll back, every committed event is sent exactly once, and no other is.
# Writers run random transactions: savepoints, more subtransactions than the server keeps in memory, errors, prepared transactions that
# are decided at once, much later or never, large ones, and some that are forgotten open.  What they commit is known beforehand from the
# script alone and compared with the journal of the rehearsal server.
# SEED repeats a run; QUEUE_BULK is the number of events of the largest transaction (20000), QUEUE_TURNS that of a writer's transactions (60).
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep);

my $seed = $ENV{SEED} // int(rand(1_000_000));
my $bulk = $ENV{QUEUE_BULK} // 20000;
my $turns = $ENV{QUEUE_TURNS} // 60;
my $writers = 5;
diag("SEED=$seed");
srand($seed);

my $journal = PostgreSQL::Test::Utils::tempdir() . '/journal';
my $tiktok = Rehearsal->start('--trust', '--keep-events', '0', '--keep-bodies', '0', '--journal', $journal);
my $node = $tiktok->cluster('visibility', max_prepared_transactions => 200, max_wal_size => '4GB');

# batches of very different sizes, so that windows are cut everywhere
my %batch_size = (many => 1000, some => 40, few => 3);
my %committed;    # event_id => 1
my @undecided;    # prepared transactions: [name, ids], decided at the end
my $named = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub one_of { return $_[ int rand @_ ] }

sub track
{
	my ($id, $source) = @_;
	$source //= one_of('many', 'many', 'some', 'few');
	return "tiktok.track('$source', 'ViewContent', $id, user_data => '{\"external_id\": \"7\"}', "
	  . "page => '{\"url\": \"https://shop.example.com/\"}')";
}

# Statements that record so many events, and their ids.
sub events
{
	my ($n) = @_;
	my @ids = map { 'e' . ++$named } 1 .. $n;
	return (join('', map { 'SELECT ' . track("'$_'") . ";\n" } @ids), @ids);
}

sub bulk
{
	my ($n) = @_;
	my $prefix = 'b' . ++$named . '-';
	return ('SELECT count(' . track("'$prefix' || n", 'many') . ") FROM generate_series(1, $n) n;\n", map { "$prefix$_" } 1 .. $n);
}

# A line of savepoints, each with an event; then back to one of them.
sub savepoints
{
	my ($n) = @_;
	my $text = '';
	my @ids;
	for my $level (1 .. $n)
	{
		my ($event, $id) = events(1);
		$text .= "SAVEPOINT s$level;\n$event";
		push @ids, $id;
	}
	my $back = 1 + int rand $n;
	if (rand() < 0.7)
	{
		$text .= "ROLLBACK TO s$back;\n";
		splice @ids, $back - 1;
	}
	else
	{
		$text .= "RELEASE s$back;\n";
	}
	return ($text, @ids);
}

# Subtransactions one after the other, every third of them undone by an error.
sub exceptions
{
	my ($n) = @_;
	my $prefix = 'x' . ++$named . '-';
	my $text = "DO \$\$ BEGIN FOR n IN 1 .. $n LOOP BEGIN PERFORM " . track("'$prefix' || n") . "; "
	  . "IF n % 3 = 0 THEN RAISE EXCEPTION 'undone'; END IF; EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END \$\$;\n";
	return ($text, map { "$prefix$_" } grep { $_ % 3 } 1 .. $n);
}

# A transaction draws its id before it does anything, and takes its time.
sub dawdle { return sprintf "SELECT pg_current_xact_id(), pg_sleep(%.3f);\n", rand 0.2 }

sub contents
{
	my $dice = rand;
	return events(1 + int rand 4) if $dice < 0.5;
	return savepoints(1 + int rand 4) if $dice < 0.7;
	return savepoints(70 + int rand 20) if $dice < 0.76;
	return exceptions(4 + int rand 10) if $dice < 0.86;
	return exceptions(100) if $dice < 0.9;
	return bulk(50 + int rand 500);
}

sub prepare_transaction
{
	my ($text, @ids) = @_;
	my $name = 'p' . ++$named;
	my $fate = rand;

	$text = "BEGIN;\n$text" . "PREPARE TRANSACTION '$name';\n";
	if ($fate < 0.4)
	{
		push @undecided, [ $name, @ids ];
		return $text;
	}
	return "$text" . "ROLLBACK PREPARED '$name';\n" if $fate < 0.6;
	$committed{$_} = 1 for @ids;
	return $text . dawdle() . "COMMIT PREPARED '$name';\n";
}

# A transaction whatever its end; says in %committed what it leaves.
sub transaction
{
	my ($text, @ids) = contents();
	my ($more, @more_ids) = rand() < 0.3 ? contents() : ('');
	my $begin = one_of('BEGIN', 'BEGIN', 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'BEGIN ISOLATION LEVEL SERIALIZABLE');
	my $dice = rand;

	$text = (rand() < 0.4 ? dawdle() : '') . $text . (rand() < 0.3 ? dawdle() : '') . $more;
	push @ids, @more_ids;
	return prepare_transaction($text, @ids) if $dice < 0.15;
	return "$begin;\n$text" . "ROLLBACK;\n" if $dice < 0.3;
	return "$begin;\n$text" . "SELECT 1 / 0;\nCOMMIT;\n" if $dice < 0.4;
	$committed{$_} = 1 for @ids;
	return "$begin;\n$text" . "COMMIT;\n";
}

# A writer does not mind errors: its script has some.
sub start_writer
{
	my ($text) = @_;
	return Rehearsal::writer($node, 'SET client_min_messages = panic; SET synchronous_commit = ' . one_of('on', 'off') . ";\n$text");
}

sub decide_prepared
{
	while (my $transaction = shift @undecided)
	{
		my ($name, @ids) = @$transaction;
		my $commit = rand() < 0.6;
		sql(($commit ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$name'");
		next unless $commit;
		$committed{$_} = 1 for @ids;
	}
}

# event_id => copies that arrived
sub arrived
{
	my %copies;
	open my $file, '<', $journal or die "$journal: $!";
	while (<$file>)
	{
		/"event_id":"([^"]+)".*"accepted":true/ or die "unexpected line in the journal: $_";
		$copies{$1}++;
	}
	return \%copies;
}

# What arrived is what was committed, and the tables agree.
sub compare
{
	my ($what) = @_;
	ok(Rehearsal::drained($node, 120), "$what: nothing is left pending");
	my $copies = arrived();
	my @missing = grep { !$copies->{$_} } keys %committed;
	my @invented = grep { !$committed{$_} } keys %$copies;
	is(scalar @missing, 0, "$what: every committed event has arrived") or diag("missing: @missing[0 .. ($#missing < 20 ? $#missing : 20)]");
	is(scalar @invented, 0, "$what: nothing of what was rolled back has")
	  or diag("invented: @invented[0 .. ($#invented < 20 ? $#invented : 20)]");
	is(Rehearsal::statuses($node), 'delivered ' . keys %committed, "$what: the tables say the same");
	is(sql('SELECT sum(pending), sum(retrying) FROM tiktok.backlog'), '0|0', "$what: the backlog is empty");
	diag("$what: " . keys(%committed) . ' events, ' . sql('SELECT count(*) FROM tiktok.request') . ' requests');
	return $copies;
}

# Runs the writers to their end; calls back every now and then.
sub run_writers
{
	my ($meanwhile) = @_;
	my @running = map { start_writer(join '', map { transaction() } 1 .. $turns) } 1 .. $writers;
	while (@running)
	{
		$meanwhile->() if $meanwhile;
		sleep 0.1;
		@running = grep { waitpid($_, WNOHANG) == 0 } @running;
	}
}

for my $name (sort keys %batch_size)
{
	sql("INSERT INTO tiktok.source (name, event_source, event_source_id, batch_size, requests_per_second) "
		  . "VALUES ('$name', 'web', 'C$name', $batch_size{$name}, 1000)");
	sql("SELECT tiktok.set_access_token('$name', '$Rehearsal::TOKEN')");
}

# some answers come late, so that requests end in another order than they began
$tiktok->script({ action => 'delay', seconds => 0.3, when => 'after', times => undef, match => { every => 12 } });

# Nobody is killed: one copy of everything
my ($text, @late_ids) = events(2);
my ($more, @more_ids) = savepoints(80);
my $late = Rehearsal::session($node, "BEGIN;\n$text$more");
push @late_ids, @more_ids;
my $lost = Rehearsal::session($node, "BEGIN;\n" . (events(3))[0]);
my ($large, @large_ids) = bulk($bulk);
my $large_writer = start_writer("BEGIN;\n$large" . "ROLLBACK;\nBEGIN;\n" . (bulk($bulk))[0] . "SELECT 1 / 0;\nCOMMIT;\nBEGIN;\n" . (savepoints(3))[0] . "ROLLBACK;\n$large");
$committed{$_} = 1 for @large_ids;
run_writers();
waitpid $large_writer, 0;
my $copies = compare('transactions in disorder');
is(scalar(grep { $_ > 1 } values %$copies), 0, 'and each has arrived once');

# What was prepared or forgotten comes later, in whatever order
decide_prepared();
Rehearsal::end_session($late, 'COMMIT;');
$committed{$_} = 1 for @late_ids;
$node->poll_query_until('postgres', "SELECT status = 'delivered' FROM tiktok.event_status WHERE event_id = '$late_ids[0]'");
$copies = compare('late commits');
is(scalar(grep { $_ > 1 } values %$copies), 0, 'and each has arrived once');

# The worker is ended every now and then: only what it had under way may arrive again
my $ended = 0;
my $countdown = 10;
run_writers(
	sub {
		return if --$countdown > 0 || $ended == 3;
		$ended += sql("SELECT count(pg_terminate_backend(pid)) FROM tiktok.worker_status WHERE state <> 'starting'");
		$countdown = 10 + int rand 20;
	});
$node->restart;    # prepared transactions are still there after it
decide_prepared();
Rehearsal::end_session($lost, 'COMMIT;');    # in vain: its session is gone
$copies = compare('with a worker that ended ' . ($ended + 1) . ' times');
my %attempts = map { split /\|/ } split /\n/, sql('SELECT event_id, attempts FROM tiktok.event_status');
is(scalar(grep { $copies->{$_} > $attempts{$_} } keys %$copies), 0, 'nothing arrived more often than it is recorded to have been sent');
diag('sent again: ' . (grep { $_ > 1 } values %$copies) . ' events');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|TRAP/, 'no crash');
done_testing();
