# The report in a real browser, on a phone and a desk, light and dark: it says nothing on the console, nothing is too wide, labels of charts do not
# overlap or leave them, axe-core finds nothing, and a name that is HTML stays text.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use FindBin;
use IPC::Run;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($chromium) = grep { -x } '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome';
plan skip_all => 'no Chromium' unless $chromium;

my $node = PostgreSQL::Test::Cluster->new('report');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $month = "now() - interval '30 days', now()";

# axe-core, of one version; AXE_CORE names its axe.min.js where there is no network.
sub axe_core
{
	my ($version, $sum) = ('4.10.3', '880970c081707360e64f34cea25ff91892f5bc95675b0776925b9709dd8a68bb');
	my $file = $ENV{AXE_CORE};

	if (!defined $file)
	{
		my $out;
		$file = "$dir/package/axe.min.js";
		eval {
			local $ENV{npm_config_cache} = "$dir/npm";
			IPC::Run::run([ 'sh', '-c', "cd '$dir' && npm pack --silent --fetch-retries=0 axe-core\@$version && tar xzf axe-core-$version.tgz package/axe.min.js" ],
				'>', \$out, '2>&1', IPC::Run::timeout(60));
		};
	}
	return undef unless -r $file;
	my $source = slurp_file($file);
	is(sha256_hex($source), $sum, "axe-core $version is what it was");
	return $source;
}

$node->init;
$node->append_conf('postgresql.conf', <<CONF);
shared_preload_libraries = 'tiktok_events'
tiktok_events.databases = 'none_of_these'
CONF
$node->start;

