# Orders in a table that Citus distributes over two servers; a third one, the coordinator, is the hub of docs/scale-out.md.  Event ids have the table's
# name and not that of a shard, orders are compared on the hub only, and moving shards sends nothing again.  Runs where Citus is installed.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use ScaleOut;
use Test::More;

plan skip_all => 'no citus' unless -e `pg_config --sharedir` =~ s/\s+$//r . '/extension/citus.control';

my %recipe = ScaleOut::blocks('04[39]_\w+');
my $tiktok = Rehearsal->start;
my $elsewhere = Rehearsal->start;    # hears of every server that should be silent
my %settings = (shared_preload_libraries => 'citus, tiktok_events', wal_level => 'logical', max_wal_senders => 20, max_replication_slots => 20,
	max_logical_replication_workers => 8, max_worker_processes => 40, wal_retrieve_retry_interval => '100ms', 'citus.node_conninfo' => 'sslmode=prefer',
	'citus.enable_statistics_collection' => 'off', max_prepared_transactions => 200);
my $hub = node($tiktok, 'hub');
my @worker = map { node($elsewhere, "worker$_", 'tiktok_events.enabled' => 'off') } 1, 2;

sub sql { my ($node, $sql) = @_; return $node->safe_psql('postgres', $sql) }
sub statuses { my ($node) = @_; return Rehearsal::statuses($node) }

sub node
{
	my ($receiver, $name, %more) = @_;
	my $node = $receiver->cluster($name, %settings, %more);

	$node->append_conf('postgresql.conf', "citus.local_hostname = '" . $node->host . "'");
	$node->reload;
	$node->safe_psql('postgres', 'DROP EXTENSION tiktok_events; CREATE EXTENSION citus');
	return $node;
}

# Runs a block of the page, for worker $n
sub recipe
{
	my ($what, $node, $n) = @_;
	my $sql = $recipe{$what} // die "docs/scale-out.md has no block: $what";
	my $first = $what =~ /trigger/ ? '' : $recipe{'with Citus'};

	$n //= 1;
	return sql($node, $first . ScaleOut::adapted($sql, $n, $hub, $worker[ $n - 1 ]));
}

# The cluster, then the hub
sql($hub, sprintf q{SELECT citus_set_coordinator_host('%s', %d)}, $hub->host, $hub->port);
sql($hub, sprintf q{SELECT citus_add_node('%s', %d)}, $_->host, $_->port) for @worker;
recipe('on every server', $_) for $hub, @worker;
recipe('on the hub', $hub);
for my $n (1, 2)
{
	recipe('on the hub for a shard', $hub, $n);
	recipe('on the shard', $worker[ $n - 1 ], $n);
	recipe('on the hub at last', $hub, $n);
}
$hub->wait_for_subscription_sync;
$_->wait_for_subscription_sync for @worker;

# A function of using may read tables that are distributed alike
sql($hub, <<'SQL');
CREATE TABLE customers (id bigint PRIMARY KEY, email text);
CREATE TABLE orders (customer_id bigint REFERENCES customers, id bigint, email text, total numeric, at timestamptz DEFAULT now(), PRIMARY KEY (customer_id, id));
SELECT create_distributed_table('customers', 'id');
SELECT create_distributed_table('orders', 'customer_id');
CREATE FUNCTION customer_of(o orders) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT jsonb_build_object('email', c.email) FROM customers c WHERE c.id = (o).customer_id);
END $$;
SQL
like(recipe('trigger with Citus', $hub), qr/^-- Table "orders" is distributed by Citus: each server records the events of the rows that it has\./m, 'create_trigger says so');
sql($hub, q{SET citus.enable_unsafe_triggers = on; SELECT tiktok.create_trigger('orders', 'shop', 'Contact', '{"event_time": "at", "using": "customer_of", "url": "''https://shop.example.com/''"}')});
my ($rc, undef, $err) = $hub->psql('postgres', q{SET citus.enable_unsafe_triggers = on; SELECT tiktok.create_trigger('orders', 'shop', 'Lead', '{"event_time": "at", "email": "customer_id->email"}')});
isnt($rc, 0, 'a path along a foreign key is refused');
like($err, qr/SQL functions referencing distributed tables are not supported/, 'by Citus');

