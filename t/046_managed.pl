# Orders of a database that cannot have the extension, by the statements of docs/managed.md: a stock server publishes, a hub subscribes, records
# and sends.  Nothing is lost or counted twice by old rows, a crash of the hub, or a slot that is lost, and health says what stands still.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $page = slurp_file(dirname(__FILE__) . '/../docs/managed.md');
my %recipe = $page =~ /^<!-- not run: ([^;]+); t\/046_managed\.pl runs it -->\n```sql\n(.*?)^```$/msg;
my %used;
my $tiktok = Rehearsal->start;

# The application's own server: no library, no extension
my $app = PostgreSQL::Test::Cluster->new('app');
$app->init(allows_streaming => 'logical', extra => [ '--encoding=UTF8', '--locale=C.UTF-8', '--wal-segsize=1' ]);
$app->append_conf('postgresql.conf', "wal_level = 'logical'\nmin_wal_size = '2MB'\nmax_wal_size = '2MB'\n");
$app->start;
my $hub = $tiktok->cluster('hub', wal_retrieve_retry_interval => '100ms');

sub sql { my ($node, $sql) = @_; return $node->safe_psql('postgres', $sql) }
sub status { return sql($hub, "SELECT string_agg(concat_ws(' ', status, reason), ', ') FROM tiktok.event_status WHERE event_id = '$_[0]'") }
sub delivered { my ($id) = @_; return Rehearsal::await("delivery of $id", sub { status($id) eq 'delivered' }) }
sub counted { return scalar @{ $tiktok->events("?event_id=$_[0]&counted=true") } }
sub health { return sql($hub, "SELECT concat_ws(' | ', check_name, state, detail, hint) FROM tiktok.health() WHERE check_name IN ('subscription', 'replica_trigger') ORDER BY 1") }
sub healthy { my ($like, $what) = @_; my $health; return ok(Rehearsal::await("health says $like", sub { $health = health(); $health =~ $like }), $what) }

# Runs a block of the page, with the real addresses
sub recipe
{
	my ($what, $node) = @_;
	my $sql = $recipe{$what} // die "docs/managed.md has no block: $what";

	$used{$what} = 1;
	$sql =~ s/'TOKEN'/'$Rehearsal::TOKEN'/g;
	$sql =~ s/host=db\.example\.com dbname=shop user=tiktok_hub password=PASSWORD sslmode=verify-full/$app->connstr . ' dbname=postgres user=tiktok_hub'/ge;
	return sql($node, $sql);
}

sub copy_again
{
	recipe('copy', $hub);
	$hub->wait_for_subscription_sync;
	is(recipe('progress', $hub), "customers|r\norders|r\norder_lines|r", 'every table is copied');
}

