# An event with which the worker fails, or with which its process dies, whenever its body is built or its request is on its way:
# it costs at most three errors or three restarts of the server, ends in a state that everybody can see, and all others arrive.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep);

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('poison', 'tiktok_events.request_timeout' => '20s');
my $fault = $node->data_dir . '/tiktok_events.fault';

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub restarts { return scalar(() = slurp_file($node->logfile) =~ /all server processes terminated; reinitializing/g) }
sub failures { return scalar(() = slurp_file($node->logfile) =~ /ERROR:  fault point "render"/g) }

# As poll_query_until, but the server may be away for a while.
sub until_true
{
	my ($query) = @_;
	for (1 .. 900)
	{
		my ($rc, $out) = $node->psql('postgres', $query);
		return 1 if defined $out && $out eq 't';
		sleep 0.1;
	}
	diag("timed out: $query");
	return 0;
}

# Records events of both sources while the worker waits; returns the id of the one that is poison.
sub record
{
	my ($prefix, $poison) = @_;
	sql("UPDATE tiktok.source SET enabled = false WHERE name IN ('shop', 'store')");
	sql("SELECT count(tiktok.track('shop', 'ViewContent', '$prefix' || n, user_data => jsonb_build_object('external_id', n), "
		  . "page => '{\"url\": \"https://shop.example.com/\"}')), count(tiktok.track('store', 'CompletePayment', '$prefix' || n, "
		  . "user_data => jsonb_build_object('email', n || '\@example.com'), properties => '{\"value\": 1, \"currency\": \"EUR\"}')) FROM generate_series(1, 30) n");
	return sql("SELECT id FROM tiktok.event_status WHERE event_id = '$prefix$poison' AND source = 'shop'");
}

sub order
{
	my ($line) = @_;
	open my $file, '>', "$fault.new" or die $!;
	print $file "$line\n";
	close $file;
	rename "$fault.new", $fault or die $!;
}

# The worker may die before the answer is here.
sub release { return $node->psql('postgres', "UPDATE tiktok.source SET enabled = true WHERE name IN ('shop', 'store')") }
sub hurry { return $node->psql('postgres', 'UPDATE tiktok.retry SET next_attempt_at = now() WHERE next_attempt_at > now()') }

# Waits until the event has a fate; what is to be retried later is retried now.
sub finished
{
	my ($where) = @_;
	for (1 .. 900)
	{
		my ($rc, $out) = $node->psql('postgres', "SELECT count(*) = 0 FROM tiktok.event_status WHERE ($where) AND status IN ('pending', 'retrying')");
		return 1 if defined $out && $out eq 't';
		hurry();
		sleep 0.1;
	}
	diag($node->safe_psql('postgres', 'SELECT * FROM tiktok.event_status WHERE status IN (\'pending\', \'retrying\')'));
	return 0;
}

# Who else was recorded is delivered, and counted once; how many copies were sent.
sub others
{
	my ($prefix, $poison, $status, $name) = @_;
	is(Rehearsal::statuses($node, "event_id ~ '^$prefix\\d'"), "delivered 59, $status 1", "$name: all others are delivered");
	my @seen = grep { $_->{event_id} =~ /^$prefix\d/ } @{ $tiktok->events('?counted=true') };
	my @poison = grep { $_->{event_id} eq "$prefix$poison" && $_->{event} eq 'ViewContent' } @{ $tiktok->events('?accepted=true') };
	my @copies = grep { $_->{event_id} =~ /^$prefix\d/ } @{ $tiktok->events('?accepted=true') };
	is(scalar(@seen), 59 + ($status eq 'uncertain' && @poison ? 1 : 0), "$name: each counts once");
	return (scalar(@poison), @copies - @poison);
}

$tiktok->sources($node);

