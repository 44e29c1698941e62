# Between the server and TikTok: dead addresses, connections that somebody has forgotten or closed, a slow line, an authority
# that was replaced, a proxy, and a server that does not speak HTTP/1.1.  t/lib/path.py is all of these.
use strict;
use warnings;

use File::Basename qw(dirname);
use File::Copy qw(copy);
use lib dirname(__FILE__) . '/lib';
use Path;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(time);

my $dir = PostgreSQL::Test::Utils::tempdir();
my $tiktok = Rehearsal->start;
my $path = '/open_api/v1.3/event/track/';
my $node;
my $n = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# So many events in one transaction; returns the first event_id
sub track
{
	my ($count, $padding) = @_;
	my $first = $n + 1;

	$n += $count // 1;
	sql("SELECT count(tiktok.track('shop', 'ViewContent', 'e' || i, user_data => '{\"external_id\": 1}', "
		  . "properties => jsonb_build_object('description', repeat('x', " . ($padding // 10) . ')), '
		  . "page => '{\"url\": \"https://shop.example.com/\"}')) FROM generate_series($first, $n) i");
	return "e$first";
}

# Seconds until an event is delivered
sub delivered_in
{
	my ($seconds, $name) = @_;
	my $started = time;

	track();
	ok(Rehearsal::drained($node, 120), "$name: delivered");
	my $took = time - $started;
	note(sprintf '%s: %.1f s', $name, $took);
	cmp_ok($took, '<', $seconds, "$name: within $seconds s");
}

sub reload
{
	my %settings = @_;
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'") for sort keys %settings;
	$node->reload;
}

# What became of requests since the last call
sub outcomes
{
	my $outcomes = sql("SELECT string_agg(DISTINCT outcome, ' ' ORDER BY outcome) FROM tiktok.request");
	sql('TRUNCATE tiktok.request');
	return $outcomes;
}

# two.test has two addresses, and nobody answers at the first.
sub build_resolver
{
	append_to_file("$dir/resolver.c", <<'C');
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

typedef int (*Resolver) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	Resolver	real = (Resolver) dlsym(RTLD_NEXT, "getaddrinfo");
	struct addrinfo *dead;
	int			rc;

	if (node == NULL || strcmp(node, "two.test") != 0)
		return real(node, service, hints, result);
	rc = real("127.0.0.1", service, hints, result);
	if (rc == 0 && (rc = real("127.0.0.2", service, hints, &dead)) == 0)
	{
		struct addrinfo *last = dead;

		while (last->ai_next != NULL)
			last = last->ai_next;
		last->ai_next = *result;
		*result = dead;
	}
	return rc;
}
C
	return system("cc -shared -fPIC -o $dir/resolver.so $dir/resolver.c -ldl 2>$dir/cc.log") == 0;
}

my $resolver = build_resolver();
{
	local $ENV{LD_PRELOAD} = "$dir/resolver.so" if $resolver;
	$node = $tiktok->cluster('network', 'tiktok_events.max_in_flight' => 8);
}
sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'CPIXEL0000000001')");
sql("SELECT tiktok.set_access_token('shop', '$Rehearsal::TOKEN')");

# 1. A dead address before a living one
SKIP:
{
	skip 'no C compiler, or no socket that drops packets', 1 unless $resolver && Path::drops_packets();
	my $hole = Path->start(address => '127.0.0.2', port => $tiktok->{https_port}, to => $tiktok->{https_port}, hole => 1);

	for (1 .. 3)
	{
		# new connections; libcurl shuffles the addresses
		reload('tiktok_events.endpoint' => "https://two.test:$tiktok->{https_port}$path");
		delivered_in(10, 'a dead address');
	}
	is(outcomes(), 'delivered', 'a dead address: no request failed');
}

# 2. Connections that a firewall has forgotten, and a path that is dead for a while
SKIP:
{
	skip 'no socket that drops packets', 1 unless Path::drops_packets();
	my $relay = Path->start(to => $tiktok->{https_port});

	reload('tiktok_events.endpoint' => "https://127.0.0.1:$relay->{port}$path");
	delivered_in(10, 'a path');
	$relay->tell('forget');
	delivered_in(20, 'a forgotten connection');
	is(outcomes(), 'delivered', 'a forgotten connection: no request failed');

	$relay->tell('dead');
	track();
	sleep 20;
	$relay->tell('alive');
	my $alive_at = time;
	ok(Rehearsal::drained($node, 120), 'a path that was dead for 20 s: delivered');
	note(sprintf 'after a path that was dead for 20 s: %.1f s', time - $alive_at);
	cmp_ok(time - $alive_at, '<', 10, 'soon after it is alive');
	outcomes();
}

# 3. Idle connections that the server has closed: more than libcurl tries
my $plain = Path->start(to => $tiktok->{http_port}, delay => 0.2);
sql("UPDATE tiktok.source SET batch_size = 1");
reload('tiktok_events.endpoint' => "http://127.0.0.1:$plain->{port}$path");
track(24);
ok(Rehearsal::drained($node, 60), 'eight connections');
cmp_ok($plain->stats->{connections}, '>=', 7, 'which are kept');
outcomes();
$plain->tell('reset');
$plain->tell('delay 0');
delivered_in(10, 'closed connections');
is(outcomes(), 'delivered', 'closed connections: no request failed');

