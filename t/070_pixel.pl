# The Pixel's side in a real browser: a page made of pixel_base_code and pixel_event reports the
# same event, properties and event_id as the worker posts, keeps to consent, and cannot be broken
# by what a product is called.  A stand-in for TikTok's script records what the page calls.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my ($chromium) = grep { -x } '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome';
plan skip_all => 'no Chromium' unless $chromium;

my $api = Rehearsal->start;
my $node = $api->cluster('pixel');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $json = JSON::PP->new->canonical;

$api->sources($node);
$node->safe_psql('postgres', "UPDATE tiktok.source SET external_id_case = 'lower' WHERE name = 'shop'");
# so that the identifiers still wait when the page is made
$node->safe_psql('postgres', "SELECT tiktok.pause('shop')");

# Keeps what is sent and what waits for consent, as TikTok's script does, and shows it in the page.
append_to_file("$dir/events.js", <<'JS');
(function () {
  var ttq = window[window.TiktokAnalyticsObject], held = false, waiting = [], sent = [];
  function call(method, rest) {
    if (method === "holdConsent") held = true;
    else if (method === "grantConsent") { held = false; sent = sent.concat(waiting); waiting = []; }
    else if (method === "revokeConsent") { held = true; waiting = []; }
    else (held ? waiting : sent).push([method].concat(rest));
    document.getElementById("calls").textContent = JSON.stringify({ sent: sent, waiting: waiting, hacked: !!window.hacked });
  }
  ttq.splice(0).forEach(function (c) { call(c[0], c.slice(1)); });
  ttq.methods.forEach(function (m) { ttq[m] = function () { call(m, [].slice.call(arguments)); }; });
})();
JS