# An order in one transaction: its customer first, its lines last
sub order
{
	my ($n, $more) = @_;
	return sql($app, "BEGIN; INSERT INTO customers VALUES ($n, 'c$n\@example.com', NULL);
		INSERT INTO orders VALUES ('N-$n', $n, 'paid', 30, 'EUR', now(), 'https://shop.example.com/', NULL);
		INSERT INTO order_lines VALUES ('N-$n', 'A-1', 2, 10), ('N-$n', 'B-7', 1, 10); " . ($more // 'COMMIT'));
}

# What there is before the hub: an order of 60 days ago, one of three days ago, and one that is not paid yet, with a text that is stored apart
sql($app, <<'SQL');
CREATE TABLE customers (id bigint PRIMARY KEY, email text, phone text, birthday date);
CREATE TABLE orders (number text PRIMARY KEY, customer_id bigint REFERENCES customers, status text, total numeric, currency text, paid_at timestamptz, url text, note text);
CREATE TABLE order_lines (number text, sku text, quantity int, price numeric);
INSERT INTO customers SELECT n, 'old' || n || '@example.com', NULL, '1990-01-01' FROM generate_series(1, 2000) n;
ALTER TABLE orders ALTER note SET STORAGE EXTERNAL;
INSERT INTO orders VALUES
	('OLD-1', 1, 'paid', 10, 'EUR', now() - interval '60 days', 'https://shop.example.com/', NULL),
	('OLD-2', 2000, 'paid', 20, 'EUR', now() - interval '3 days', 'https://shop.example.com/', NULL),
	('OLD-3', 3, 'new', 40, 'EUR', NULL, 'https://shop.example.com/', repeat('long', 5000));
SQL
recipe('your database', $app);
sql($hub, 'DROP EXTENSION tiktok_events');    # the page makes it
recipe('tables', $hub);
copy_again();
is(sql($hub, 'SELECT count(*) FROM tiktok.event'), 0, 'the copy makes no event');
like(recipe('triggers', $hub), qr/ENABLE REPLICA TRIGGER tiktok_purchase;.*ENABLE REPLICA TRIGGER tiktok_purchase_update;/s, 'both triggers are for replication');
recipe('backfill', $hub);
delivered('OLD-2');
is(sql($hub, "SELECT string_agg(event_id, ' ') FROM tiktok.event_status"), 'OLD-2', 'backfill records what TikTok takes, and nothing of 60 days ago');
is(sql($hub, 'SELECT rows_read, recorded, too_old FROM tiktok.backfill_progress'), '3|1|1', 'and says so');

# New orders
order(5001);
delivered('N-5001');
my ($data) = grep { $_->{event_id} eq 'N-5001' } map { @{ decode_json($_->{body})->{data} } } @{ $tiktok->bodies(10) };
is($data->{user}{email}, sha256_hex('c5001@example.com'), 'the person of an order whose customer is new');
is_deeply([ map { "$_->{quantity} $_->{content_id}" } @{ $data->{properties}{contents} } ], [ '2 A-1', '1 B-7' ], 'and the lines that were written after it');
order(5002, 'ROLLBACK');
sql($app, "UPDATE orders SET status = 'paid', paid_at = now() WHERE number = 'OLD-3'");
delivered('OLD-3');
is(sql($hub, "SELECT length(note) FROM orders WHERE number = 'OLD-3'"), 20000, 'a long value that was not changed is there');
sql($app, "UPDATE orders SET total = 31 WHERE number = 'N-5001'; DELETE FROM orders WHERE number = 'OLD-1'");
order(5003);
delivered('N-5003');
is(sql($hub, "SELECT count(*), min(value) FILTER (WHERE event_id = 'N-5001'), count(*) FILTER (WHERE event_id = 'N-5002') FROM tiktok.event_status"), '4|30|0',
	'an order that was paid before makes no other event when it changes, one that is rolled back none');
is(sql($hub, "SELECT total FROM orders WHERE number = 'N-5001'"), 31, 'though the change has come');
diag('from the commit of an order to the reply, ms: ' . sql($hub, "SELECT string_agg(round(1000 * extract(epoch FROM delivered_at - event_time))::text, ' ') FROM tiktok.event_status WHERE event_id LIKE 'N-%'"));

# Health
like(health(), qr/\Asubscription \| ok \| subscription "tiktok" has heard of the other server [0-9:]+ ago\z/, 'health says that all is well');
sql($hub, 'ALTER TABLE orders ENABLE TRIGGER tiktok_purchase, ENABLE TRIGGER tiktok_purchase_update');
healthy(qr/^replica_trigger \| fail \| trigger "tiktok_purchase" of public.orders does not fire for what subscription "tiktok" writes \| ALTER TABLE public.orders ENABLE REPLICA TRIGGER tiktok_purchase;$/m,
	'a trigger that does not fire for replication, with what to do');
sql($hub, sql($hub, "SELECT string_agg(hint, ' ') FROM tiktok.health() WHERE check_name = 'replica_trigger'"));
unlike(health(), qr/replica_trigger/, 'which helps');
sql($hub, 'ALTER SUBSCRIPTION tiktok DISABLE');
healthy(qr/^subscription \| fail \| .* is disabled.* \| ALTER SUBSCRIPTION tiktok ENABLE;$/m, 'a subscription that is disabled');
sql($hub, 'ALTER SUBSCRIPTION tiktok ENABLE');
healthy(qr/^subscription \| ok/m, 'enabled again');
sql($app, 'ALTER TABLE orders ADD coupon text');
order(5004);
healthy(qr/^subscription \| (fail|warn) \| .* [1-9]\d* errors while applying/m, 'one that fails, as the hub lacks a column');
sql($hub, 'ALTER TABLE orders ADD coupon text');
delivered('N-5004');
healthy(qr/^subscription \| (ok|warn \| .* has begun anew)/m, 'and goes on when it is there');
$app->stop;
healthy(qr/^subscription \| fail \| subscription "tiktok" has no connection/m, 'the other server is away');
$app->start;
healthy(qr/^subscription \| (ok|warn \| .* has begun anew)/m, 'and back');
sql($hub, 'CREATE TABLE inbox (number text PRIMARY KEY, email text, at timestamptz)');
sql($hub, q{SELECT tiktok.create_trigger('inbox', 'shop', 'Subscribe', '{"event_id": "number", "event_time": "at", "email": "email", "url": "''https://shop.example.com/''"}', replica => true)});
healthy(qr/^replica_trigger \| fail \| trigger "tiktok_shop_subscribe" of public.inbox fires only for what a subscription writes, and none writes that table \| ALTER TABLE public.inbox ENABLE TRIGGER tiktok_shop_subscribe;$/m,
	'a trigger for replication where there is none');
sql($hub, 'DROP TABLE inbox');

# The apply worker is killed, and the hub with it, while orders come; then it is away
my $writer = Rehearsal::writer($app, join "\n", map { "BEGIN; INSERT INTO customers VALUES ($_, 'c$_\@example.com', NULL); INSERT INTO orders VALUES ('N-$_', $_, 'paid', 30, 'EUR', now(), 'https://shop.example.com/', NULL);"
	  . "INSERT INTO order_lines VALUES ('N-$_', 'A-1', 3, 10); COMMIT; SELECT pg_sleep(0.02);" } 6001 .. 6150);
delivered('N-6010');
kill 'KILL', sql($hub, "SELECT pid FROM pg_stat_subscription WHERE relid IS NULL AND pid IS NOT NULL LIMIT 1");
$hub->poll_query_until('postgres', 'SELECT true');
Rehearsal::await('orders after the crash', sub { eval { sql($hub, "SELECT count(*) > 40 FROM tiktok.event WHERE event_id LIKE 'N-6%'") eq 't' } });
$hub->stop('immediate');
waitpid $writer, 0;
is($?, 0, 'orders are written although the hub is away');
like(recipe('lag', $app), qr/^tiktok\|f\|reserved\|\d+ (bytes|kB)$/, 'what the slot keeps');
$hub->start;
delivered('N-6150');
ok(Rehearsal::drained($hub, 60), 'the hub catches up');
is(join(' ', grep { counted("N-$_") != 1 } 6001 .. 6150), '', '150 orders are counted once each');
is(sql($hub, "SELECT count(*) FROM tiktok.event WHERE event_id LIKE 'N-6%' AND payload #>> '{properties,contents,0,content_id}' = 'A-1'"), 150, 'all with their lines');

# The slot is lost: begin again
$hub->stop;
$app->append_conf('postgresql.conf', "max_slot_wal_keep_size = '1MB'\n");
$app->reload;
order(7001);
sql($app, "SELECT pg_switch_wal() FROM generate_series(1, 1); INSERT INTO orders VALUES ('W-$_', NULL, 'new', 1, 'EUR', NULL, NULL, repeat('w', 100000))") for 1 .. 30;
sql($app, 'CHECKPOINT');
$app->poll_query_until('postgres', "SELECT wal_status = 'lost' FROM pg_replication_slots") or die 'the slot is not lost';
like(recipe('lag', $app), qr/^tiktok\|f\|lost\|/, 'the slot is lost');
$app->append_conf('postgresql.conf', "max_slot_wal_keep_size = '-1'\n");
$app->reload;
$hub->start;
healthy(qr/^subscription \| fail/m, 'health says that nothing comes');
recipe('again', $hub);
recipe('lost slot', $app);
copy_again();
recipe('triggers', $hub);
recipe('backfill', $hub);
delivered('N-7001');
order(7002);
delivered('N-7002');
is(join(' ', grep { counted($_) != 1 } 'OLD-2', 'OLD-3', map { "N-$_" } 5001, 5003, 5004, 6001 .. 6150, 7001, 7002), '', 'begun again, every order is counted once');
is(counted('OLD-1') + counted('N-5002'), 0, 'and none besides');
is(join(', ', grep { !$used{$_} } sort keys %recipe), '', 'every block of the page was run');
done_testing();