# An error each time it is put into a body
my $id = record('e', 7);
order("render $id always-error");
release();
ok(finished("event_id ~ '^e\\d'"), 'an error while the body is built: finished');
is_deeply([ others('e', 7, 'invalid', 'error') ], [ 0, 59 ], 'error: nothing was sent of it, and nothing twice of the others');
is(sql("SELECT reason, attempts, request_id IS NULL FROM tiktok.event_status WHERE id = $id"), 'poison|3|t', 'error: its reason is told');
is(failures(), 4, 'error: it failed once among others and three times alone');
is(restarts(), 0, 'error: without a restart of the server');
is(sql('SELECT count(*) FROM tiktok.identity'), 0, 'error: no identifiers are left behind');
like(slurp_file($node->logfile), qr/CONTEXT:  preparing event $id to be sent/, 'error: the log names the event');
unlink $fault;
my $again = sql("SELECT tiktok.track('shop', 'ViewContent', 'e7', user_data => '{\"external_id\": 7}', page => '{\"url\": \"https://shop.example.com/\"}')");
isnt($again, $id, 'error: its key is free again');
ok(Rehearsal::drained($node, 30), 'error: recorded again it is finished');
is(sql("SELECT status FROM tiktok.event_status WHERE id = $again"), 'delivered', 'error: and delivered');

# An error that does not come back
$id = record('o', 3);
order("render $id error");
release();
ok(finished("event_id ~ '^o\\d'"), 'one error: finished');
is(Rehearsal::statuses($node, "event_id ~ '^o\\d'"), 'delivered 60', 'one error: all are delivered');
is(sql("SELECT attempts FROM tiktok.event_status WHERE id = $id"), 1, 'one error: at the first attempt alone');

# The process dies each time
my $before = restarts();
$id = record('k', 12);
order("render $id always-kill");
release();
ok(until_true("SELECT count(*) = 1 FROM tiktok.delivery WHERE id = $id"), 'death while the body is built: the event has a fate');
unlink $fault;
ok(finished("event_id ~ '^k\\d'"), 'death: finished');
is(restarts() - $before, 3, 'death: three restarts of the server');
my ($poison, $copies) = others('k', 12, 'invalid', 'death');
is($poison, 0, 'death: nothing was sent of it, and it is known');
is(sql("SELECT status, reason FROM tiktok.event_status WHERE id = $id"), 'invalid|poison', 'death: its reason is told');
cmp_ok($copies, '<=', 59 + 30, 'death: what was on its way may be sent again');
is(sql('SELECT count(*) FROM tiktok.identity'), 0, 'death: no identifiers are left behind');

# The process dies each time their requests are on their way: two of two sources, of which one may be to blame
$before = restarts();
$id = record('s', 20);
my $store_id = sql("SELECT id FROM tiktok.event_status WHERE event_id = 's9' AND source = 'store'");
my $open = 'FROM tiktok.request WHERE finished_at IS NULL';
$tiktok->script(
	{ action => 'hang', times => undef, match => { event_id => 's20', event_source_id => 'CPIXEL0000000001' } },
	{ action => 'hang', times => undef, match => { event_id => 's9', event_source_id => '7400000000000000001' } });
release();
for my $state ("count(*) = 2 AND min(events) > 1", "count(*) = 2 AND max(events) = 1 AND bool_and(first_id IN ($id, $store_id))", "count(*) = 1 AND max(events) = 1")
{
	my $deaths = restarts();
	ok(until_true("SELECT $state $open"), "death on its way: $state");
	if ($deaths == $before + 2)
	{
		sql("SELECT tiktok.wait('2 s')");
		is(sql("SELECT count(*) $open"), 1, 'death on its way: the other one waits');
		$tiktok->script;
	}
	kill 'KILL', sql('SELECT pid FROM tiktok.worker_status');
	sleep 0.1 while restarts() == $deaths;
}
ok(finished("event_id ~ '^s\\d'"), 'death on its way: finished');
is(restarts() - $before, 3, 'death on its way: three restarts of the server');
is(Rehearsal::statuses($node, "event_id ~ '^s\\d'"), 'delivered 59, uncertain 1', 'death on its way: all others are delivered, the one beside it too');
is(sql("SELECT reason, attempts, possibly_received_at IS NOT NULL FROM tiktok.delivery WHERE status = 'uncertain' AND id IN ($id, $store_id)"),
	'poison|3|t', 'death on its way: it may have been received');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal (?!9)|example\.com/, 'no other trouble, and no identifier in the log');
done_testing();
