# pg_upgrade takes queue, history, configuration and triggers along.  The new server counts as a copy: it records, and sends nothing until somebody
# says that it is the one to send.  Then everything is delivered that the old one had left.  Needs an older PostgreSQL with the extension beside this one.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

chomp(my $bindir = `pg_config --bindir`);
my ($root, $major) = $bindir =~ m{^(.*)/(\d+)/bin$} or plan skip_all => "$bindir is not a folder of one major among others";
my ($older) = sort { $b <=> $a } grep { $_ < $major && -x "$root/$_/bin/postgres" && -e "$root/$_/lib/tiktok_events.so" } map { m{/(\d+)$} ? $1 : () } glob "$root/*";
plan skip_all => "no PostgreSQL older than $major has the extension on this machine" unless $older;
note("from $older to $major");

my $tiktok = Rehearsal->start;
my $old = $tiktok->cluster('old', install_path => "$root/$older");

sub sql { my ($node, $sql) = @_; return $node->safe_psql('postgres', $sql) }
sub received { my ($id) = @_; return scalar @{ $tiktok->events("?event_id=$id&accepted=true") } }
sub states { my ($node) = @_; return sql($node, "SELECT string_agg(source || ' ' || state, ', ' ORDER BY source) FROM tiktok.backlog") }

sub track
{
	my ($node, $id, $source) = @_;
	sql($node, "SELECT tiktok.track('$source', 'ViewContent', '$id', user_data => '{\"external_id\": 1, \"email\": \"a\@example.com\"}', page => '{\"url\": \"https://shop.example.com/\"}')");
}

# The old server: events delivered, to be tried again, on their way, on hold, without a token, and a queue
$tiktok->sources($old);
sql($old, <<'SQL');
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('web', 'web', 'CPIXEL0000000002'), ('blog', 'web', 'CPIXEL0000000003');
CREATE TABLE customers (id int PRIMARY KEY, email text);
CREATE TABLE orders (no text PRIMARY KEY, total numeric, customer_id int REFERENCES customers);
INSERT INTO customers VALUES (1, 'a@example.com');
SELECT tiktok.create_trigger('orders', 'shop', 'Purchase',
	'{"event_id": "no", "event_time": "now", "value": "total", "currency": "''EUR''", "email": "customer_id->email", "url": "''https://shop.example.com/''"}');
INSERT INTO orders VALUES ('before', 10, 1);
SQL
ok(Rehearsal::drained($old, 20), 'delivered');
# as if the server had been recovered, with this event in its queue
sql($old, "SELECT tiktok.set_access_token(name, '$Rehearsal::TOKEN') FROM tiktok.source WHERE name IN ('web', 'blog'); SELECT tiktok.pause('web', 'a recovery')");
track($old, 'recovered', 'web');
sql($old, "UPDATE tiktok.installation SET recovered_to = now() - interval '3 days', recovered_xid = pg_current_xact_id()");
sql($old, "SELECT tiktok.pause('store', 'stocktaking'); SELECT tiktok.set_access_token('crm', NULL)");
track($old, 'on-hold', 'store');
sql($old, "SELECT tiktok.track('crm', 'Lead', 'lead', lead => '{\"lead_id\": \"7412345678901234567\"}')");
$tiktok->script({ action => 'status', status => 503, match => { event_id => 'retrying' }, times => undef },
	{ action => 'delay', seconds => 100, match => { event_id => 'in-flight' } });
track($old, 'retrying', 'shop');
$old->poll_query_until('postgres', 'SELECT count(*) = 1 FROM tiktok.retry');
track($old, 'in-flight', 'blog');
Rehearsal::await('the event is received', sub { received('in-flight') });
my $session = Rehearsal::session($old, 'BEGIN; LOCK tiktok.request IN SHARE MODE;');
sql($old, "INSERT INTO orders SELECT 'waiting-' || n, n, 1 FROM generate_series(1, 500) n");
$old->stop;
eval { Rehearsal::end_session($session, '') };
$tiktok->script;
my $before = $tiktok->stats->{requests};

