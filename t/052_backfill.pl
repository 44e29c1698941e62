# tiktok.backfill beside a living table: it survives kill -9 and a cancel and goes on where it stopped, never stands in the way of
# orders that are written meanwhile, gives way to another session that runs it, and every order counts once at TikTok.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use IPC::Run;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $rows = 6000;
my $tiktok = Rehearsal->start('--keep-bodies', '0', '--trust');
my $node = $tiktok->cluster('backfill', 'deadlock_timeout' => '1s', 'log_lock_waits' => 'on');
my $call = "CALL tiktok.backfill('orders', 'tiktok_shop_purchase', 'status IN (''paid'', ''shipped'')', ignore_when => true)";
my %open;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A session whose statements may wait: begin sends one, finish gives its output and errors.
sub begin
{
	my ($name, $statement) = @_;
	my $session = $open{$name} //= do
	{
		my %s = (in => '', out => '', err => '');
		$s{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') . " application_name=$name" ], '<', \$s{in}, '>', \$s{out}, '2>', \$s{err},
			IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
		\%s;
	};
	@$session{qw(out err)} = ('', '');
	$session->{in} .= "$statement;\n\\echo done\n";
	$session->{run}->pump_nb;
	return $session;
}

sub finish
{
	my ($name) = @_;
	my $session = $open{$name};
	eval { $session->{run}->pump until $session->{out} =~ s/^done$//m; 1 };
	return "$session->{out}$session->{err}";
}

sub done { my ($name, $statement) = @_; begin($name, $statement); return finish($name) }

sub leave
{
	my $session = delete $open{$_[0]};
	$session->{in} .= "\\q\n";
	eval { $session->{run}->finish };
}

# Waits until the session waits for a lock
sub waits
{
	my ($name) = @_;
	$open{$name}{run}->pump_nb;
	return $node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = '$name' AND wait_event_type = 'Lock'");
}

sub progress { return sql('SELECT ' . ($_[0] // 'rows_read') . " FROM tiktok.backfill_progress") }

sub counted
{
	my ($n, $what) = @_;
	ok(Rehearsal::drained($node, 120), "$what: all is sent");
	is(sql("SELECT count(*) FROM tiktok.event_status WHERE status = 'delivered'"), $n, "$what: every order is delivered");
	my $stats = $tiktok->stats;
	is("$stats->{counted_events} $stats->{duplicate_copies}", "$n 0", "$what: and counts once");
}

$tiktok->sources($node);
sql(<<SQL);
CREATE TABLE orders (id int PRIMARY KEY, status text, email text, paid_at timestamptz, note int);
INSERT INTO orders SELECT n, CASE WHEN n = 3000 OR n > $rows - 100 THEN 'open' ELSE 'paid' END, 'a' || n || '\@example.com', now() - n * interval '1 second', 0
FROM generate_series(1, $rows) n;
SELECT tiktok.create_trigger('orders', 'shop', 'Purchase', '{"email": "email", "value": "id", "currency": "''EUR''", "event_time": "paid_at", "url": "''https://shop.example.com/''"}',
	'status = ''paid''');
SQL

# An order whose event is being recorded: the backfill commits what lies before, and waits for it with nothing in hand
my $pay_again = "BEGIN; UPDATE orders SET status = 'open' WHERE id = 50; UPDATE orders SET status = 'paid' WHERE id = 50";
done('clerk', $pay_again);
sql("UPDATE orders SET status = 'paid' WHERE id = 3000");
begin('fill', $call);
ok(waits('fill'), 'the backfill meets an order that another session records');
$node->poll_query_until('postgres', 'SELECT rows_read = 49 FROM tiktok.backfill_progress');
is(progress(), 49, 'it has committed the rows before');
ok(waits('fill'), 'and waits');
is(done('clerk', "SET statement_timeout = '5s'; UPDATE orders SET status = 'open' WHERE id = 10; UPDATE orders SET status = 'paid' WHERE id = 10"), "\n",
	'nobody has to wait for the backfill');

# Cancelled while it waits
sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'fill'");
my $output = finish('fill');
like($output, qr/canceling statement due to user request/, 'a cancel ends it');
like($output, qr/49 rows done; the same call goes on behind them/, 'and says how far it came');
is(progress('rows_read, finished_at IS NULL'), '49|t', 'what was committed stays');

# Killed while it waits; the crash takes the clerk along, whose event was never recorded
begin('fill', $call);
ok(waits('fill'), 'the same call waits at the same order');
ok(eval { $open{fill}{run}->pump until $open{fill}{err} =~ /goes on: events recorded for 49 of 49 rows/; 1 }, 'having gone on from there');
my $pid = sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'fill'");
kill 'KILL', $pid;
finish('fill');
leave($_) for qw(fill clerk);
$node->poll_query_until('postgres', 'SELECT true');
is(progress('rows_read, finished_at IS NULL'), '49|t', 'after kill -9 and recovery it is where it was');
is(sql("SELECT count(*) FROM tiktok.event WHERE event_id = 'orders-50'"), 0, 'the open transaction is gone');

# Another session has moved it: this one ends. It waits for the clerk, the thief for it, and it again for the thief.
done('clerk', $pay_again);
begin('fill', $call);
ok(waits('fill'), 'it waits again');
begin('thief', "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; UPDATE tiktok.backfill_progress SET rows_read = rows_read + 1");
ok(waits('thief'), 'somebody waits for it to commit');
done('clerk', 'COMMIT');
finish('thief');
ok(waits('fill'), 'it waits for the table');
my $read = progress();
cmp_ok($read, '>', 49, "a chunk more is committed: $read rows");
done('thief', 'COMMIT');
like(finish('fill'), qr/this backfill is being run by another session/, 'and it gives way to the other session');
sql('UPDATE tiktok.backfill_progress SET rows_read = rows_read - 1');

# To the end, while clerks pay and ship orders in bulk, forwards and backwards
my $dir = PostgreSQL::Test::Utils::tempdir();
my @clerks;
for my $order ('ASC', 'DESC')
{
	append_to_file("$dir/$order.sql", <<SQL);
SELECT format('DO \$\$ DECLARE i int; BEGIN FOR i IN SELECT id FROM orders WHERE id %% 50 = %s ORDER BY id $order LOOP
	UPDATE orders SET status = CASE status WHEN ''paid'' THEN ''shipped'' ELSE ''paid'' END, note = note + 1 WHERE id = i; END LOOP; END \$\$', n)
FROM generate_series(CASE '$order' WHEN 'ASC' THEN 0 ELSE 1 END, 49, 2) n \\gexec
SQL
	push @clerks, IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-v', 'ON_ERROR_STOP=1', '-f', "$dir/$order.sql" ],
		'>', '/dev/null', '2>', "$dir/$order.log");
}
$output = done('fill', $call);
like($output, qr/finished: events recorded for \d+ of $rows rows/, 'it reads every row once');
ok($_->finish, 'a clerk was never disturbed') for @clerks;
is(slurp_file("$dir/ASC.log") . slurp_file("$dir/DESC.log"), '', 'and saw no error');
unlike(slurp_file($node->logfile), qr/deadlock detected/, 'there was no deadlock');
counted($rows, 'with the orders that were paid meanwhile');
is(progress('rows_read, recorded + recorded_before, not_meant, finished_at IS NOT NULL') =~ s/^(\d+)\|(\d+)\|(\d+)\|t$/$1 - $2 - $3/er, 0, 'each row has one fate');

# Once more: nothing is new
$output = done('fill', $call);
like($output, qr/events recorded for 0 of $rows rows/, 'a second run records nothing');
counted($rows, 'a second run');
leave($_) for keys %open;

$node->stop;
done_testing();
