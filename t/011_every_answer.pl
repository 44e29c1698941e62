# Everything that an endpoint can answer, or fail to: what it means, what it costs, and that no event is lost,
# counted twice or called delivered when it is not.  One source per fault, because each has its own breaker.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use JSON::PP;
use MIME::Base64;
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

# By way of a proxy, or after a redirect, a request would come to the other server.
my $tiktok = Rehearsal->start('--keep-bodies', '0');
my $other = Rehearsal->start;
my $node = cluster();

sub cluster
{
	local @ENV{qw(http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY)} = ($other->{http_url}) x 6;
	delete local @ENV{qw(no_proxy NO_PROXY)};
	return $tiktok->cluster('replies',
		'tiktok_events.endpoint' => $tiktok->{http_url},
		'tiktok_events.max_in_flight' => 64,
		'tiktok_events.connect_timeout' => '4s',
		'tiktok_events.request_timeout' => '4s');
}

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub action { return { action => @_ } }
sub status { return { action => 'status', status => @_ } }
sub code { return { action => 'code', code => @_ } }
sub redirect { return { action => 'redirect', status => $_[0], location => $_[1] } }
sub garbage { return { action => 'garbage_status', line => $_[0] } }
sub date { return strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + $_[0])) }

my $success = '{"code": 0, "message": "OK", "request_id": "0", "data": {}}';
my $nasty = "Batch.1.user.email: value \"alice\@example.com\" is not allowed'); DROP TABLE tiktok.event; -- "
  . "\$\$ \\ %s \0 \e[31m \x{202e} call +49 30 23125123 from 203.0.113.9 with $Rehearsal::TOKEN$Rehearsal::TOKEN$Rehearsal::TOKEN";