# One row each, and many in a prepared transaction, by the coordinator and by a worker
sql($hub, q{INSERT INTO customers SELECT n, 'c' || n || '@example.com' FROM generate_series(1, 20) n});
sql($hub, qq{INSERT INTO orders VALUES ($_, 1, 'a\@example.com', 10)}) for 1 .. 4;
sql($hub, q{INSERT INTO orders SELECT n, 1, 'a@example.com', 10 FROM generate_series(5, 19) n});
sql($hub, q{BEGIN; INSERT INTO orders SELECT n, 2, 'a@example.com', 10 FROM generate_series(1, 20) n; ROLLBACK});
sql($worker[1], q{INSERT INTO orders VALUES (20, 1, 'a@example.com', 10)});
Rehearsal::await('deliveries', sub { (statuses($hub) // '') eq 'delivered 40' });
is(sql($hub, q{SELECT count(*) FILTER (WHERE event_id ~ '^orders-[12]:\d+-1:1$') FROM tiktok.event_status}), 40, 'event ids have the name of the table');
cmp_ok(sql($_, 'SELECT count(*) FROM tiktok.event'), '>', 0, $_->name . ' has recorded some') for @worker;
Rehearsal::await('statuses on ' . $_->name, sub { statuses($_) =~ /^delivered \d+$/ }) for @worker;

# Orders are compared on the hub
sql($hub, q{CREATE VIEW paid AS SELECT format('orders-%s:%s-%s:%s', length(customer_id::text), customer_id, length(id::text), id) AS event_id, total AS value, 'EUR' AS currency, at FROM orders});
sql($_, q{INSERT INTO tiktok.source_of_truth VALUES ('shop', 'Purchase', 'public.paid')}) for $hub, @worker;
is(sql($hub, q{SELECT count(*) FROM tiktok.differences('shop')}), 0, 'nothing differs on the hub');
is(sql($hub, q{SELECT string_agg(concat_ws(' ', step, orders), ', ' ORDER BY position) FROM tiktok.bridge('shop')}), 'your_orders 20, explained 20', 'and all orders are explained');
for my $call (qw(differences bridge reconcile))
{
	(undef, undef, $err) = $worker[0]->psql('postgres', "SELECT * FROM tiktok.$call('shop')");
	like($err, qr/ERROR:  relation "public.paid" is distributed by Citus, and the events of its other servers do not come here\nHINT:  Ask the server to which/, "another server refuses $call");
}
like(sql($worker[0], q{SELECT state, detail FROM tiktok.health() WHERE check_name = 'source_of_truth'}), qr/^warn\|relation "public.paid" of "shop" is distributed/, 'and health says why');

# Shards move, and old rows are read again
sql($hub, sprintf q{SELECT citus_move_shard_placement(shardid, '%s', %d, '%1$s', %d, 'force_logical') FROM pg_dist_shard JOIN pg_dist_placement USING (shardid) JOIN pg_dist_node USING (groupid)
	WHERE logicalrelid = 'orders'::regclass AND nodeport = %2$d ORDER BY shardid LIMIT 1}, $worker[0]->host, $worker[0]->port, $worker[1]->port);
sql($hub, q{CALL tiktok.backfill('orders', 'tiktok_shop_contact')});
sql($hub, q{INSERT INTO orders SELECT n, 3, 'a@example.com', 10 FROM generate_series(1, 20) n});
Rehearsal::await('more deliveries', sub { statuses($hub) eq 'delivered 80' });
is($tiktok->stats->{counted_events}, 80, 'each event is counted once, and nothing that was moved or read again is sent again');

# A table of the coordinator that Citus turns into a shard keeps its ids
is(sql($hub, <<'SQL'), "leads-1\nleads-2", 'ids stay when Citus takes over a local table');
SET client_min_messages = error;
CREATE TABLE leads (id int PRIMARY KEY, email text);
DO $$ BEGIN PERFORM tiktok.create_trigger('leads', 'shop', 'Lead', '{"event_time": "now", "email": "email", "url": "''https://shop.example.com/''"}'); END $$;
INSERT INTO leads VALUES (1, 'a@example.com');
DO $$ BEGIN PERFORM citus_add_local_table_to_metadata('leads'); END $$;
INSERT INTO leads VALUES (2, 'a@example.com');
SELECT event_id FROM tiktok.event WHERE event = 'Lead' ORDER BY id;
SQL
is($elsewhere->stats->{connections}{https}, 0, 'the other servers have connected to nothing');
done_testing();
