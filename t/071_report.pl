# The report in a real browser: it loads without a message on the console, is no wider than a phone or a desk, in no
# chart do labels overlap or leave it, and a name that is HTML stays text.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($chromium) = grep { -x } '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome';
plan skip_all => 'no Chromium' unless $chromium;

my $node = PostgreSQL::Test::Cluster->new('report');
my $dir = PostgreSQL::Test::Utils::tempdir();

$node->init;
$node->append_conf('postgresql.conf', <<CONF);
shared_preload_libraries = 'tiktok_events'
tiktok_events.databases = 'none_of_these'
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION tiktok_events');

# Opens a page and returns its DOM and what it said on the console.
sub browse
{
	my ($html, $width) = @_;
	my ($dom, $log);

	unlink "$dir/page.html";
	append_to_file("$dir/page.html", $html);
	IPC::Run::run([ $chromium, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars',
			"--user-data-dir=$dir/profile", '--enable-logging=stderr', "--window-size=$width,900", '--dump-dom', "file://$dir/page.html" ],
		'>', \$dom, '2>', \$log, IPC::Run::timeout(120));
	return ($dom, join "\n", grep { /CONSOLE/ } split /\n/, $log);
}

# What a page measures in a frame of that width, as a browser's window cannot be as narrow as a phone: what is too wide,
# the labels of charts that overlap or are outside, and whether a script of a name ran.
sub measures
{
	my ($html, $width) = @_;

	$html =~ s{<meta http-equiv="Content-Security-Policy"[^>]*>}{} or die 'no policy';
	$html .= <<'JS';
<script>
var wrong = [], page = document.documentElement, labels = document.querySelectorAll("figure > svg text");
if (page.scrollWidth > window.innerWidth) {
  wrong.push("too wide");
  document.querySelectorAll("body *").forEach(function (e) {
    if (!e.closest(".wide") && e.getBoundingClientRect().right > window.innerWidth) wrong.push(e.tagName + " in " + (e.closest("section") || e).id);
  });
}
document.querySelectorAll("figure > svg").forEach(function (svg) {
  var frame = svg.getBoundingClientRect();
  var texts = [...svg.querySelectorAll("text")].map(function (t) { return [t.textContent, t.getBoundingClientRect()]; });
  texts.forEach(function (a, i) {
    if (a[1].left < frame.left - 1 || a[1].right > frame.right + 1 || a[1].bottom > frame.bottom + 1) wrong.push(a[0] + " is outside");
    texts.slice(i + 1).forEach(function (b) {
      if (a[1].left < b[1].right && b[1].left < a[1].right && a[1].top + 2 < b[1].bottom && b[1].top + 2 < a[1].bottom) wrong.push(a[0] + " over " + b[0]);
    });
  });
});
parent.document.title = [window.innerWidth, labels.length > 0 ? "labels" : "no labels", wrong.join("; "), window.hacked || parent.hacked ? "hacked" : "safe"].join("|");
</script>
JS
	$html =~ s/&/&amp;/g;
	$html =~ s/"/&quot;/g;
	my ($dom) = browse(qq{<!DOCTYPE html><title></title><iframe style="width: ${width}px; height: 900px; border: 0" srcdoc="$html"></iframe>}, 1400);
	$dom =~ m{<title>(.*?)</title>}s or die "no page: $dom";
	return $1;
}

sub report
{
	return $node->safe_psql('postgres', "SELECT tiktok.report_html($_[0])");
}

my $empty = report("'2026-03-01', '2026-03-31'");
is((browse($empty, 390))[1], '', 'an empty report says nothing on the console');
is(measures($empty, 390), '390|no labels||safe', 'and fits a phone');

# A month of every status, with names as long and as bad as they may be
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
ANALYZE;
SQL
for my $time ("'2026-03-01', '2026-03-31'", "'2026-03-28', '2026-03-29'", "'2026-03-27 07:30', '2026-03-29 07:00'", "'2026-03-24', '2026-03-31'", "'2025-04-01', '2026-03-31'")
{
	my $html = report($time);
	for my $width (390, 1280)
	{
		is((browse($html, $width))[1], '', "$time at $width pixels: nothing on the console") if $time =~ /03-01/;
		is(measures($html, $width), "$width|labels||safe", "$time at $width pixels: fits, labels are readable, names are text");
	}
}

# The policy of the page is a second lock: a script in it does not run, and says so
my $html = report("'2026-03-01', '2026-03-31'");
$html =~ s{<main>}{<main><script>document.title = "hacked"</script>};
my ($dom, $console) = browse($html, 390);
unlike($dom, qr{<title>hacked}, 'the page lets no script run');
like($console, qr{Content Security Policy}, 'and the console tells');

$node->stop;
done_testing();
