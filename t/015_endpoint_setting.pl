# Who may say where personal data and tokens go: the configuration file alone, and in it only what obeys the rules.
# What breaks one is refused with the rule's name, and without the value; the former endpoint stays.
# (Redirects and proxies: t/011_every_answer.pl.)
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('endpoint');
my $path = '/open_api/v1.3/event/track/';
my %set = (
	'tiktok_events.endpoint' => 'https://elsewhere.example.com/',
	'tiktok_events.ca_file' => '/tmp/ca.pem',
	'tiktok_events.proxy' => 'http://127.0.0.1:3128',
	'tiktok_events.proxy_ca_file' => '/tmp/ca.pem',
	'tiktok_events.access_token_dir' => '/tmp');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub show { return sql("SELECT current_setting('$_[0]')") }

# What a statement is refused with, as that role
sub refusal
{
	my ($role, $sql, %options) = @_;
	my ($rc, undef, $stderr) = $node->psql('postgres', $sql, extra_params => [ '-U', $role ], %options);
	return $rc == 0 ? 'accepted' : $stderr;
}

sub view
{
	return "SELECT tiktok.track('shop', 'ViewContent', '$_[0]', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')";
}

$tiktok->sources($node);
sql('CREATE ROLE mallory LOGIN; CREATE DATABASE hers OWNER mallory; GRANT CREATE ON SCHEMA public TO mallory; CREATE ROLE boss SUPERUSER LOGIN');

