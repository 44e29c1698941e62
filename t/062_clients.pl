# What docs/clients.md promises to frameworks: the trigger fires for every shape of statement they write, direct calls fail with the SQLSTATEs
# of the page, and the example with psycopg2 runs as a role that owns nothing.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

plan skip_all => 'no python3-psycopg2' if system('/usr/bin/python3 -c "import psycopg2" 2>/dev/null') != 0;

my $docs = dirname(__FILE__) . '/../docs';
my $page = slurp_file("$docs/clients.md");
my %block = $page =~ /^<!-- not run: ([^;]+); t\/062_clients\.pl runs it -->\n```sql\n(.*?)^```$/msg;
my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('clients');

sub sql { my ($sql, $role) = @_; return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role // 'postgres' ]) }
sub events { my ($like) = @_; return sql("SELECT coalesce(string_agg(event_id, ' ' ORDER BY event_id), '') FROM tiktok.event_status WHERE event_id LIKE '$like'") }

# The SQLSTATE of a statement, as psycopg2 has it, with its class of exceptions
sub refused
{
	my ($sql, $role) = @_;
	my $script = 'import sys, psycopg2
try:
	psycopg2.connect(sys.argv[1]).cursor().execute(sys.argv[2])
except psycopg2.Error as e:
	print(e.pgcode, next(c.__name__ for c in type(e).__mro__ if c.__module__ == "psycopg2" or c.__name__ in ("DataError", "OperationalError", "ProgrammingError", "InternalError")))';
	return (run_command([ '/usr/bin/python3', '-c', $script, $node->connstr('postgres') . ' user=' . ($role // 'app'), $sql ]))[0];
}

$tiktok->sources($node);
sql("CREATE ROLE app LOGIN; CREATE ROLE migrations LOGIN; CREATE ROLE stranger LOGIN; GRANT CREATE ON SCHEMA public TO migrations; CREATE SCHEMA migrated AUTHORIZATION migrations; $block{roles}");
sql(<<SQL, 'migrations');
CREATE SEQUENCE order_numbers;
CREATE TABLE orders (order_no text PRIMARY KEY DEFAULT 'SO-' || nextval('order_numbers'), status text NOT NULL DEFAULT 'new', total numeric DEFAULT 1,
	currency text DEFAULT 'EUR', email text DEFAULT 'ana\@example.com', landing_url text DEFAULT 'https://shop.example.com/', paid_at timestamptz DEFAULT now());
GRANT SELECT, INSERT, UPDATE ON orders TO app;
GRANT USAGE ON order_numbers TO app;
$block{triggers}
SQL

# The example
my ($out, $err) = run_command([ '/usr/bin/python3', "$docs/examples/psycopg2_orders.py", $node->connstr('postgres') . ' user=app' ]);
is($err, '', 'the example runs');
like($out, qr/^placed: None$/m, 'an order that is not paid is no event');
like($out, qr/^ttq\.identify\(\{"email":"[0-9a-f]{64}"\}\);\nttq\.track\("Purchase", .*, \{"event_id":"SO-1"\}\);$/m, 'the page gets the event_id');
like($out, qr/^paid: \('delivered', None\)$/m, 'it reads the status');
like($out, qr/^refused: InvalidParameterValue 22023: event "Search" cannot be sent: value_syntax$/m, 'it sees why a call is refused');
like($out, qr/^recorded: True$/m, 'and goes on');
is(scalar @{ $tiktok->events('?event_id=SO-1&counted=true') }, 1, 'TikTok has the order');
for my $code ($page =~ /^```python\n(with connection.*?)^```$/msg)
{
	my $example = slurp_file("$docs/examples/psycopg2_orders.py");
	like($example, qr/\Q$_\E/, 'the page quotes the example') for $code =~ /cursor\.execute\("([^"]+)"/g;
}

# The migrations of the page
my @migration = $page =~ /(SELECT tiktok\.create_trigger\((?:(?!```).)*?\$\$\))(?=\}|\n *""\")/sg;
is(scalar @migration, 2, 'the page has a migration for Django and one for Rails');
for my $migration (@migration)
{
	my ($table) = $migration =~ /'(\w+)'/;
	sql("CREATE TABLE migrated.$table (LIKE public.orders INCLUDING DEFAULTS); SET search_path = migrated; $migration; INSERT INTO $table (order_no, status) VALUES ('migrated-$table', 'paid')", 'migrations');
	is(events("migrated-$table"), "migrated-$table", "the migration of $table");
}

# Statements as frameworks write them, as the application's role
sql("INSERT INTO orders (order_no, status) VALUES ('many-1', 'paid'), ('many-2', 'new'), ('many-3', 'paid') RETURNING order_no", 'app');
is(events('many-%'), 'many-1 many-3', 'several rows in one INSERT ... RETURNING');
sql("UPDATE orders SET order_no = order_no, status = status, total = total, currency = currency, email = email WHERE order_no LIKE 'many-%'", 'app');
is(events('many-%'), 'many-1 many-3', 'a save of all columns that changes nothing');
sql("UPDATE orders SET order_no = order_no, status = 'paid', total = total, currency = currency, email = email WHERE order_no = 'many-2'", 'app');
is(events('many-%'), 'many-1 many-2 many-3', 'a save of all columns that changes the status');
sql("INSERT INTO orders (order_no, status) VALUES ('upsert-1', 'new'), ('upsert-2', 'new')", 'app');
sql("INSERT INTO orders (order_no, status) VALUES ('upsert-1', 'paid'), ('upsert-2', 'new'), ('upsert-3', 'paid') ON CONFLICT (order_no) DO UPDATE SET status = excluded.status", 'app');
is(events('upsert-%'), 'upsert-1 upsert-3', 'ON CONFLICT DO UPDATE');
sql("INSERT INTO orders (order_no, status) VALUES ('upsert-2', 'paid') ON CONFLICT DO NOTHING", 'app');
is(events('upsert-%'), 'upsert-1 upsert-3', 'ON CONFLICT DO NOTHING');
sql("COPY orders (order_no, status) FROM STDIN;\ncopy-1\tpaid\n\\.\n", 'app');
is(events('copy-%'), 'copy-1', 'COPY');
sql("PREPARE buy (text) AS INSERT INTO orders (order_no, status) VALUES (\$1, 'paid'); EXECUTE buy('prepared-1'); EXECUTE buy('prepared-2')", 'app');
is(events('prepared-%'), 'prepared-1 prepared-2', 'prepared statements');
sql("BEGIN; INSERT INTO orders (order_no, status) VALUES ('undone-1', 'paid'); SAVEPOINT s; INSERT INTO orders (order_no, status) VALUES ('undone-2', 'paid'); ROLLBACK TO s; COMMIT", 'app');
sql("BEGIN; INSERT INTO orders (order_no, status) VALUES ('undone-3', 'paid'); ROLLBACK", 'app');
is(events('undone-%'), 'undone-1', 'savepoints and rollbacks');
sql("INSERT INTO orders (order_no, status, email, landing_url) VALUES ('bad-1', 'paid', 'none', NULL)", 'app');
like(sql("SELECT status FROM tiktok.event_status WHERE event_id = 'bad-1'", 'app'), qr/^invalid$/, 'data fails no statement');
sql(<<'SQL');
CREATE TABLE "Order" ("orderNo" text PRIMARY KEY, email text);
CREATE TRIGGER tiktok AFTER INSERT ON "Order" FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'event_id=orderNo', 'email=email', 'url=''https://shop.example.com/''');
INSERT INTO "Order" VALUES ('Capital-1', 'ana@example.com');
SQL
is(events('Capital-%'), 'Capital-1', 'names in capitals');
ok(Rehearsal::drained($node, 30), 'all is delivered');
is($tiktok->stats->{counted_events}, 1 + 1 + 2 + 3 + 2 + 1 + 2 + 1 + 1, 'each once');

# Errors of direct calls, as the page lists them
my %class = $page =~ /^\| ((?:\d\w{4} `\w+`(?:, )?)+) \|.*\| `(\w+)` \|$/mg;
my %expected = map { my $codes = $_; map { $_ => $class{$codes} } $codes =~ /(\d\w{4}) /g } keys %class;
my $rest = 'user_data => \'{"external_id": 1}\', page => \'{"url": "https://shop.example.com/"}\'';
my %call = (
	22023 => "SELECT tiktok.track('shop', 'Purchase', 'e', properties => '{\"value\": 1, \"currency\": \"XYZ\"}', $rest)",
	22004 => "SELECT tiktok.track('shop', NULL, 'e', $rest)",
	22003 => "SELECT tiktok.track('shop', 'Purchase', 'e', properties => '{\"value\": -1, \"currency\": \"EUR\"}', $rest)",
	22008 => "SELECT tiktok.track('shop', 'Contact', 'e', now() + interval '1 year', $rest)",
	22001 => "SELECT tiktok.track('shop', 'Contact', repeat('e', 1000), $rest)",
	54000 => "SELECT tiktok.track('shop', 'Contact', 'e', properties => jsonb_build_object('contents', (SELECT jsonb_agg(jsonb_build_object('content_id', repeat(n::text, 100))) FROM generate_series(1, 20000) n)), $rest)",
	42704 => "SELECT tiktok.track('shopp', 'Contact', 'e', $rest)",
	25006 => "SET TRANSACTION READ ONLY; SELECT tiktok.track('shop', 'Contact', 'e', $rest)",
	55000 => "SET tiktok_events.test_event = on; SELECT tiktok.track('shop', 'Contact', 'e', $rest)",
	42501 => "SELECT tiktok.track('shop', 'Contact', 'e', $rest)");
is_deeply([ sort keys %expected ], [ sort keys %call ], 'the page lists ten SQLSTATEs');
is(refused($call{$_}, $_ eq '42501' ? 'stranger' : 'app'), "$_ $expected{$_}", "an error with SQLSTATE $_") for sort keys %call;

done_testing();
