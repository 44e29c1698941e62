# Access tokens: from a file or from SQL, changed at any time, unusable, taken away; and never shown.
use strict;
use warnings;

use File::Basename qw(dirname);
use File::Path qw(make_path);
use lib dirname(__FILE__) . '/lib';
use POSIX qw(mkfifo);
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep time);

my ($first, $second, $third) = map { "canary-$_-token" } qw(first second third);
my $tiktok = Rehearsal->start('--keep-bodies', '1000');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $file = "$dir/shop";
my $node = $tiktok->cluster('token', 'tiktok_events.access_token_dir' => $dir, 'log_min_messages' => 'debug5');
my $n = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub accept_only { return $tiktok->control('POST', 'tokens', { tokens => [@_] }) }
sub requests { return $tiktok->stats->{requests} }
sub drained { return Rehearsal::drained($node, 10) }

sub track
{
	my $id = 'e' . ++$n;
	sql("SELECT tiktok.track('shop', 'ViewContent', '$id', user_data => '{\"external_id\": $n}', "
		  . "page => '{\"url\": \"https://shop.example.com/\"}')");
	return $id;
}

# A new file in the place of the old one, as one should do it.
sub put
{
	my ($content, $mode) = @_;
	unlink "$file.new";
	open my $fh, '>:raw', "$file.new" or die $!;
	print $fh $content;
	close $fh;
	chmod $mode // 0600, "$file.new" or die $!;
	rename "$file.new", $file or die $!;
}

# Waits until tiktok.source_state says so ("" for nothing).
sub state_is
{
	my ($expected, $name) = @_;
	my $found = $node->poll_query_until('postgres',
		"SELECT coalesce((SELECT state || ': ' || reason FROM tiktok.source_state), '') = '$expected'");
	ok($found, $name) or diag(sql('SELECT state, reason FROM tiktok.source_state'));
}

# Processor time of the worker so far, in seconds, and when it last did anything in the database.
sub worker_use
{
	my @stat = split ' ', slurp_file('/proc/' . sql('SELECT pid FROM tiktok.worker_status') . '/stat');
	my $activity = sql("SELECT state_change FROM pg_stat_activity WHERE backend_type = 'tiktok_events worker'");
	return (($stat[13] + $stat[14]) / POSIX::sysconf(POSIX::_SC_CLK_TCK()), $activity);
}

sub try_setting
{
	my ($value) = @_;
	my ($rc, $stdout, $stderr) = $node->psql('postgres', "ALTER SYSTEM SET tiktok_events.access_token_dir = '$value'");
	return $stderr;
}

# The setting
like(try_setting('tokens'), qr/DETAIL:  It must be an absolute path/, 'a relative path is refused');
is(try_setting(''), '', 'an empty one is not');
sql('ALTER SYSTEM RESET tiktok_events.access_token_dir; CREATE ROLE nobody LOGIN');
like(($node->psql('postgres', 'SHOW tiktok_events.access_token_dir', extra_params => [ '-U', 'nobody' ]))[2],
	qr/must be superuser|permission denied/, 'the folder is not shown to everybody');

# A file and a stored token
sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'CPIXEL0000000001')");
track();
state_is('no_token: no access token is set', 'neither file nor stored token');
is(requests(), 0, 'nothing is sent');
put("$first\n");
accept_only($first);
ok(drained(), 'a file that comes is noticed without a reload');
sql("SELECT tiktok.set_access_token('shop', '$third')");
track();
ok(drained(), 'the file wins over a stored token');
is($tiktok->stats->{replies}{0}, 2, 'TikTok accepts both events at once');

# Rotation
accept_only($second);
track();
state_is('open: stop_credential: code 40105', 'a token that TikTok has revoked stops the source');
my $before = requests();
put($second);
my $started = time;
ok(drained(), 'the next token in the file is used');
cmp_ok(time - $started, '<', 2.5, 'within a second or so, without a reload');
is(requests(), $before + 1, 'with a single request');
accept_only($first);
track();
state_is('open: stop_credential: code 40105', 'revoked again');
open my $fh, '>', $file or die $!;
print $fh "$first\n";
close $fh;
ok(drained(), 'a file that is written in place is noticed as well');

# Files that cannot be used
my @bad = (
	[ 'empty', sub { put('') }, 'empty' ],
	[ 'open to everybody', sub { put($first, 0644) }, 'open to group or others' ],
	[ 'a header in it', sub { put("$first\r\nX-Injected: yes\n") }, 'bad characters' ],
	[ 'CR LF', sub { put("$first\r\n") }, 'bad characters' ],
	[ 'NUL', sub { put("$first\0") }, 'bad characters' ],
	[ 'beyond ASCII', sub { put("${first}\xc3\xa9") }, 'bad characters' ],
	[ 'a folder', sub { unlink $file; mkdir $file }, 'not a regular file' ],
	[ 'a pipe', sub { rmdir $file; mkfifo($file, 0600) }, 'not a regular file' ],
	[ 'a symbolic link', sub { unlink $file; put($first); rename $file, "$dir/other"; symlink "$dir/other", $file }, 'a symbolic link' ],
	[ '1 GB', sub { unlink $file; put(''); truncate $file, 1 << 30 }, 'too large' ]);