# Fault, rule, outcome of the first request; with "long" the source waits minutes for the next one.
my @table = (
	# What ends the connection.  It happens on new ones: libcurl repeats by itself what a kept one does not answer.
	[ 'reset before the body', action('reset_before_body'), 'retry' ],
	[ 'reset in the body', action('reset_mid_body'), 'retry' ],
	[ 'reset after the body', action('reset_after_body'), 'retry' ],
	[ 'reset in the reply', action('reset_mid_reply'), 'retry' ],
	[ 'closed', action('close'), 'retry' ],
	[ 'half a reply', action('raw', body => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n$success"), 'retry' ],
	[ 'no header at all', action('raw', body => $success), 'retry' ],
	[ 'status abc', garbage('HTTP/1.1 abc'), 'retry' ],
	[ 'status 000', garbage('HTTP/1.1 000 Odd'), 'retry' ],
	[ 'status 999', garbage('HTTP/1.1 999 Odd'), 'retry' ],
	[ 'ICY', garbage('ICY 200 OK'), 'retry' ],
	[ 'huge header', action('huge_header'), 'retry' ],
	[ '100,000 headers', action('many_headers'), 'retry' ],
	[ '10 MB', action('oversized', bytes => 10_000_000), 'retry' ],
	[ 'endless chunks', action('endless_chunks'), 'retry' ],
	[ 'gzip bomb', action('gzip_bomb'), 'retry' ],
	[ 'no answer', action('hang'), 'retry' ],
	[ 'stall', action('stall'), 'retry' ],
	[ 'one byte a second', action('slow_loris'), 'retry' ],
	[ '100 and nothing', action('interim_only'), 'retry' ],
	[ '102 and nothing', action('interim_only', status => 102), 'retry' ],
	[ 'HTTP 1.0', action('http10'), 'delivered' ],
	# The rest
	[ '103 first', action('interim_first', status => 103), 'delivered' ],
	[ 'a second response', action('extra_response'), 'delivered' ],
	[ 'html', action('html'), 'retry' ],
	[ 'empty', action('empty'), 'retry' ],
	[ 'cut JSON', action('cut_json'), 'retry' ],
	[ 'JSON array', action('json_array'), 'retry' ],
	[ 'code "0"', action('code_string'), 'retry' ],
	[ 'code 2^64', action('code_huge'), 'retry' ],
	[ 'no code', action('code_missing'), 'retry' ],
	[ 'code 0.0', status(200, body => '{"code": 0.0}'), 'retry' ],
	[ 'code null', status(200, body => '{"code": null}'), 'retry' ],
	[ 'code twice', status(200, body => '{"code": 0, "code": 40002}'), 'retry' ],
	[ 'code 0 and more', status(200, body => "$success$success"), 'retry' ],
	[ 'code 0 with 500', status(500, body => $success), 'retry' ],
	[ 'code 0 with 400', status(400, body => $success), 'retry' ],

	(map { [ "http $_", status($_), 'retry' ] } 204, 500, 502, 503, 504, 520, 527),
	[ 'http 206', status(206, body => $success), 'retry' ],
	(map { [ "http $_", redirect($_, $other->{http_url}), 'blocked' ] } 301, 302, 307),
	[ 'http 308', redirect(308, $other->{https_url}), 'blocked' ],
	(map { [ "http $_", status($_), 'blocked' ] } 401, 403, 404, 405, 406, 407, 410, 414, 418, 451),
	(map { [ "http $_", status($_), 'throttle' ] } 408, 425, 429),
	(map { [ "http $_", status($_), 'isolate' ] } 400, 422),
	[ 'http 413', status(413), 'split' ],

	(map { [ "code $_", code($_), 'isolate' ] } 40000, 40002, 40050, 48123),
	[ 'code 40002 with 200', code(40002, status => 200), 'isolate' ],
	[ 'nasty message', code(40002, message => $nasty), 'isolate' ],
	[ 'not UTF-8', status(400, body_base64 => encode_base64(qq({"code": 40002, "message": "caf\xe9 \xff\xfe"}))), 'isolate' ],
	(map { [ "code $_", code($_), 'stop_configuration', 'long' ] } 40001, 40900),
	(map { [ "code $_", code($_), 'stop_credential', 'long' ] } 40102, 40104, 40105, 40106, 40119, 40130),
	[ 'code 40105 with 200', code(40105, status => 200), 'stop_credential', 'long' ],
	[ 'code 61000', code(61000), 'throttle', 'long' ],
	(map { [ "code $_", code($_), 'throttle' ] } 40016, 40100, 40132, 40133),
	(map { [ "code $_", code($_), 'retry' ] } 50000, 51012, 99999, -1),
	[ 'code 60001', code(60001), 'retry', 'later' ],
	[ 'code 40700', code(40700), 'retry' ],
	[ 'code 20001', code(20001), 'singly' ]);

# Retry-After with 429, and the seconds to the next attempt: at least, at most.
my @own = (4, 7);
my @pauses = (
	[ '3', @own ], [ ' 3 ', @own ], [ '0', @own ], [ '', @own ], [ '-5', @own ], [ '1e9', @own ], [ 'soon', @own ],
	[ '86401', 3599, 3601 ], [ '7200', 3599, 3601 ], [ '600', 599, 601 ], [ '9', 9, 11 ],
	[ date(20), 7, 21 ], [ date(-60), @own ], [ date(2000), 1980, 2001 ], [ 'Fri, 31 Dec 9999 23:59:59 GMT', 3599, 3601 ],
	[ 'Sun, 99 Foo 2026 99:99:99 GMT', @own ]);
my $nth = 0;
for my $pause (@pauses)
{
	push @table, [ 'Retry-After ' . ++$nth, status(429, retry_after => $pause->[0]), 'throttle', $pause->[1] > 60 ? 'later' : () ];
}
push @table, [ '503 with Retry-After', status(503, retry_after => '3'), 'retry' ];

# The rules, the sources, and three events for each; the second one is the culprit where there is one.
my (@rules, @tokens, %source_id);
for my $i (0 .. $#table)
{
	my ($name, $rule, $outcome) = @{ $table[$i] };

	$source_id{$name} = sprintf 'C%03d', $i;
	$rule->{match} = { event_source_id => $source_id{$name} };
	if ($rule->{action} =~ /^reset_(before|mid)_body/)
	{
		push @tokens, "early-$i";
		$rule->{match} = { token => "early-$i" };
	}
	# the first probe goes at once
	$rule->{times} = 2 if $outcome =~ /^stop_/;
	# a token that is throttled pauses for all of its sources
	push @tokens, "early-$i" if $outcome eq 'throttle' && $rule->{code};
	if ($outcome =~ /isolate|split/ || $name eq 'code 40700')
	{
		$rule->{match} = { event_id => "$source_id{$name}-2" };
		$rule->{times} = undef;
	}
	push @rules, $rule;
}
$tiktok->control('POST', 'tokens', { tokens => [ $Rehearsal::TOKEN, 'new-token', @tokens ] });
$tiktok->script(@rules);
sql(join "\n", map { "INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('$_', 'web', '$source_id{$_}');" }
	  map { $_->[0] } @table);
sql(<<'SQL');
SELECT count(tiktok.track(name, 'Purchase', event_source_id || '-' || n, user_data => jsonb_build_object('external_id', n),
	properties => '{"value": 1, "currency": "EUR"}', page => '{"url": "https://shop.example.com/"}'))
FROM tiktok.source, generate_series(1, 3) n
SQL

# With its token a source begins to send.
sub start_sending
{
	my @sources = @_;
	my %own = map { /^early-(\d+)$/ ? ($1 => $_) : () } @tokens;
	my @values = map { sprintf "('%s', '%s')", $source_id{ $table[$_][0] }, $own{$_} // $Rehearsal::TOKEN } @sources;

	sql('SELECT tiktok.set_access_token(name, token) FROM tiktok.source JOIN (VALUES ' . join(', ', @values)
		  . ') v(pixel, token) ON pixel = event_source_id');
}

my ($rest) = grep { $table[$_][0] eq '103 first' } 0 .. $#table;
start_sending(0 .. $rest - 1);
ok($node->poll_query_until('postgres', "SELECT count(DISTINCT source_id) = $rest FROM tiktok.request WHERE finished_at IS NOT NULL"),
	'each fault that ends the connection has happened');
start_sending($rest .. $#table);

# Rows of a query, by the name of their source
sub by_source
{
	my ($query) = @_;
	my %rows;

	push @{ $rows{ $_->[0] } }, [ @$_[ 1 .. $#$_ ] ] for map { [ split /\|/, $_, -1 ] } split /\n/, sql($query);
	return \%rows;
}

# First act: what can be finished by itself, is
my %long = map { $_->[0] => 1 } grep { ($_->[3] // '') eq 'long' } @table;
my $names = join ', ', map { "'$_->[0]'" } grep { $_->[3] } @table;
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM tiktok.event_status "
		  . "WHERE source NOT IN ($names) AND status IN ('pending', 'retrying')"), 'everything that can be finished is finished');
ok($node->poll_query_until('postgres', 'SELECT count(*) = ' . keys(%long) . ' FROM tiktok.source_state'), 'the other sources wait');
my $first = by_source(<<'SQL');
SELECT name, outcome, coalesce(http_status, 0), coalesce(code, 0) FROM (SELECT DISTINCT ON (source_id) * FROM tiktok.request ORDER BY source_id, id) r
JOIN tiktok.source s ON s.id = source_id
SQL
my $waiting = by_source(<<'SQL');
SELECT e.source, status, attempts, state, t.reason FROM tiktok.event_status e JOIN tiktok.source s ON s.name = e.source
JOIN tiktok.source_state t ON t.source_id = s.id ORDER BY e.id
SQL
for my $row (@table)
{
	my ($name, $rule, $outcome) = @$row;
	my $said = $rule->{code} ? "code $rule->{code}" : 'http ' . ($rule->{status} // '');

	is($first->{$name}[0][0], $outcome, "$name: $outcome");
	next unless $long{$name};
	is_deeply($waiting->{$name}, [ ([ 'pending', 0, 'open', "$outcome: $said" ]) x 3 ], "$name: the source waits and says why");
}

# How long Retry-After was obeyed
my $gaps = by_source(<<'SQL');
SELECT name, extract(epoch FROM coalesce(second.started_at, (SELECT min(next_attempt_at) FROM tiktok.retry w WHERE w.source_id = s.id AND w.attempts > 0), t.probe_at) - first.finished_at)
FROM tiktok.source s LEFT JOIN tiktok.source_state t ON t.source_id = s.id,
LATERAL (SELECT * FROM tiktok.request r WHERE r.source_id = s.id ORDER BY id LIMIT 1) first
LEFT JOIN LATERAL (SELECT * FROM tiktok.request r WHERE r.source_id = s.id AND r.id > first.id ORDER BY id LIMIT 1) second ON true
SQL
for my $i (0 .. $#pauses)
{
	my ($value, $least, $most) = @{ $pauses[$i] };
	my $seconds = $gaps->{ 'Retry-After ' . ($i + 1) }[0][0];
	my $shown = ref $value ? join ', ', @$value : $value;

	ok($seconds >= $least - 0.05 && $seconds <= $most, "Retry-After: $shown") or diag("$seconds s");
}
cmp_ok($gaps->{'503 with Retry-After'}[0][0], '>=', 3, 'Retry-After holds with 503 as well');
my %probe = (40016 => 2, 40100 => 2, 40132 => 2, 40133 => 2, 61000 => 1800, 60001 => 900);
cmp_ok($gaps->{"code $_"}[0][0], '>=', $probe{$_} - 0.05, "code $_: the pause is at least $probe{$_} s") for sort keys %probe;

# Second act: a new token is a reason to try again at once
sql("SELECT tiktok.set_access_token(name, 'new-token') FROM tiktok.source WHERE name IN ($names)");
ok(Rehearsal::drained($node, 20), 'with a new token the others are finished too');
is(sql('SELECT count(*) FROM tiktok.source_state'), 0, 'no source waits any more');

# What became of the events
my $events = by_source('SELECT source, status, attempts, reason, coalesce(code, -1), http_status FROM tiktok.event_status ORDER BY source, id');
for my $row (@table)
{
	my ($name, $rule, $outcome) = @$row;
	my $attempts = $outcome =~ /retry|blocked/ || $outcome eq 'throttle' && !$rule->{code} ? 2 : 1;
	my @expected = (([ 'delivered', $attempts, '', 0, 200 ]) x 3);

	if ($outcome =~ /isolate|split/ || $name eq 'code 40700')
	{
		my $code = $first->{$name}[0][2];
		# of a single event that is too large, another one decides
		$attempts = $events->{$name}[1][1] if $outcome eq 'split';
		$expected[1] = [ 'rejected', $attempts, $code ? "code $code" : "http $rule->{status}", $code || -1, $first->{$name}[0][1] ];
	}
	is_deeply($events->{$name}, \@expected, "$name: " . ($expected[1][0] eq 'rejected' ? 'one rejected, the others' : 'all') . ' delivered')
	  or diag(explain($events->{$name}));
}

# What arrived: every copy that TikTok took, and what it counts
my (%accepted, %counted, %delivered);
for my $event (@{ $tiktok->events })
{
	$accepted{ $event->{event_id} }++ if $event->{accepted};
	$counted{ $event->{event_id} }++ if $event->{counted};
}
$delivered{$_}++ for split /\n/, sql("SELECT event_id FROM tiktok.event_status WHERE status = 'delivered'");
is_deeply(\%counted, \%delivered, 'every event shown as delivered is counted by TikTok, once; no other is');
is(sql("SELECT count(*) FROM tiktok.event_status WHERE status NOT IN ('delivered', 'rejected')"), 0, 'none is lost');
my $copies = by_source('SELECT name, count(*), sum(events) FROM tiktok.request JOIN tiktok.source s ON s.id = source_id GROUP BY 1');
note(sprintf '%-26s %-18s %8s %6s %8s %7s', 'three events each:', 'first outcome', 'requests', 'copies', 'accepted', 'counted');
for my $name (map { $_->[0] } @table)
{
	my @sums = (0, 0);

	for my $id (map { "$source_id{$name}-$_" } 1 .. 3)
	{
		$sums[0] += $accepted{$id} // 0;
		$sums[1] += $counted{$id} // 0;
	}
	note(sprintf '%-26s %-18s %8d %6d %8d %7d', $name, $first->{$name}[0][0], @{ $copies->{$name}[0] }, @sums);
}

# Nobody else got anything
my $stats = $other->stats;
is($stats->{requests}, 0, 'neither a redirect nor a proxy of the environment was followed');
is_deeply([ $stats->{replies}, $stats->{connections}{https} ], [ {}, 0 ], 'not even a connection was made');

# A kept connection that dies when TikTok has taken the events: libcurl sends them again on a new one.
$tiktok->script({ action => 'close', when => 'after', match => { reused => JSON::PP::true } });
for my $n (1 .. 2)
{
	sql("SELECT tiktok.track('html', 'Purchase', 'kept-$n', user_data => '{\"external_id\": 1}', "
		  . "properties => '{\"value\": 1, \"currency\": \"EUR\"}', page => '{\"url\": \"https://shop.example.com/\"}')");
	ok(Rehearsal::drained($node, 20), 'an event on a kept connection is finished');
}
my @kept = map { $tiktok->events("?event_id=kept-$_") } 1 .. 2;
is(sql("SELECT string_agg(status || ' ' || attempts, ', ') FROM tiktok.event_status WHERE event_id LIKE 'kept-_'"), 'delivered 1, delivered 1',
	'a kept connection that dies costs no attempt');
is_deeply([ sort map { scalar @$_ } @kept ], [ 1, 2 ], 'one of the events was sent twice');
is(scalar(grep { $_->{counted} } map { @$_ } @kept), 2, 'each is counted once');

# What is kept of a message
my $kept = sql("SELECT message FROM tiktok.event_status WHERE event_id = '$source_id{'nasty message'}-2'");
like($kept, qr/^Batch\.1\.user\.email: value "\*\*\*"/, 'the path of the field is kept, its value is not');
unlike($kept, qr/alice|23125123|203\.0\.113\.9|$Rehearsal::TOKEN|\e|\0/, 'nor is anything else that is personal, secret or no text');
like($kept, qr/ is not allowed'\); \*\*\* \*\*\* tiktok\.event; -- \$\$ \\ %s/, 'words that are not known are masked');
is(sql("SELECT message FROM tiktok.event_status WHERE event_id = '$source_id{'http 301'}-1'"), 'OK', 'after a redirect, delivered');
is(sql("SELECT count(*) FROM tiktok.request WHERE message LIKE 'HTTP status 30_: a redirect%'"), 4, 'the redirects are on record');
is(sql('SELECT count(*) FROM tiktok.request WHERE finished_at IS NULL'), 0, 'every request has an end');

$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/alice|23125123|$Rehearsal::TOKEN|new-token/, 'nothing of it is in the server log');
unlike($log, qr/ERROR|PANIC|terminated by signal/, 'and no error');

done_testing();
