# On the way to the endpoint: names that do not resolve, or to the wrong place, and TLS that is not to be trusted.
# What was never sent costs an event nothing.  (HTTP/1.1 is spoken, so there is no GOAWAY; see t/unit/http.c for the rest.)
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
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

sub track
{
	my $id = 'e' . ++$n;
	sql("SELECT tiktok.track('shop', 'ViewContent', '$id', user_data => '{\"external_id\": $n}', "
		  . "page => '{\"url\": \"https://shop.example.com/\"}')");
	return $id;
}

sub reload
{
	my %settings = @_;
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'") for sort keys %settings;
	$node->reload;
}

sub delivered
{
	my ($id, $name) = @_;

	sql("SELECT tiktok.resume('shop')");    # do not wait for the next probe
	ok(Rehearsal::drained($node, 60), "$name: all finished");
	is(sql("SELECT status, attempts FROM tiktok.event_status WHERE event_id = '$id'"), 'delivered|1', "$name: delivered in the end, at no cost");
}

# An event that cannot be sent: with what message (libcurl's later versions say more), and after at most how many seconds
sub never_sent
{
	my ($name, $message, $seconds) = @_;
	my $before = $tiktok->stats;
	my $id;

	sql('TRUNCATE tiktok.request');
	$id = track();
	ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM tiktok.request WHERE outcome = 'stop_endpoint'"), "$name: not sent");
	like(sql('SELECT DISTINCT message FROM tiktok.request WHERE finished_at IS NOT NULL'), qr/^\Q$message\E.*$/, "$name: $message");
	is(sql("SELECT bool_and(finished_at - started_at < '$seconds s') FROM tiktok.request WHERE finished_at IS NOT NULL"), 't', "$name: found out within $seconds s");
	is($tiktok->stats->{requests}, $before->{requests}, "$name: the server saw no request, so no token");
	is(sql("SELECT status, attempts FROM tiktok.event_status WHERE event_id = '$id'"), 'pending|0', "$name: the event is charged nothing");
	is(sql('SELECT state FROM tiktok.source_state'), 'open', "$name: the source waits");
	return $id;
}

# A resolver of our own: hang.test never answers, inside.test is this machine, and gone.test does not exist.
sub build_resolver
{
	append_to_file("$dir/resolver.c", <<'C');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int (*Resolver) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	Resolver	real = (Resolver) dlsym(RTLD_NEXT, "getaddrinfo");

	if (node != NULL && strcmp(node, "hang.test") == 0)
		sleep(120);
	if (node != NULL && (strcmp(node, "hang.test") == 0 || strcmp(node, "gone.test") == 0))
		return EAI_NONAME;
	return real(node != NULL && strcmp(node, "inside.test") == 0 ? "127.0.0.1" : node, service, hints, result);
}
C
	return system("cc -shared -fPIC -o $dir/resolver.so $dir/resolver.c -ldl 2>$dir/cc.log") == 0;
}

my $resolver = build_resolver();
{
	local $ENV{LD_PRELOAD} = "$dir/resolver.so" if $resolver;
	$node = $tiktok->cluster('transport', 'tiktok_events.connect_timeout' => '1s');
}
sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'CPIXEL0000000001')");
sql("SELECT tiktok.set_access_token('shop', '$Rehearsal::TOKEN')");

# Certificates; t/010_endpoint_down.pl has others
my %refused = (
	not_yet_valid => "the server's certificate was refused: certificate is not yet valid",
	old_tls => 'nothing was sent: SSL connect error');
for my $certificate (sort keys %refused)
{
	$tiktok->control('POST', 'certificate', { certificate => $certificate });
	$node->reload;    # makes new connections
	my $id = never_sent($certificate, $refused{$certificate}, 1);
	$tiktok->control('POST', 'certificate', { certificate => 'good' });
	delivered($id, $certificate);
}
reload('tiktok_events.endpoint' => "https://127.0.0.1:$tiktok->{http_port}$path");
my $id = never_sent('no TLS at all', 'nothing was sent: SSL connect error', 1);
reload('tiktok_events.endpoint' => $tiktok->{https_url}, 'tiktok_events.ca_file' => '');
sql("SELECT tiktok.resume('shop')");
$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM tiktok.request WHERE message LIKE 'the server''s certificate was refused%'");
is(sql("SELECT status, attempts FROM tiktok.event_status WHERE event_id = '$id'"), 'pending|0', 'an unknown issuer: not sent');
reload('tiktok_events.ca_file' => $tiktok->{ca_file});
delivered($id, 'with the right issuer');

# Names
SKIP:
{
	skip 'no C compiler', 1 unless $resolver;

	reload('tiktok_events.endpoint' => "https://gone.test$path");
	$id = never_sent('a name that does not exist', 'could not resolve the host name', 1);
	reload('tiktok_events.endpoint' => $tiktok->{https_url});
	delivered($id, 'with a name that does');

	reload('tiktok_events.endpoint' => "https://inside.test:$tiktok->{https_port}$path");
	$id = never_sent('a name of this machine', "the server's certificate was refused: not valid for this host name", 1);
	reload('tiktok_events.endpoint' => $tiktok->{https_url});
	delivered($id, 'with the right one');

	reload('tiktok_events.endpoint' => "https://hang.test$path");
	$id = never_sent('a resolver that does not answer', 'timed out while resolving the host name', 1.5);
	reload('tiktok_events.endpoint' => $tiktok->{https_url});
	delivered($id, 'with one that answers');

	# While it waits for a name the worker does everything else
	reload('tiktok_events.endpoint' => "https://hang.test$path", 'tiktok_events.connect_timeout' => '30s');
	$id = track();
	$node->poll_query_until('postgres', 'SELECT sum(in_flight) = 1 FROM tiktok.worker_status');
	my $started = time;
	sql("SELECT tiktok.set_access_token('shop', NULL)");
	ok($node->poll_query_until('postgres', "SELECT state = 'no_token' FROM tiktok.source_state"), 'the worker takes note of its configuration');
	cmp_ok(time - $started, '<', 2, 'at once');
	is(sql('SELECT sum(in_flight) FROM tiktok.worker_status'), 1, 'while it waits for a name');
	$started = time;
	$node->stop('fast');
	my $seconds = time - $started;
	note(sprintf 'fast shutdown while a name is resolved: %.2f s', $seconds);
	cmp_ok($seconds, '<', 2, 'a fast shutdown does not wait for it');
	$node->append_conf('postgresql.conf', "tiktok_events.endpoint = '$tiktok->{https_url}'");
	$node->start;
	sql("SELECT tiktok.set_access_token('shop', '$Rehearsal::TOKEN')");
	ok(Rehearsal::drained($node, 30), 'after a restart all finished');
	is(sql("SELECT status FROM tiktok.event_status WHERE event_id = '$id'"), 'delivered', 'and delivered');
}

is(scalar @{ $tiktok->events('?counted=true') }, $n, 'every event is counted once');
is($tiktok->stats->{duplicate_copies}, 0, 'and was sent once');
$node->stop;
unlike(slurp_file($node->logfile), qr/$Rehearsal::TOKEN|PANIC|terminated by signal/, 'no token and no crash in the server log');

done_testing();