# Opens a page with the source's base code, the event's calls and a script of its own; returns what was called.
sub browse
{
	my ($source, $event, $event_id, $more) = @_;
	my $base = $node->safe_psql('postgres', "SELECT tiktok.pixel_base_code('$source')");
	my $calls = $node->safe_psql('postgres', "SELECT tiktok.pixel_event('$source', '$event', '$event_id')");
	my ($out, $err);

	like($base, qr{"https://analytics\.tiktok\.com/i18n/pixel/events\.js"}, 'the script is TikTok\'s');
	$base =~ s{https://analytics\.tiktok\.com/i18n/pixel/events\.js}{file://$dir/events.js};
	unlink "$dir/page.html";
	append_to_file("$dir/page.html", <<HTML);
<!DOCTYPE html><html><head><meta charset="utf-8"><title>Thank you</title>
$base
</head><body><pre id="calls"></pre>
<script>$calls</script>
<script>@{[$more // '']}</script>
</body></html>
HTML
	IPC::Run::run([ $chromium, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', "--user-data-dir=$dir/profile",
			'--virtual-time-budget=4000', '--dump-dom', "file://$dir/page.html" ],
		'>', \$out, '2>', \$err, IPC::Run::timeout(120));
	$out =~ m{<pre id="calls">(.*?)</pre>}s or die "no page: $out $err";
	my $text = $1;
	$text =~ s/&lt;/</g;
	$text =~ s/&gt;/>/g;
	$text =~ s/&nbsp;/\x{c2}\x{a0}/g;
	$text =~ s/&amp;/&/g;
	return JSON::PP->new->utf8->decode($text);
}

# What the worker posted of an event.
sub posted
{
	my ($event_id) = @_;
	my ($event) = grep { $_->{event_id} eq $event_id }
	  map { @{ $json->decode($_->{body})->{data} } } @{ $api->bodies(100) };

	return $event;
}

my $name = q{</script><script>window.hacked = 1</script> 'quoted' "twice" & Grüße \u2028 \u2029 end};
$name =~ s/"/\\"/g;
$node->safe_psql('postgres', <<SQL);
SELECT tiktok.track('shop', 'CompletePayment', 'SO-1', now(),
	'{"email": "Ada\@Example.com", "phone": "+49 171 2345678", "external_id": "Customer-7"}',
	\$json\${"value": 1234567.80, "currency": "eur", "contents": [{"content_id": "A-1", "content_name": "$name", "price": 617283.90, "quantity": 2}]}\$json\$,
	'{"url": "https://shop.example/thanks"}');
SQL
my $before = browse('shop', 'Purchase', 'SO-1');
$node->safe_psql('postgres', "SELECT tiktok.resume('shop')");
ok(Rehearsal::drained($node, 30), 'the event is delivered');

my $event = posted('SO-1');
my ($track) = grep { $_->[0] eq 'track' } @{ $before->{sent} };
my ($identify) = grep { $_->[0] eq 'identify' } @{ $before->{sent} };
is($track->[1], $event->{event}, 'the same event name in the browser as on the wire');
is($json->encode($track->[2]), $json->encode($event->{properties}), 'the same properties');
is($track->[3]{event_id}, $event->{event_id}, 'the same event_id');
is_deeply($identify->[1],
	{ email => $event->{user}{email}, phone_number => $event->{user}{phone}, external_id => $event->{user}{external_id} },
	'the same hashes of the identifiers');
is_deeply([ map { $_->[0] } @{ $before->{sent} } ], [qw(page identify track)], 'in the order TikTok wants');
ok(!$before->{hacked}, 'the name of a product runs no script');
like($track->[2]{contents}[0]{content_name}, qr{</script>.*Gr\x{fc}\x{df}e \x{2028} \x{2029} end}, 'and arrives as it is');

# After delivery the identifiers are gone; who makes the page can give them.
is(scalar(grep { $_->[0] eq 'identify' } @{ browse('shop', 'CompletePayment', 'SO-1')->{sent} }), 0, 'no identifiers after delivery');

# Consent: hold, grant, revoke.
$node->safe_psql('postgres', "UPDATE tiktok.source SET consent = 'required' WHERE name = 'shop'");
$node->safe_psql('postgres', <<SQL);
SELECT tiktok.track('shop', 'Purchase', 'SO-2', now(), '{"email": "ada\@example.com"}', '{"value": 1, "currency": "EUR"}', '{"url": "https://shop.example/thanks"}', consent => true);
SELECT tiktok.track('shop', 'Purchase', 'SO-3', now(), '{"email": "ada\@example.com"}', '{"value": 1, "currency": "EUR"}', '{"url": "https://shop.example/thanks"}');
SQL
my $held = browse('shop', 'Purchase', 'SO-2');
is(scalar @{ $held->{sent} }, 0, 'before consent nothing is sent');
is(scalar(grep { $_->[0] eq 'track' } @{ $held->{waiting} }), 1, 'and the event waits');
is(scalar(grep { $_->[0] eq 'track' } @{ browse('shop', 'Purchase', 'SO-2', 'ttq.grantConsent();')->{sent} }), 1, 'consent lets it go');
my $revoked = browse('shop', 'Purchase', 'SO-2', 'ttq.revokeConsent();');
is(scalar(@{ $revoked->{sent} }) + @{ $revoked->{waiting} }, 0, 'refusal drops it');
is(scalar(grep { $_->[0] eq 'track' } @{ browse('shop', 'Purchase', 'SO-3', 'ttq.grantConsent();')->{sent} }), 0,
	'an event the database suppressed is not reported by the browser');
$node->safe_psql('postgres', "SELECT tiktok.pause('shop')");
$node->safe_psql('postgres', <<SQL);
SELECT tiktok.track('shop', 'Purchase', 'SO-4', now(), '{"email": "ada\@example.com"}', '{"value": 1, "currency": "EUR"}', '{"url": "https://shop.example/thanks"}', consent => true);
SELECT tiktok.discard('shop');
SQL
is($node->safe_psql('postgres', "SELECT tiktok.pixel_event('shop', 'Purchase', 'SO-4') = ''"), 't', 'nor is one that was discarded');

$node->stop;
$api->stop;
done_testing();
