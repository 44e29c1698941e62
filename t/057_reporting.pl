# TikTok's own counts: fetched by day beside the delivery of events, whatever the answer is, and at no event's cost.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep time);

my ($reads, $reads_other, $narrow) = map { "canary-$_-reporting" } qw(reads other narrow);
my $tiktok = Rehearsal->start;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = $tiktok->cluster('reporting', 'tiktok_events.reporting_endpoint' => $tiktok->reporting_url, 'tiktok_events.access_token_dir' => $dir,
	'tiktok_events.request_timeout' => '60s', log_min_messages => 'debug2');
my $n = 0;
my $asked = 0;

sub sql { my ($sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql) }
sub day { return strftime('%Y-%m-%d', gmtime(time - 86400 * $_[0])) }
sub error_of { my ($sql) = @_; return ($node->psql('postgres', $sql, on_error_stop => 0))[2] }
sub set { my ($name, $value) = @_; $node->append_conf('postgresql.conf', "$name = '$value'"); $node->reload }

# All that is due has been fetched.
sub settled
{
	my ($name) = @_;
	my $found = eval { Rehearsal::await($name, sub { sql("SELECT state = 'ok' AND next_at > now() + interval '59 minutes' FROM tiktok.reporting WHERE source = 'shop'") eq 't' }, 60) };

	ok($found, $name) or diag(reporting(), "\n", sql('TABLE tiktok.report_state'), "\n", sql('SELECT source, call, day, outcome, code, message FROM tiktok.report_fetch ORDER BY id DESC LIMIT 3'));
}

