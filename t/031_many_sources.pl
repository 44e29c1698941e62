# Three thousand sources in one database: what the worker needs for them, with an event of each delivered.
# MANY_SOURCES: another number; MEMORY_BOUND: MB that it may have (a sanitizer needs more than the worker).
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $sources = $ENV{MANY_SOURCES} // 3000;
my $bound = $ENV{MEMORY_BOUND} // 64;    # MB

my $tiktok = Rehearsal->start('--trust', '--keep-events', '0', '--keep-bodies', '0');
my $node = $tiktok->cluster('many', 'tiktok_events.max_in_flight' => 16);

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Memory of the worker's own in MB, with libcurl, without shared memory and programs: now, and the most of both there ever was
sub memory
{
	my $status = slurp_file('/proc/' . sql('SELECT pid FROM tiktok.worker_status') . '/status');
	my %kb = $status =~ /^(\w+):\s+(\d+) kB/mg;
	return (map { int($_ / 1024) } $kb{RssAnon}, $kb{VmHWM} - $kb{RssFile} - $kb{RssShmem});
}

my ($before) = memory();
sql("BEGIN;
	INSERT INTO tiktok.source (id, name, event_source, event_source_id, requests_per_second) SELECT g, 's' || g, 'web', 'C' || g, 1000 FROM generate_series(1, $sources) g;
	SELECT tiktok.set_access_token('s' || g, '$Rehearsal::TOKEN') FROM generate_series(1, $sources) g;
	COMMIT");
sub track
{
	my ($name) = @_;
	sql("SELECT count(tiktok.track('s' || g, 'ViewContent', '$name-' || g, user_data => '{\"external_id\": \"7\"}',
		page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series(1, $sources) g");
	is(sql("SELECT tiktok.wait('170 s')"), 't', "$name: an event of each source is delivered");
	my ($now, $most) = memory();
	diag("$sources sources: $now MB, at most $most MB ($before MB without any)");
	cmp_ok($now, '<=', $bound, "$name: the worker has $now MB");
	cmp_ok($most, '<=', $bound, "$name: and had no more than $most MB");
}
track('first');
sql("UPDATE tiktok.source SET batch_size = 999");
track('second');
is(sql("SELECT count(*) FROM tiktok.event_status WHERE status <> 'delivered'"), 0, 'all of them');

$node->stop;
$tiktok->stop;
done_testing();