# Opens a page and returns its DOM and what it said on the console.
sub browse
{
	my ($html, @options) = @_;
	my ($dom, $log);

	unlink "$dir/page.html";
	append_to_file("$dir/page.html", $html);
	IPC::Run::run([ $chromium, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars',
			"--user-data-dir=$dir/profile", '--enable-logging=stderr', @options, '--dump-dom', "file://$dir/page.html" ],
		'>', \$dom, '2>', \$log, IPC::Run::timeout(900));
	return ($dom, join "\n", grep { /CONSOLE/ && !m{source: chrome://} } split /\n/, $log);
}

# What pages measure in frames, as a browser's window cannot be as narrow as a phone.  Each case is [ name, html, width, whether axe looks at it ].
# The answers are [ name, width, what is wrong ].
my $look = <<'JS';
async function look(c) {
  var wrong = [], frame = document.createElement("iframe");
  frame.style.cssText = "width:" + c.width + "px;height:900px;border:0";
  frame.srcdoc = c.html;
  await new Promise(function (done) { frame.onload = done; document.body.append(frame); });
  var win = frame.contentWindow, page = win.document, root = page.documentElement;
  if (win.innerWidth !== c.width) wrong.push("is " + win.innerWidth);
  if (win.matchMedia("(prefers-color-scheme: dark)").matches !== DARK) wrong.push("wrong scheme");
  for (var open of [false, true]) {
    page.querySelectorAll("details").forEach(function (d) { d.open = open; });
    if (root.scrollWidth > win.innerWidth) {
      wrong.push("too wide");
      page.querySelectorAll("body *").forEach(function (e) {
        if (!e.closest(".wide") && e.getBoundingClientRect().right > win.innerWidth) wrong.push(e.tagName + " in " + (e.closest("section") || e).id);
      });
    }
    page.querySelectorAll(".chart").forEach(function (chart) {
      var around = chart.getBoundingClientRect();
      var texts = [...chart.querySelectorAll("span")].map(function (t) { return [t.textContent, t.getBoundingClientRect()]; }).filter(function (t) { return t[1].width > 0; });
      if (around.width > 0 && texts.length < 3) wrong.push("no labels");
      texts.forEach(function (a, i) {
        if (a[1].left < around.left - 12 || a[1].right > around.right + 1) wrong.push(a[0] + " is outside");
        texts.slice(i + 1).forEach(function (b) {
          if (a[1].left < b[1].right && b[1].left < a[1].right && a[1].top + 2 < b[1].bottom && b[1].top + 2 < a[1].bottom) wrong.push(a[0] + " over " + b[0]);
        });
      });
    });
    page.querySelectorAll(".bar").forEach(function (bar) {
      var track = bar.querySelector(".t").getBoundingClientRect();
      bar.querySelectorAll("i").forEach(function (i) {
        var r = i.getBoundingClientRect();
        if (r.left < track.left - 1 || r.right > track.right + 3) wrong.push("a bar leaves its track");
      });
    });
  }
  page.querySelectorAll(".wide").forEach(function (e) { if (e.scrollWidth > e.clientWidth && e.tabIndex !== 0) wrong.push("not reached by keyboard"); });
  if (win.hacked || window.hacked) wrong.push("hacked");
  if (c.axe && AXE) {
    win.eval(AXE);
    (await win.axe.run(page, { resultTypes: ["violations"], preload: false })).violations.forEach(function (v) { wrong.push("axe: " + v.id + " at " + v.nodes.map(function (n) { return n.target; }).slice(0, 3).join(" ")); });
  }
  frame.remove();
  return [c.name, c.width, [...new Set(wrong)].join("; ")];
}
(async function () {
  var answers = [];
  for (var c of CASES) answers.push(await look(c));
  document.title = btoa(JSON.stringify(answers));
})();
JS

sub look_at
{
	my ($dark, $axe, @cases) = @_;
	my $json = JSON::PP->new->ascii->allow_nonref;
	my $script = $look;

	my $cases = $json->encode([ map { { name => $_->[0], html => $_->[1] =~ s{<meta http-equiv="Content-Security-Policy"[^>]*>}{}r, width => $_->[2], axe => $_->[3] ? \1 : \0 } } @cases ]);
	my $globals = sprintf 'var DARK = %s, AXE = %s, CASES = %s;', $dark ? 'true' : 'false', $json->encode($axe), $cases;
	$globals =~ s{</}{<\\/}g;
	my ($dom, $console) = browse("<!DOCTYPE html><title></title><body><script>$globals\n$script</script></body>",
		'--window-size=1700,1000', '--virtual-time-budget=600000', '--blink-settings=preferredColorScheme=' . ($dark ? 0 : 1));
	$dom =~ m{<title>([A-Za-z0-9+/=]+)</title>} or die 'no answer: ' . substr($dom, 0, 400) . $console;
	is($console, '', ($dark ? 'dark' : 'light') . ': nothing on the console');
	return map { [ "$_->[0] at $_->[1] pixels, " . ($dark ? 'dark' : 'light'), $_->[2] ] } @{ $json->decode(decode_base64($1)) };
}

sub report
{
	my ($db, $time) = @_;
	return $node->safe_psql($db, "SELECT tiktok.report_html($time)");
}

# An empty shop, a healthy one, and one with four causes of loss
for my $shop ('empty', 'healthy', 'sick')
{
	$node->safe_psql('postgres', "CREATE DATABASE $shop");
	$node->safe_psql($shop, 'CREATE EXTENSION tiktok_events');
	next if $shop eq 'empty';
	$node->command_ok([ 'psql', '-X', '-q', '-d', $node->connstr($shop), '-v', 'sick=' . ($shop eq 'sick' ? 1 : 0), '-f', "$FindBin::Bin/../script/demo_month.sql" ], "shop $shop");
}

# A month of every status, with names as long and as bad as they may be
$node->safe_psql('postgres', 'CREATE EXTENSION tiktok_events');
$node->safe_psql('postgres', <<'SQL');
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES
	(1, '<img src=x onerror=hacked=1>' || repeat('w', 36), 'web', 'C1'), (2, '<b>crm"', 'crm', '74001');
INSERT INTO tiktok.lead_stage VALUES ('<b>crm"', repeat('s', 200), repeat('E', 120), 1), ('<b>crm"', '<script>hacked=1</script>', '</svg><script>hacked=1</script>', 2);
INSERT INTO tiktok.event (id, source_id, event, event_id, event_time, enqueued_at, value, currency, match_keys, payload)
SELECT g, 1 + g % 2, CASE WHEN g % 6 = 0 THEN '</title><script>hacked=1</script>' WHEN g % 2 = 0 THEN 'Purchase' ELSE repeat('E', 120) END, CASE WHEN g % 10 = 1 THEN repeat('9', 100) || g ELSE '<script>hacked=1</script>' || g END,
	'2026-03-01'::timestamptz + g * interval '90 s' - (g % 20) * (g % 20) * interval '1 hour', '2026-03-01'::timestamptz + g * interval '90 s', 1e11, 'EUR', g % 262144, '{}'
FROM generate_series(1, 28000) g;
INSERT INTO tiktok.delivery (id, request_id, status, reason, at)
SELECT id, 1, (ARRAY['delivered', 'delivered', 'rejected', 'suppressed', 'expired', 'uncertain', 'discarded', 'invalid'])[1 + id % 8], 'code 40002', enqueued_at + interval '1 s'
FROM tiktok.event WHERE id < 27990;
INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, next_attempt_at) SELECT id, source_id, 1, enqueued_at, enqueued_at FROM tiktok.event WHERE id > 27995;
CREATE TABLE orders AS SELECT event_id, value, currency, event_time AS at FROM tiktok.event WHERE event = 'Purchase' AND id % 5 > 0;
INSERT INTO tiktok.source_of_truth SELECT name, 'Purchase', 'public.orders' FROM tiktok.source WHERE id = 1;
INSERT INTO tiktok.pixel_seen (event_id, event, source_id, seen_at) SELECT '<script>hacked=1</script>' || id, '</td><script>hacked=1</script>', 1, event_time FROM tiktok.event WHERE id % 9 = 0;
ANALYZE;
SQL

my @cases = map { my $html = report($_, $month); ([ "shop $_", $html, 390, 1 ], [ "shop $_", $html, 1280, 1 ]) } 'empty', 'healthy', 'sick';
my @bad;
for my $time ("'2026-03-01', '2026-03-31'", "'2026-03-27 07:30', '2026-03-29 07:00'", "'2025-04-01', '2026-03-31'")
{
	my $html = report('postgres', $time);
	push @bad, map { [ "$time with bad names", $html, $_, 0 ] } 390, 1600;
}
my $axe = axe_core();
my $faulty = [ 'a page with faults', report('empty', $month) =~ s{<main>}{<main><p style="color:#ccc">pale</p><p style="width:2000px">wide</p>}r, 390, 1 ];
my ($fault, @light) = look_at(0, $axe, $faulty, @cases, @bad);
like($fault->[1], qr/too wide/, 'what is too wide is found');
is($_->[1], '', $_->[0]) for @light, look_at(1, $axe, @cases);
SKIP:
{
	skip 'axe-core cannot be had by npm: whether the report is accessible was not looked at', 1 unless $axe;
	like($fault->[1], qr/axe: color-contrast at p/, 'axe finds what is pale');
}

# The policy of the page is a second lock: a script in it does not run, and says so
my $html = report('sick', $month);
$html =~ s{<main>}{<main><script>document.title = "hacked"</script>};
my ($dom, $console) = browse($html);
unlike($dom, qr{<title>hacked}, 'the page lets no script run');
like($console, qr{Content Security Policy}, 'and the console tells');

$node->stop;
done_testing();