# Sessions, databases, roles and functions, whoever asks
for my $setting (sort keys %set)
{
	my $value = $set{$setting};
	my $before = show($setting);

	for my $role (qw(mallory boss))
	{
		for my $try ("SET $setting = '$value'", "SET LOCAL $setting = '$value'", "SELECT set_config('$setting', '$value', false)",
			"ALTER DATABASE hers SET $setting = '$value'", "ALTER ROLE $role SET $setting = '$value'", "ALTER ROLE $role IN DATABASE hers SET $setting = '$value'",
			"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET $setting = '$value' AS 'SELECT 1'")
		{
			like(refusal($role, $try), qr/parameter "$setting" cannot be changed now|permission denied/, "$role: " . $try =~ s/ = .*//r);
		}
		local $ENV{PGOPTIONS} = "-c $setting=$value";
		like(refusal($role, 'SELECT 1'), qr/cannot be changed now|permission denied/, "$role: $setting in PGOPTIONS");
	}
	for my $try ("ALTER SYSTEM SET $setting = '$value'", "ALTER SYSTEM RESET $setting", "ALTER ROLE ALL SET $setting = '$value'", 'SELECT pg_reload_conf()')
	{
		like(refusal('mallory', $try), qr/permission denied|must be superuser/, "mallory: " . $try =~ s/ = .*//r);
	}
	is(show($setting), $before, "$setting is as it was");
}
is(sql('SELECT count(*) FROM pg_db_role_setting'), 0, 'nothing is set for a database or a role');

# The rules.  The password is in none of the messages.
my $host = 'https://business-api.tiktok.com';
my @rules = (
	[ 'It must begin with https://.', '', 'business-api.tiktok.com/', "ftp://business-api.tiktok.com$path", 'file:///etc/passwd', 'gopher://127.0.0.1/', 'HTTPS://business-api.tiktok.com/', '//business-api.tiktok.com/' ],
	[ 'Only localhost, 127.0.0.1 and [::1] may be used without TLS.', "http://business-api.tiktok.com$path", 'http://localhost.example.com/', 'http://LOCALHOST/', 'http://localhost./', 'http://10.0.0.1/', 'http://127.0.0.2/', 'http://127.1/', 'http://[::2]/', 'http://[0::1]/', 'http://[::ffff:127.0.0.1]/', 'http://127.0.0.1.example.com/', 'http://0.0.0.0/', 'http://2130706433/' ],
	[ 'It must not contain a user name or password.', 'https://user:opensesame@business-api.tiktok.com/', 'https://business-api.tiktok.com@example.com/', 'http://opensesame@127.0.0.1/' ],
	[ 'Its host or port is not valid.', "$host:0/", "$host:70000/", "$host:/", "$host:443:443/", "$host:-1/", "$host:4 43/" =~ s/ /x/r, 'https:///path', 'https://[::1/', 'https://a_b.example.com/', 'https://%31.example.com/', 'https://' . 'x' x 300 . '/', 'https://[fe80::1%25eth0]/' ],
	[ 'It must have a path.', $host, "$host?x=/" ],
	[ 'It contains a blank, a fragment or a character that is not printable ASCII.', "$host/#opensesame", "$host/a b", "https://business-api.tikt\xc3\xb6k.com/", "https://business-api.tiktok.com\xef\xbc\x8f/", "https://example.com\\\@business-api.tiktok.com/", "$host/\x7f" ],
	[ 'It is longer than 2048 bytes.', "$host/" . 'x' x 8192 ]);
my $file = slurp_file($node->data_dir . '/postgresql.conf');
my $log_seen = -s $node->logfile;
for my $rule (@rules)
{
	my ($detail, @values) = @$rule;

	for my $value (@values)
	{
		my $shown = length $value > 60 ? substr($value, 0, 60) . '...' : $value;
		my $literal = $value =~ s/\\/\\\\/gr;

		# at once: half a file would be another configuration
		open my $fh, '>', $node->data_dir . '/new.conf' or die $!;
		print $fh "${file}tiktok_events.endpoint = '$literal'\n";
		close $fh;
		rename $node->data_dir . '/new.conf', $node->data_dir . '/postgresql.conf' or die $!;
		$node->reload;
		Rehearsal::await('a word in the log', sub { slurp_file($node->logfile, $log_seen) =~ /contains errors; unaffected changes were applied/ }, 30);
		my $log = slurp_file($node->logfile, $log_seen);
		$log_seen = -s $node->logfile;
		like($log, qr/invalid value for parameter "tiktok_events.endpoint".*\Q$detail\E/s, "refused: $shown");
		unlike($log, qr/opensesame/, 'without a word of it');
	}
}
is(show('tiktok_events.endpoint'), $tiktok->{https_url}, 'the former endpoint stays');
sql(view('after'));
ok(Rehearsal::drained($node, 20), 'and is sent to');

# What is accepted: any host by TLS, and this machine without
for my $accepted ("$host$path", "$host:443/", "$host.:443/", 'https://10.0.0.1/', 'https://[2a00::1]:1/', 'http://127.0.0.1:1/', 'https://[::1]:1/', 'http://[::1]:1/', 'http://localhost:1/')
{
	$node->append_conf('postgresql.conf', "tiktok_events.enabled = off\ntiktok_events.endpoint = '$accepted'");
	$node->reload;
	ok($node->poll_query_until('postgres', "SELECT current_setting('tiktok_events.endpoint') = '$accepted'"), "accepted: $accepted");
}
$node->append_conf('postgresql.conf', 'tiktok_events.enabled = on');
my $n = 0;
for my $reached ("https://localhost:$tiktok->{https_port}$path", "http://localhost:$tiktok->{http_port}$path", "http://127.0.0.1:$tiktok->{http_port}$path")
{
	$node->append_conf('postgresql.conf', "tiktok_events.endpoint = '$reached'");
	$node->reload;
	sql("SELECT tiktok.resume('shop'); " . view('reached' . ++$n));
	ok(Rehearsal::drained($node, 20), "reached: $reached");
}

# The proxy has rules as well, and its password is in none of the messages
my %proxies = (
	'It must begin with http:// or https://.' => [ 'proxy:3128', 'socks5://opensesame@proxy:1080', 'HTTP://proxy:3128' ],
	'Its host or port is not valid.' => [ 'http://', 'http://:3128', 'http://proxy:0', 'http://user:opensesame@:3128', 'http://a_b:3128', 'http://user:open@sesame@proxy:3128' ],
	'It must have a port.' => [ 'http://proxy', 'https://user:opensesame@proxy', 'http://[::1]' ],
	'It must not have a path.' => [ 'http://proxy:3128/x', 'http://user:opensesame@proxy:3128/?x', 'http://proxy:3128?x' ],
	'It contains a blank, a fragment or a character that is not printable ASCII.' => [ 'http://user:open sesame@proxy:3128', 'http://proxy:3128#x' ]);
for my $detail (sort keys %proxies)
{
	for my $value (@{ $proxies{$detail} })
	{
		my $refusal = refusal('boss', "ALTER SYSTEM SET tiktok_events.proxy = '$value'");
		like($refusal, qr/invalid value for parameter "tiktok_events.proxy".*\Q$detail\E/s, "refused: $value");
		unlike($refusal =~ s/^.*STATEMENT.*$//mr, qr/opensesame/, 'without a word of it');
	}
}
for my $value ('http://proxy:3128', 'https://user:open%40sesame@proxy.example.com:443/', 'http://[::1]:3128', '')
{
	is(refusal('boss', "ALTER SYSTEM SET tiktok_events.proxy = '$value'"), 'accepted', "a proxy: '$value'");
}

# A superuser's ALTER SYSTEM is a configuration file as well, and obeys the same rules
like(refusal('boss', "ALTER SYSTEM SET tiktok_events.endpoint = 'http://example.com/'"), qr/Only localhost, 127.0.0.1/, 'ALTER SYSTEM: refused by the rules');
is(refusal('boss', "ALTER SYSTEM SET tiktok_events.endpoint = '$tiktok->{https_url}'"), 'accepted', 'ALTER SYSTEM: accepted by the rules');
$node->reload;
sql(view('last'));
ok(Rehearsal::drained($node, 20), 'and are used');

$node->stop;
done_testing();