# What was asked since the last time, as "path day" or "path page"
sub asked
{
	my @all = @{ $tiktok->reports };
	my @new = @all[ $asked .. $#all ];

	$asked = @all;
	return map { "$_->{path} " . (($_->{query}{date_range} // '') =~ /start_date":"([-0-9]+)","end_date":"\1"/ ? $1 : $_->{query}{page} // '?') } @new;
}

sub reporting { my ($source, $db) = @_; return sql("SELECT state || coalesce(': ' || reason, '') FROM tiktok.reporting WHERE source = '" . ($source // 'shop') . "'", $db) }

# What tiktok.health() says of the counts of a source
sub health { return sql("SELECT state || ' ' || detail || ' ' || coalesce(hint, '') FROM tiktok.health() WHERE check_name = 'counts' AND detail LIKE '\"$_[0]\"%'") }

sub state_is
{
	my ($expected, $name, $source) = @_;
	my $found = eval { Rehearsal::await($name, sub { reporting($source) eq $expected }, 30) };

	ok($found, $name) or diag(reporting($source), "\n", sql('SELECT source, call, day, outcome, code, message FROM tiktok.report_fetch ORDER BY id DESC LIMIT 3'));
}

sub counts
{
	my ($day, $source) = @_;
	return sql("SELECT string_agg(format('%s %s/%s/%s', event, coalesce(browser::text, '-'), coalesce(server::text, '-'), coalesce(total::text, '-')), ', ' ORDER BY event) "
		  . "FROM tiktok.platform_count WHERE source = '" . ($source // 'shop') . "' AND day = '$day'");
}

# The next call is due, whatever the schedule says; so is a day that was fetched within the hour.
sub due_now
{
	sql("UPDATE tiktok.report_fetch SET started_at = started_at - interval '2 hours' WHERE day >= current_date - 3");
	sql("UPDATE tiktok.report_state SET next_at = now() WHERE isfinite(next_at)");
	sql('UPDATE tiktok.source SET batch_size = batch_size');
}

sub fetched { my ($how_many, $source) = @_; return sql("SELECT count(*) >= $how_many FROM tiktok.report_fetch WHERE source = '" . ($source // 'shop') . "' AND outcome = 'ok' AND started_at > now() - interval '1 hour'") eq 't' }
sub newest { return sql("SELECT outcome, coalesce(http_status::text, '-'), coalesce(code::text, '-'), coalesce(message, '-') FROM tiktok.report_fetch ORDER BY id DESC LIMIT 1") }

# One answer: what became of the call, and of the source; then all is well again
sub answer_is
{
	my ($name, $path, $rule, $outcome, $state, $delay) = @_;
	my $before = sql('SELECT coalesce(max(id), 0) FROM tiktok.report_fetch');

	$tiktok->script({ times => 1, match => { path => $path }, %$rule }) if %$rule;
	if ($path eq 'pixel/list') { sql('UPDATE tiktok.report_state SET pixel_id = NULL') }
	due_now();
	Rehearsal::await($name, sub { sql("SELECT count(*) FROM tiktok.report_fetch WHERE id > $before AND outcome <> 'ok'") }, 30);
	is(newest(), $outcome, "$name: the call");
	is(reporting(), $state, "$name: the source");
	like(health('shop'), $state =~ /40105/ ? qr/^warn .* TikTok does not take the token .* It has expired or was withdrawn/ : $state =~ /stopped/ ? qr/^warn .* may not read/ : qr/^ok /, "$name: tiktok.health");
	is(sql("SELECT CASE WHEN isfinite(next_at) THEN round(extract(epoch FROM next_at - now()) / 60) END FROM tiktok.report_state"), $delay, "$name: and when it is asked again (minutes)");
	$tiktok->script;
	if ($delay eq '' || $delay == 5)
	{
		# stopped, or all calls pause
		sql("SELECT tiktok.set_reporting_token('shop', '$reads')");
		sql("SELECT pg_terminate_backend(pid) FROM tiktok.worker_status") if $delay;
	}
	else { due_now() }
	settled("$name: all is well again");
}

sub track
{
	my ($source) = @_;
	my $id = 'e' . ++$n;

	sql(sprintf q{SELECT tiktok.track('%s', 'ViewContent', '%s', user_data => '{"external_id": 7}', page => '{"url": "https://shop.example.com/"}')}, $source // 'shop', $id);
	return $id;
}

my $sale = { pixel_event_type => 'SHOPPING', total_count => 0, browser_event_total_count => 3, server_event_total_count => 4, attributed_count => 1, preview_count => 0 };
my %known = (
	tokens => { $reads => { advertisers => ['7000001'] }, $reads_other => { scopes => [ 800, 802 ], advertisers => ['8000001'] }, $narrow => { scopes => [800] } },
	pixels => [
		{ advertiser_id => '7000001', pixel_id => '111', pixel_code => 'CPIXEL0000000001' },
		{ advertiser_id => '8000001', pixel_id => '222', pixel_code => 'COTHER' },
		{ advertiser_id => '8000001', pixel_id => '333', pixel_code => 'CUNBOUND', relation => 'UNBOUND' },
		map { { advertiser_id => '8000001', pixel_id => 9000 + $_, pixel_code => "CMANY$_", whatever_code => JSON::PP::true } } 1 .. 45 ],
	counts => {
		111 => {
			day(1) => [ $sale, { pixel_event_type => 'ON_WEB_CART', browser_event_total_count => 9 }, { pixel_event_type => 'PAGE_VIEW', total_count => 99 },
				{ custom_event_type => 'Quote', server_event_total_count => 2 }, { pixel_event_type => 'ON_WEB_SCHEDULE', total_count => 1, browser_event_total_count => 1, server_event_total_count => 0 },
				{ total_count => 5 }, { pixel_event_type => 'who@example.com', total_count => 5 }, { pixel_event_type => 'FORM', total_count => -1, server_event_total_count => 'many' } ],
			day(2) => [],
			day(29) => [ $sale, { pixel_event_type => 'SHOPPING', browser_event_total_count => 1, server_event_total_count => 1 } ] },
		222 => { '*' => [$sale] } });
$tiktok->reporting(\%known);
$tiktok->sources($node);
sql('CREATE ROLE reader LOGIN; SELECT tiktok.grant_reader($$reader$$); CREATE ROLE ops LOGIN; SELECT tiktok.grant_admin($$ops$$)');

#
# Configuration
#
is(reporting(), 'off', 'without an advertiser nothing is fetched');
is(sql("SELECT string_agg(source, ', ') FROM tiktok.reporting"), 'shop', 'only web sources have counts');
like(error_of("SELECT tiktok.set_reporting_token('$_', 't', '1')"), qr/TikTok offers no counts of event source "$_"/, "$_: TikTok offers none") for qw(app store crm);
like(error_of("SELECT tiktok.set_reporting_token('shop', 'canary x', '1')"), qr/ERROR:  invalid reporting token\nDETAIL:  A token has/, 'an impossible token');
like(error_of("SELECT tiktok.set_reporting_token('shop', 'canary', '12a')"), qr/ERROR:  invalid advertiser_id/, 'an impossible advertiser');
like(error_of("UPDATE tiktok.source SET advertiser_id = 'x'"), qr/invalid advertiser_id/, 'also in the table');
like(error_of("SET ROLE reader; SELECT tiktok.set_reporting_token('shop', 'any', '7000001')"), qr/permission denied/, 'a reader may set none');
like(error_of("SET ROLE ops; SELECT token FROM tiktok.reporting_token"), qr/permission denied/, 'an admin may read none');
sql("UPDATE tiktok.source SET advertiser_id = '7000001' WHERE name = 'shop'");
state_is('no_token: no reporting token is set', 'an advertiser without a token');
is(scalar asked(), 0, 'nothing was asked');
sql("SET ROLE ops; SELECT tiktok.set_reporting_token('shop', '$reads', '7000001')");

#
# Thirty days at first
#
settled('thirty days');
my @asked = asked();
is(shift @asked, 'pixel/list 1', 'first the number of the Pixel');
is("@asked", join(' ', map { 'pixel/event/stats ' . day($_) } 0 .. 29), 'then 30 days, the newest first');
is(sql("SELECT pixel_id, unmapped, last_ok > now() - interval '1 minute' FROM tiktok.reporting WHERE source = 'shop'"), '111|{ON_WEB_SCHEDULE}|t', 'tiktok.reporting says so, with a type that is not mapped');
is(counts(day(1)), 'AddToCart 9/-/9, Lead -/-/-, ON_WEB_SCHEDULE 1/0/1, Purchase 3/4/7, Quote -/2/2', 'counts of a day: parts, a total made of them, absent fields, own names, no events of the Pixel itself');
is(counts(day(29)), 'AddToCart 0/0/0, Lead 0/0/0, Purchase 4/5/9, Quote 0/0/0, ON_WEB_SCHEDULE 0/0/0' =~ s/(, ON_WEB_SCHEDULE 0\/0\/0)$//r =~ s/Lead 0\/0\/0, /Lead 0\/0\/0, ON_WEB_SCHEDULE 0\/0\/0, /r,
	'the same event twice is a sum');
is(counts(day(2)), '', 'a day without any is unknown');
is(sql('SELECT count(*) FROM tiktok.report_fetch WHERE outcome = $$ok$$ AND http_status = 200 AND code = 0'), 31, 'one row a call');
is(sql("SET ROLE reader; SELECT count(*) FROM tiktok.report_fetch, tiktok.reporting, tiktok.platform_event_type WHERE call = 'pixel/list' AND reporting.source = 'shop'"), 17, 'a reader sees it all');
is(sql("SELECT browser, server FROM tiktok.reconcile('shop', '@{[day(1)]}', '@{[day(0)]}') WHERE event = 'Purchase'"), '3|4', 'tiktok.reconcile has the counts');

#
# Four calls an hour; a type that is mapped; what was loaded by hand
#
sql("INSERT INTO tiktok.platform_event_type (type, event) VALUES ('ON_WEB_SCHEDULE', 'Schedule'), ('SHOPPING', 'Order')");
sql("UPDATE tiktok.platform_count SET value = 100 WHERE day = '@{[day(1)]}' AND event = 'AddToCart'");
due_now();
Rehearsal::await('an hour later', sub { counts(day(1)) =~ /Schedule/ });
settled('until all days are fetched');
is(join(' ', asked()), join(' ', map { 'pixel/event/stats ' . day($_) } 0 .. 3), 'today and three days, an hour later');
is(counts(day(1)), 'AddToCart 9/-/9, Lead -/-/-, Order 3/4/7, Purchase 3/4/7, Quote -/2/2, Schedule 1/0/1', 'an own row of platform_event_type wins');
is(sql("SELECT unmapped FROM tiktok.reporting WHERE source = 'shop'"), '{}', 'and nothing is unmapped');
is(sql("SELECT value FROM tiktok.platform_count WHERE day = '@{[day(1)]}' AND event = 'AddToCart'"), 100, 'a value by hand stays');
sql("DELETE FROM tiktok.platform_event_type WHERE NOT shipped; DELETE FROM tiktok.platform_count WHERE event = 'Order'");

#
# Answers
#
my $stats = 'pixel/event/stats';
answer_is('a code', $stats, { action => 'code', code => 50000, status => 200, message => 'System error' }, 'failed|200|50000|System error', 'failing: code 50000: System error', 1);
answer_is('a parameter', $stats, { action => 'code', code => 40002, status => 200, message => 'date_range: who@example.com' }, 'failed|200|40002|***: ***', 'failing: code 40002: ***: ***', 1);
like(join(' ', asked()), qr{pixel/list}, 'then the Pixel is looked for again');
answer_is('throttling', $stats, { action => 'code', code => 40100, status => 200, message => 'Too many requests' }, 'throttled|200|40100|Too many requests', 'failing: code 40100: Too many requests', 5);
answer_is('a wrong token', $stats, { action => 'code', code => 40105, status => 200, message => 'Access token is incorrect' }, 'stopped|200|40105|Access token is incorrect', 'stopped: code 40105: Access token is incorrect', '');
answer_is('an advertiser without rights', 'pixel/list', { action => 'code', code => 40001, status => 200, message => 'No permission' }, 'stopped|200|40001|No permission', 'stopped: code 40001: No permission', '');
answer_is('HTTP 503', $stats, { action => 'status', status => 503, body => 'busy' }, 'failed|503|-|HTTP status 503 without a usable return code', 'failing: HTTP status 503 without a usable return code', 1);
answer_is('HTTP 403', $stats, { action => 'status', status => 403, body => 'who@example.com' }, 'failed|403|-|HTTP status 403 without a usable return code', 'failing: HTTP status 403 without a usable return code', 1);
answer_is('2 MB', $stats, { action => 'oversized', bytes => 2_000_000 }, 'failed|200|-|the answer was longer than 1024 KiB', 'failing: the answer was longer than 1024 KiB', 1);
answer_is('no counts', $stats, { action => 'status', status => 200, body => { code => 0, message => 'OK', data => {} } }, 'failed|200|0|the answer has no list of counts', 'failing: the answer has no list of counts', 1);
answer_is('too many counts', $stats, { action => 'status', status => 200, body => { code => 0, data => { list => [ { pixel_id => '111', statistics => [ ({ pixel_event_type => 'FORM' }) x 1001 ] } ] } } },
	'failed|200|0|the answer has too many counts', 'failing: the answer has too many counts', 1);
answer_is('no Pixels', 'pixel/list', { action => 'status', status => 200, body => { code => 0, data => { pixels => {} } } }, 'failed|200|0|the answer has no list of Pixels', 'failing: the answer has no list of Pixels', 1);
answer_is('no JSON', $stats, { action => 'html' }, 'failed|200|-|HTTP status 200 without a usable return code', 'failing: HTTP status 200 without a usable return code', 1);
answer_is('a gzip bomb', $stats, { action => 'gzip_bomb' }, 'failed|200|-|HTTP status 200 without a usable return code', 'failing: HTTP status 200 without a usable return code', 1);
answer_is('a redirect', $stats, { action => 'redirect', location => 'https://example.com/' }, 'failed|302|-|HTTP status 302: a redirect, which is never followed', 'failing: HTTP status 302: a redirect, which is never followed', 1);
answer_is('a reset', $stats, { action => 'reset_after_body' }, 'failed|-|-|nothing was sent: Failure when receiving data from the peer', 'failing: nothing was sent: Failure when receiving data from the peer', 1);

# A source that fails again and again is asked ever more seldom
$tiktok->script({ action => 'code', code => 50002, status => 200, times => undef, match => { path => $stats } });
for my $minutes (1, 2, 4, 8)
{
	# a call counts as failed before it has been answered
	my $answered = sql('SELECT count(*) FROM tiktok.report_fetch');
	due_now();
	my $delay = eval { Rehearsal::await('a failure', sub { sql("SELECT round(extract(epoch FROM next_at - now()) / 60), (SELECT count(*) > $answered FROM tiktok.report_fetch) FROM tiktok.report_state WHERE failures > 0") eq "$minutes|t" }, 20) };
	ok($delay, "asked again after $minutes minutes");
}
sql("UPDATE tiktok.report_state SET failures = 50");
due_now();
like(health('shop'), qr/^ok /, 'a failure of minutes is no warning');
sql("UPDATE tiktok.report_fetch SET finished_at = finished_at - interval '25 hours' WHERE source = 'shop'");
like(health('shop'), qr/^warn "shop": .* since .*: TikTok does not answer as it should \(code 50002.*\) They are asked for again by themselves/, 'one of a day is');
sql("UPDATE tiktok.report_fetch SET finished_at = finished_at + interval '25 hours' WHERE source = 'shop'");
ok(eval { Rehearsal::await('the longest pause', sub { sql("SELECT next_at BETWEEN now() + interval '5 hours 50 minutes' AND now() + interval '6 hours' FROM tiktok.report_state") eq 't' }, 20) }, 'and at least every six hours');
$tiktok->script;
due_now();
settled('until it is well again');

# Answers that name no Pixel of ours change nothing
my $before = counts(day(1));
$tiktok->script({ action => 'status', status => 200, times => 4, match => { path => $stats }, body => { code => 0, data => { list => [ { pixel_id => '222', statistics => [$sale] }, { pixel_id => '111' }, 7 ] } } });
due_now();
Rehearsal::await('odd answers', sub { sql('SELECT count(*) = 4 FROM tiktok.report_fetch WHERE counts = 0 AND id > (SELECT max(id) - 4 FROM tiktok.report_fetch)') eq 't' });
settled('odd answers');
is(counts(day(1)), $before, 'counts of another Pixel are not ours');
is(sql("SELECT count(*) FROM tiktok.report_fetch WHERE counts = 0 AND id > (SELECT max(id) - 4 FROM tiktok.report_fetch)"), 4, 'nor is an entry without statistics');

#
# Other sources
#
sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('other', 'web', 'COTHER'), ('unbound', 'web', 'CUNBOUND'), ('nowhere', 'web', 'CNOWHERE'), ('scope', 'web', 'CPIXEL0000000001')");
asked();
sql("SELECT tiktok.set_reporting_token('other', '$reads_other', '8000001'), tiktok.set_reporting_token('unbound', '$reads_other', '8000001')");
state_is('ok', 'a second source', 'other');
state_is('unbound: the Pixel is bound to no advertiser account: TikTok does not count its events', 'a Pixel that is bound to no account', 'unbound');
Rehearsal::await('thirty days', sub { fetched(31, 'other') }, 60);
is(counts(day(5), 'other'), 'Purchase 3/4/7', 'has its own counts');
sql("SELECT tiktok.set_reporting_token('nowhere', '$reads_other', '8000001')");
state_is('no_pixel: the advertiser account has no Pixel of this code', 'a Pixel that the account does not have', 'nowhere');
like(health('nowhere'), qr/^warn "nowhere": TikTok's counts are not fetched: the advertiser account has no such Pixel.* Correct advertiser_id/, 'tiktok.health says it');
like(health('unbound'), qr/^warn "unbound": .* the Pixel belongs to no advertiser account.* Connect it with one/, 'and that of another');
like(health('other'), qr/^ok "other": TikTok's counts were fetched at \d/, 'and that all is well');
is(join(' ', grep { /list/ } asked()) =~ s/^.*?(?=pixel\/list 1 pixel\/list 2)//r, 'pixel/list 1 pixel/list 2 pixel/list 3', 'is looked for on all pages');
sql("SELECT tiktok.set_reporting_token('scope', '$narrow', '7000001')");
state_is('stopped: code 40125: The access token *** the scope 802', 'a token without the scope', 'scope');
like(health('scope'), qr/^warn "scope": .* not fetched: the token may not read them \(code 40125: .*\) Give the developer app the scopes .* Events are sent all the same/, 'tiktok.health says what to do');
asked();
sql('UPDATE tiktok.source SET batch_size = batch_size');
sleep 2;
is(scalar(asked()), 0, 'is not tried again');
sql("SELECT tiktok.set_reporting_token('scope', '$reads')");
state_is('ok', 'until it is replaced; the advertiser stays', 'scope');
sql("SELECT tiktok.set_reporting_token('scope', NULL)");
state_is('no_token: no reporting token is set', 'a token that is taken away', 'scope');
like(health('scope'), qr/not fetched since \d.*: there is no token for them.* Call tiktok.set_reporting_token/, 'and since when');
sql("SELECT tiktok.pause('other')");
is(reporting('other'), 'paused', 'a source that is paused');
due_now();
sleep 1;
is(scalar(grep { $_->{query}{advertiser_id} eq '8000001' && $_->{path} eq $stats } @{ $tiktok->reports }[ $asked .. $#{ $tiktok->reports } ]), 0, 'is not asked for');
sql("UPDATE tiktok.source SET enabled = false WHERE name = 'nowhere'; DELETE FROM tiktok.source WHERE name IN ('scope', 'unbound')");
ok(eval { Rehearsal::await('state', sub { sql('SELECT count(*) FROM tiktok.report_state r WHERE NOT EXISTS (SELECT FROM tiktok.source s WHERE s.id = r.source_id)') == 0 }) }, 'a source can be deleted, with its state');
sql("UPDATE tiktok.source SET name = 'renamed' WHERE name = 'other'; SELECT tiktok.resume('renamed')");
due_now();
state_is('ok', 'a source can be renamed', 'renamed');

#
# Files
#
my $put = sub {
	my ($content, $mode) = @_;
	open my $fh, '>:raw', "$dir/.new" or die $!;
	print $fh $content;
	close $fh;
	chmod $mode // 0600, "$dir/.new";
	rename "$dir/.new", "$dir/shop.reporting" or die $!;
};
$put->("canary-wrong-reporting\n");
state_is('stopped: code 40105: Access token is incorrect or has been revoked', 'a token in a file wins');
$put->($reads, 0644);
state_is('no_token: reporting token file: open to group or others', 'a file that cannot be used');
$put->("$reads\n");
state_is('ok', 'a file that is replaced is noticed');
unlink "$dir/shop.reporting";
state_is('ok', 'without it the stored token is used');

#
# Beside events
#
$tiktok->script({ action => 'hang', times => undef, match => { path => $stats } });
due_now();
Rehearsal::await('a call that hangs', sub { $tiktok->stats->{faults}{hang} });
my $slowest = 0;
for (1 .. 20)
{
	my $started = time;
	track();
	Rehearsal::drained($node, 20) or fail('delivered beside a call that hangs');
	$slowest = time - $started if time - $started > $slowest;
}
cmp_ok($slowest, '<', 5, 'events are delivered in time beside a call that hangs') or diag("slowest: $slowest s");
note(sprintf 'the slowest of 20 events took %.2f s', $slowest);
is(sql('SELECT state, last_error FROM tiktok.worker_status'), 'idle|', 'and the worker is idle then');
is(sql("SELECT wait_event IS NOT NULL AND xact_start IS NULL AND backend_xmin IS NULL FROM pg_stat_activity WHERE backend_type = 'tiktok_events worker'"), 't', 'without transaction or snapshot');
is(sql("SELECT count(*) FROM pg_locks WHERE pid = (SELECT pid FROM tiktok.worker_status) AND locktype <> 'virtualxid'"), 0, 'or lock');

# Locked rows and tables, constraints, and triggers of somebody else
$tiktok->script;
sql('SELECT pg_terminate_backend(pid) FROM tiktok.worker_status');
for my $case (
	[ 'a lock on the table', "BEGIN; LOCK TABLE tiktok.platform_count;", 'canceling statement due to lock timeout' ],
	[ 'a lock on a row', "BEGIN; UPDATE tiktok.platform_count SET value = 1; UPDATE tiktok.report_state SET reason = 'x';", 'canceling statement due to lock timeout' ])
{
	my ($name, $lock, $message) = @$case;
	my $offset = -s $node->logfile;

	sql('UPDATE tiktok.report_fetch SET started_at = started_at - interval $$2 hours$$; UPDATE tiktok.report_state SET next_at = now() WHERE isfinite(next_at)');
	my $session = Rehearsal::session($node, $lock);

	sql('SELECT pg_terminate_backend(pid) FROM tiktok.worker_status');
	Rehearsal::await($name, sub { slurp_file($node->logfile, $offset) =~ /could not fetch TikTok's counts in database "postgres": $message/ }, 60);
	my $started = time;
	track();
	ok(Rehearsal::drained($node, 20), "$name: events are delivered");
	cmp_ok(time - $started, '<', 5, "$name: in time");
	is(sql('SELECT last_error FROM tiktok.worker_status'), '', "$name: without an error of the worker");
	Rehearsal::end_session($session, 'ROLLBACK;');
}
sql("CREATE FUNCTION public.spy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE LOG ''spied''; RETURN new; END'; CREATE TRIGGER spy BEFORE INSERT OR UPDATE ON tiktok.report_fetch FOR EACH ROW EXECUTE FUNCTION public.spy(); ALTER TABLE tiktok.report_fetch ENABLE ALWAYS TRIGGER spy");
my $offset = -s $node->logfile;
sql("SELECT pg_terminate_backend(pid) FROM tiktok.worker_status");
Rehearsal::await('a trigger', sub { slurp_file($node->logfile, $offset) =~ /could not fetch TikTok's counts in database "postgres": table "tiktok.report_fetch" has a trigger/ }, 60);
track();
ok(Rehearsal::drained($node, 20), 'a trigger of somebody else: events are delivered');
unlike(slurp_file($node->logfile, $offset), qr/spied/, 'and it does not run in the worker');
sql('DROP TRIGGER spy ON tiktok.report_fetch');
sql("SELECT pg_terminate_backend(pid) FROM tiktok.worker_status");
due_now();
settled('all is well again');

# The end of the server while a call hangs
$tiktok->script({ action => 'hang', times => undef, match => { path => $stats } });
my $hangs = $tiktok->stats->{faults}{hang};
due_now();
Rehearsal::await('a call that hangs', sub { $tiktok->stats->{faults}{hang} > $hangs });
my $started = time;
$node->stop('fast');
cmp_ok(time - $started, '<', 10, 'a server with a call that hangs stops at once');
$tiktok->script;
$node->start;

#
# Copies, and a rehearsal that would read production
#
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
sql("INSERT INTO tiktok.platform_event_type (type, event) VALUES ('SHOPPING', 'Mine')");
$node->command_ok([ 'pg_dump', '-f', "$dump.plain", '-d', $node->connstr('postgres') ], 'pg_dump again');
unlike(slurp_file("$dump.plain"), qr/canary/, 'no token is dumped');
like(slurp_file("$dump.plain"), qr/^SHOPPING\tMine/m, 'a type that was mapped is');
sql('DELETE FROM tiktok.platform_event_type WHERE NOT shipped');
sql('CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'restored');
asked();
is(sql("SELECT advertiser_id FROM tiktok.source WHERE name = 'shop'", 'restored'), '7000001', 'the advertiser is configuration');
ok(eval { Rehearsal::await('no token', sub { reporting('shop', 'restored') eq 'no_token: no reporting token is set' }) }, 'a restored dump has no token');
sql('DROP DATABASE restored');
$put->("$reads\n");
sql('CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'restored beside a file with a token');
ok(eval { Rehearsal::await('copied', sub { reporting('shop', 'restored') eq 'copied: this database is a copy of another' }) }, 'a copy fetches nothing') or diag(reporting('shop', 'restored'));
sql("INSERT INTO tiktok.report_state VALUES ((SELECT id FROM tiktok.source WHERE name = 'shop'), 'ok', NULL, 1, '7000001', 'CPIXEL0000000001', '111', 0, now()) ON CONFLICT (source_id) DO UPDATE SET state = 'ok', next_at = now(); UPDATE tiktok.source SET batch_size = 10", 'restored');
ok(eval { Rehearsal::await('copied', sub { reporting('shop', 'restored') eq 'copied: this database is a copy of another' }) }, 'whatever its state says');
is(sql('SELECT count(*) FROM tiktok.report_fetch', 'restored'), 0, 'no call was made');
sql('SELECT tiktok.confirm_database()', 'restored');
ok(eval { Rehearsal::await('confirmed', sub { reporting('shop', 'restored') eq 'ok' }) }, 'until it is confirmed') or diag(reporting('shop', 'restored'));
sql('DROP DATABASE restored WITH (FORCE)');
unlink "$dir/shop.reporting";
# a copy within the server, with the stored tokens
sql('SELECT pg_terminate_backend(pid) FROM tiktok.worker_status');
sql('CREATE DATABASE twin TEMPLATE postgres', 'template1');
ok(eval { Rehearsal::await('copied', sub { reporting('shop', 'twin') eq 'copied: this database is a copy of another' }) }, 'a copy with stored tokens fetches nothing') or diag(reporting('shop', 'twin'));
sql("SELECT tiktok.set_reporting_token('shop', '$reads')", 'twin');
ok(eval { Rehearsal::await('own', sub { reporting('shop', 'twin') eq 'ok' }) }, 'until a token is set there');
sql('DROP DATABASE twin WITH (FORCE)');
set('tiktok_events.reporting_endpoint', '');
is(reporting(), 'no_endpoint', 'a test server for events, and none for counts: nothing is fetched');
asked();
due_now();
sleep 2;
is(scalar(asked()), 0, 'not even asked for');
for my $bad ([ 'http://example.com/', 'Only localhost' ], [ 'https://example.com/x', 'It must end with a slash' ], [ 'https://example.com/?a=/', 'It must end with a slash' ], [ 'https://u:password@example.com/', 'It must not contain a user name' ])
{
	like(error_of("ALTER SYSTEM SET tiktok_events.reporting_endpoint = '$bad->[0]'"), qr/invalid value for parameter "tiktok_events.reporting_endpoint"\nDETAIL:  $bad->[1]/, "an endpoint is refused: $bad->[1]");
}

is(sql("SELECT count(*) FROM tiktok.event_status WHERE status <> 'delivered'"), 0, 'every event was delivered');
is(sql('SELECT max(attempts) FROM tiktok.event_status'), 1, 'at once');
my $seen = join "\n", map { sql("SELECT * FROM tiktok.$_") } qw(reporting report_fetch report_state platform_count source health());
unlike($seen, qr/canary|example\.com/, 'no token and no echo is in a view or table');
$node->stop;
my $log = slurp_file($node->logfile);
like($log, qr/DEBUG/, 'the server log is full of detail');
# literals of statements of this test are logged by none but errors, which hide theirs
unlike($log, qr/canary-(?!x)/, 'but no token is in it');
unlike($log, qr/PANIC|was terminated by signal/, 'nothing has crashed');

done_testing();