put('');
state_is('no_token: access token file: empty', 'the file is emptied');
track();
$before = requests();
for my $case (@bad)
{
	my ($name, $make, $reason) = @$case;
	$make->();
	state_is("no_token: access token file: $reason", "an unusable file: $name");
}
sleep 7;    # one look at the transactions that have ended
my ($cpu, $activity) = worker_use();
sleep 3;
my ($cpu_after, $activity_after) = worker_use();
cmp_ok($cpu_after - $cpu, '<', 0.1, 'the worker does not spin');
is($activity_after, $activity, 'and does not touch the database');
is(requests(), $before, 'nothing is sent with any of them, nor with the stored token');
put($first, 0644);
state_is('no_token: access token file: open to group or others', 'a file that is open to others');
chmod 0600, $file;
ok(drained(), 'is used when it is closed to them');
is(scalar(grep { exists $_->{headers}{'X-Injected'} || exists $_->{headers}{'x-injected'} } @{ $tiktok->bodies(1000) }),
	0, 'no header was ever injected');

# The folder is not used any more
unlink $file;
# what was in it may be used for a second more
for (1 .. 300)
{
	track();
	last if sql("SELECT count(*) FROM tiktok.source_state WHERE state = 'open'");
	select undef, undef, undef, 0.1;
}
state_is('open: stop_credential: code 40105', 'without the file the stored token is used');
accept_only($second);
sql("SELECT tiktok.set_access_token('shop', '$second')");
ok(drained(), 'a new stored token is used');
put($third);
$node->append_conf('postgresql.conf', "tiktok_events.access_token_dir = ''");
$node->reload;
track();
ok(drained(), 'a folder that is taken out of the configuration is not looked at');

# A secret of Kubernetes: a file in a folder, which is a link, and is replaced as a whole
my $mount = PostgreSQL::Test::Utils::tempdir();
sub mount_secret
{
	my ($version, $token) = @_;
	make_path("$mount/..$version/tokens");
	append_to_file("$mount/..$version/tokens/shop", $token);
	chmod 0400, "$mount/..$version/tokens/shop";
	symlink "..$version", "$mount/..data_tmp";
	rename "$mount/..data_tmp", "$mount/..data";
	symlink '..data/tokens', "$mount/tokens";
}
mount_secret(1, $first);
accept_only($first);
$node->append_conf('postgresql.conf', "tiktok_events.access_token_dir = '$mount/tokens'");
$node->reload;
track();
ok(drained(), 'the token of a secret is used');
accept_only($third);
track();
state_is('open: stop_credential: code 40105', 'it is revoked');
mount_secret(2, $third);
ok(drained(), 'the next secret is noticed');
accept_only($second);
$node->append_conf('postgresql.conf', "tiktok_events.access_token_dir = ''");
$node->reload;
track();
ok(drained(), 'and its end');

# Tokens by SQL
sql("SELECT tiktok.set_access_token('shop', NULL)");
$before = requests();
track();
is(sql("SELECT tiktok.wait('2 s')"), 'f', 'set_access_token(NULL) stops sending');
is(requests(), $before, 'no request is made');
state_is('no_token: no access token is set', 'and the source says so');
sql("SELECT tiktok.set_access_token('shop', '$first')");
state_is('open: stop_credential: code 40105', 'a wrong token stops the source');
sql("SELECT tiktok.set_access_token('shop', '$second')");
$started = time;
ok(drained(), 'a right one sends');
cmp_ok(time - $started, '<', 1, 'within a second');
is(Rehearsal::statuses($node), "delivered $n", 'every event is delivered');
is(sql('SELECT max(attempts) FROM tiktok.event_status'), 1, 'and none was charged with the trouble');
is($tiktok->stats->{counted_events}, $n, 'each is counted once');
for my $token ("bad\r\nX-Injected: yes", "caf\xc3\xa9", 'with blank', '', 'x' x 513)
{
	my ($rc, $stdout, $stderr) = $node->psql('postgres', "SELECT tiktok.set_access_token('shop', '$token')", on_error_stop => 0);
	like($stderr, qr/ERROR:  invalid access token\nDETAIL:  A token has 1 to 512/, 'an impossible token is refused');
}

$node->stop;
my $log = slurp_file($node->logfile);
like($log, qr/DEBUG/, 'the server log is full of detail');
unlike($log, qr/canary-/, 'but no token is in it');

done_testing();