# 4. A slow line: 1 Mbit/s, and time for 500 kB
my $slow = Path->start(to => $tiktok->{https_port}, rate => 125_000);
sql('UPDATE tiktok.source SET batch_size = DEFAULT');
reload('tiktok_events.endpoint' => "https://127.0.0.1:$slow->{port}$path", 'tiktok_events.request_timeout' => '4s',
	'tiktok_events.max_in_flight' => 4);
my $before = $slow->stats->{bytes};
my $started = time;
track(2000, 500);
ok(Rehearsal::drained($node, 240), 'a slow line: delivered');
note(sprintf 'a slow line: %.0f s for 2000 events, %d kB sent', time - $started, ($slow->stats->{bytes} - $before) / 1000);
note(sql("SELECT string_agg(outcome || ' ' || bytes, ', ' ORDER BY id) FROM tiktok.request"));
is(sql("SELECT count(*) FROM tiktok.event_status WHERE status <> 'delivered'"), 0, 'a slow line: every event');
like(slurp_file($node->logfile), qr/source "shop" gets bodies of at most \d+ kB, \d at a time: the line is slow/, 'a slow line: the log says what is done about it');
reload('tiktok_events.request_timeout' => '30s');

# 5. A file of authorities that is replaced in place, while the server runs
copy("$tiktok->{dir}/self_signed.pem", "$dir/ca.pem");
reload('tiktok_events.endpoint' => $tiktok->{https_url}, 'tiktok_events.ca_file' => "$dir/ca.pem");
outcomes();
track();
$node->poll_query_until('postgres', "SELECT count(*) > 2 FROM tiktok.request WHERE message LIKE 'the server''s certificate was refused%'");
copy($tiktok->{ca_file}, "$dir/ca.pem");
$started = time;
ok(Rehearsal::drained($node, 60), 'another authority: delivered');
note(sprintf 'another authority: %.1f s', time - $started);
cmp_ok(time - $started, '<', 15, 'another authority: soon after the file was replaced');

# 6. A proxy
my $tls = { certificate => "$tiktok->{dir}/good.pem", key => "$tiktok->{dir}/server.key" };
my $proxy = Path->start(user => 'anna:opensesame');
my $tls_proxy = Path->start(%$tls);
outcomes();
reload('tiktok_events.proxy' => "http://127.0.0.1:$proxy->{port}");
track();
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM tiktok.request WHERE message = 'the proxy refuses to connect: HTTP status 407'"),
	'a proxy without its password: the reason is named');
is(sql("SELECT state FROM tiktok.source_state"), 'open', 'and nothing is sent');
reload('tiktok_events.proxy' => "http://anna:opensesame\@127.0.0.1:$proxy->{port}");
ok(Rehearsal::drained($node, 30), 'with it: delivered, at once after the reload');
my @heads = @{ $proxy->stats->{heads} };
like($heads[-1], qr/^CONNECT 127\.0\.0\.1:$tiktok->{https_port} /, 'by a tunnel');
is(scalar(grep { /$Rehearsal::TOKEN/ } @heads), 0, 'and the proxy sees no token');

outcomes();
reload('tiktok_events.proxy' => "https://127.0.0.1:$tls_proxy->{port}", 'tiktok_events.proxy_ca_file' => "$tiktok->{dir}/self_signed.pem");
track();
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM tiktok.request WHERE message LIKE 'the proxy''s certificate was refused: %'"),
	'a proxy that is not trusted: the reason is named');
reload('tiktok_events.proxy_ca_file' => $tiktok->{ca_file});
ok(Rehearsal::drained($node, 30), 'with its authority: delivered');
cmp_ok($tls_proxy->stats->{bytes}, '>', 0, 'through it');

outcomes();
reload('tiktok_events.proxy' => 'http://127.0.0.1:9');
track();
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM tiktok.request WHERE message = 'could not connect to the proxy: Connection refused'"),
	'no proxy: the reason is named');
reload('tiktok_events.proxy' => '');
ok(Rehearsal::drained($node, 30), 'without the setting: delivered');

sql('CREATE ROLE reader LOGIN');
my (undef, undef, $stderr) = $node->psql('postgres', 'SHOW tiktok_events.proxy', extra_params => [ '-U', 'reader' ]);
like($stderr, qr/permission denied|must be superuser/, 'only superusers see the proxy, and its password');

# 7. A server that speaks HTTP/2 only
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $h2 = fork // die "fork: $!";
if ($h2 == 0)
{
	open STDIN, '<', '/dev/zero';
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', '/dev/null';
	exec 'openssl', 's_server', '-quiet', '-alpn', 'h2', '-accept', "127.0.0.1:$port", '-cert', $tls->{certificate}, '-key', $tls->{key};
	die "exec: $!";
}
sleep 1;
outcomes();
reload('tiktok_events.endpoint' => "https://127.0.0.1:$port$path");
track();
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM tiktok.request WHERE message = 'nothing was sent: SSL connect error: the server does not speak HTTP/1.1'"),
	'HTTP/2 only: the reason is named');
kill 'KILL', $h2;
waitpid $h2, 0;
reload('tiktok_events.endpoint' => $tiktok->{https_url});
ok(Rehearsal::drained($node, 30), 'with another endpoint: delivered, at once after the reload');

is(scalar @{ $tiktok->events('?counted=true') }, $n, 'every event is counted once');
$node->stop;
unlike(slurp_file($node->logfile), qr/$Rehearsal::TOKEN|PANIC|terminated by signal/, 'no token and no crash in the server log');
done_testing();
