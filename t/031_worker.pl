# An extension of another version than the library: the worker touches nothing until they fit.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep time);

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('worker', 'tiktok_events.request_timeout' => '4s', 'log_min_messages' => 'warning');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub drained { return Rehearsal::drained($node, $_[0] // 30) }
sub status { return sql("SELECT status FROM tiktok.event_status WHERE event_id = '$_[0]'") }
sub becomes { return $node->poll_query_until('postgres', "SELECT status = '$_[1]' FROM tiktok.event_status WHERE event_id = '$_[0]'") }

sub views
{
	return join '', map { "SELECT tiktok.track('shop', 'ViewContent', '$_', user_data => '{\"external_id\": 1}', "
		  . "page => '{\"url\": \"https://shop.example.com/\"}');\n" } @_;
}

$tiktok->sources($node);

# An extension of another version than the library
for my $version ('9.9', '0.9')
{
	my $pid = sql('SELECT pid FROM tiktok.worker_status');
	sql("UPDATE pg_extension SET extversion = '$version' WHERE extname = 'tiktok_events'");
	sql(views("v$version"));
	ok($node->poll_query_until('postgres', "SELECT state = 'version_mismatch' FROM tiktok.worker_status"), "version $version: the worker idles");
	like(sql('SELECT last_error FROM tiktok.worker_status'), qr/version "\Q$version\E" of extension tiktok_events does not fit/, "version $version: and says why");
	sql(views("w$version"));
	sql("SELECT tiktok.wait('3 s')");
	is(status("v$version") . status("w$version"), 'pendingpending', "version $version: nothing is sent");
	is(sql('SELECT pid, state FROM tiktok.worker_status'), "$pid|version_mismatch", "version $version: it is still the same worker");
	if ($version eq '9.9')
	{
		sql("UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'tiktok_events'");
	}
	else
	{
		# just after it has looked by itself
		my $turn = sql('SELECT heartbeat FROM tiktok.worker_status');
		$node->poll_query_until('postgres', "SELECT heartbeat > '$turn' FROM tiktok.worker_status");
		my $started = time;
		sql("BEGIN; UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'tiktok_events'; ALTER EXTENSION tiktok_events UPDATE; COMMIT");
		ok(becomes("v$version", 'delivered'), 'ALTER EXTENSION wakes it');
		cmp_ok(time - $started, '<', 3, 'at once');
	}
	ok(drained(), "version $version: mended, it goes on");
	is(status("v$version") . status("w$version"), 'delivereddelivered', "version $version: and delivers what has waited");
	is(scalar(() = slurp_file($node->logfile) =~ /WARNING:  tiktok_events: version "\Q$version\E"/g), 1, "version $version: one warning was enough");
}

$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|terminated by signal|lock timeout|private reason|example\.com/, 'no crash, no lock timeout, and nothing private in the log');
done_testing();