# A new server, with pg_upgrade
my $new = PostgreSQL::Test::Cluster->new('new');
my ($control) = run_command([ "$root/$older/bin/pg_controldata", $old->data_dir ]);
$new->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8', $major >= 18 && $control =~ /checksum version: +0$/m ? '--no-data-checksums' : () ]);
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'tiktok_events'\ntiktok_events.endpoint = '$tiktok->{https_url}'\ntiktok_events.ca_file = '$tiktok->{ca_file}'");
my $dir = PostgreSQL::Test::Utils::tempdir();
chdir $dir or die $!;
command_ok([ 'pg_upgrade', '--no-sync', '-b', "$root/$older/bin", '-B', $bindir, '-d', $old->data_dir, '-D', $new->data_dir, '-s', $new->host, '-p', $old->port, '-P', $new->port ],
	"pg_upgrade from $older to $major");
is($tiktok->stats->{requests}, $before, 'while it runs nothing is sent');

$new->start;
$new->poll_query_until('postgres', "SELECT count(*) = 3 FROM tiktok.backlog WHERE state = 'copied'");
is(states($new), 'app copied, blog copied, crm no_token, shop copied, store paused, web paused', 'the new server is a copy');
$new->poll_query_until('postgres', 'SELECT noted_system_identifier = (SELECT system_identifier FROM pg_control_system()) FROM tiktok.installation');
is(Rehearsal::statuses($new), 'delivered 1, pending 502, retrying 3', 'it has queue and history');
like(sql($new, "SELECT hint FROM tiktok.health() WHERE check_name = 'source' AND detail LIKE '\"shop\"%'"), qr/SELECT tiktok\.confirm_database\(\)/, 'health says what to call');
is(sql($new, "SELECT count(*) FROM tiktok.health() WHERE check_name = 'trigger' AND state <> 'ok'"), 0, 'the triggers are there');
sql($new, "INSERT INTO orders VALUES ('after', 10, 1)");
sql($new, "DELETE FROM orders WHERE no = 'before'; INSERT INTO orders VALUES ('before', 10, 1)");
is(Rehearsal::statuses($new), 'delivered 1, pending 503, retrying 3', 'they record, and know what is recorded already');
is(sql($new, "SELECT tiktok.wait('2 s')"), 'f', 'everything waits');
is($tiktok->stats->{requests}, $before, 'nothing is sent');

# A token that is set here lets its source send, and confirm_database() all of them
sql($new, "SELECT tiktok.set_access_token('blog', '$Rehearsal::TOKEN')");
ok($new->poll_query_until('postgres', "SELECT status = 'delivered' FROM tiktok.event_status WHERE event_id = 'in-flight'"), 'a source with a new token sends');
is(states($new), 'app copied, blog sending, crm no_token, shop copied, store paused, web paused', 'and no other');
sql($new, 'SELECT tiktok.confirm_database()');
ok($new->poll_query_until('postgres', "SELECT count(*) = 504 FROM tiktok.event_status WHERE status = 'delivered'"), 'confirmed, the new server sends what the old one had left')
  or diag(Rehearsal::statuses($new));
is(states($new), 'app sending, blog sending, crm no_token, shop sending, store paused, web paused', 'what was paused stays paused');
is(received('on-hold'), 0, 'and is not sent');
sql($new, "SELECT tiktok.resume('store'); SELECT tiktok.resume('web'); SELECT tiktok.set_access_token('crm', '$Rehearsal::TOKEN')");
ok(Rehearsal::drained($new, 30), 'resumed, and with a token, the rest is sent');
is(Rehearsal::statuses($new), 'delivered 506, uncertain 1', 'everything is delivered, but for what may be counted twice');
is(received('recovered'), 0, 'a recovery before the upgrade is not forgotten');
is($tiktok->stats->{counted_events}, 506, 'and counted once');
is($tiktok->stats->{duplicate_copies}, 1, 'only what was on its way is sent again');
is(received('before'), 1, 'what the old one had delivered is not');
is(sql($new, "SELECT string_agg(check_name || ': ' || detail, E'\\n') FROM tiktok.health() WHERE state = 'fail'"), '', 'health has no complaint');
$new->stop;

done_testing();
