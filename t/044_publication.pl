# CDC connectors make a publication FOR ALL TABLES when they start: it stops nothing, whatever it is for, and health says what it gives away.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('publication', wal_level => 'logical');
my $n = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub health { return sql("SELECT state, detail FROM tiktok.health() WHERE check_name = 'publication' ORDER BY detail") }

sub track
{
	my ($id, $source) = @_;
	sql(sprintf q{SELECT tiktok.track('%s', 'ViewContent', '%s', user_data => '{"external_id": "person-%s"}', page => '{"url": "https://shop.example.com/"}')},
		$source // 'shop', $id, $id);
}

# Everything that writes one of our tables
sub work
{
	my ($name) = @_;
	my $before = $tiktok->stats->{counted_events};

	$n++;
	sql('UPDATE tiktok.source SET batch_size = batch_size - 1');
	track("first-$n");
	ok(Rehearsal::drained($node, 20), "$name: delivered");
	is($tiktok->stats->{counted_events}, $before + 1, 'once');
	$tiktok->script({ action => 'code', code => 40002, message => 'no' });
	track("refused-$n");
	ok(Rehearsal::drained($node, 20), 'refused');
	$tiktok->script({ action => 'status', status => 500 });
	sql("SELECT tiktok.retry('shop')");
	Rehearsal::await('retry', sub { sql("SELECT count(*) FROM tiktok.retry WHERE next_attempt_at > now()") == 1 });
	$tiktok->script;
	sql("SELECT tiktok.discard('shop', 'retrying')");
	sql("SELECT tiktok.pause('shop')");
	track($_) for "waits-$n", "withdrawn-$n", "forgotten-$n";
	sql("SELECT tiktok.withdraw_consent('shop', 'withdrawn-$n'), tiktok.forget(external_id => 'person-forgotten-$n')");
	sql("SELECT tiktok.resume('shop'), tiktok.set_test_code('shop', 'TEST$n'), tiktok.set_test_code('shop', NULL)");
	ok(Rehearsal::drained($node, 20), 'after a pause');
	sql("SELECT tiktok.set_access_token('app', NULL); SELECT tiktok.set_access_token('app', '$Rehearsal::TOKEN'); SELECT tiktok.confirm_database()");
	sql("INSERT INTO orders VALUES ('backfill-$n'); CALL tiktok.backfill('orders', 'tiktok', 'true')");
	ok(Rehearsal::drained($node, 20), 'after a backfill');
	sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('brief', 'web', 'C1'); INSERT INTO tiktok.lead_stage VALUES ('crm', 's', 'Lead'); "
		  . "UPDATE tiktok.lead_stage SET position = 1; DELETE FROM tiktok.lead_stage; DELETE FROM tiktok.source WHERE name = 'brief'");
	sql("UPDATE tiktok.event SET enqueued_at = enqueued_at - interval '100 days'; UPDATE tiktok.delivery SET at = at - interval '100 days'; SELECT tiktok.purge('50 days')");
	is(sql("SELECT count(*) FROM tiktok.event"), 0, 'and purged');
	is(sql("SELECT state IN ('idle', 'sending'), last_error FROM tiktok.worker_status"), 't|', 'without an error of the worker');
}

# What a reader of this publication gets of the token: so many messages
sub leaks
{
	my ($publication) = @_;
	sql("SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')");
	sql("SELECT tiktok.set_access_token('app', 'the-token-that-leaks'); SELECT tiktok.pause('shop')");
	track('leaks');
	my $seen = sql("SELECT count(*) FILTER (WHERE position('the-token-that-leaks'::bytea IN data) > 0), count(*) FILTER (WHERE position('person-leaks'::bytea IN data) > 0) "
		. "FROM pg_logical_slot_peek_binary_changes('cdc', NULL, NULL, 'proto_version', '1', 'publication_names', '$publication')");
	sql("SELECT pg_drop_replication_slot('cdc'); SELECT tiktok.discard('shop', 'pending'), tiktok.resume('shop'); SELECT tiktok.set_access_token('app', '$Rehearsal::TOKEN')");
	return $seen;
}

# Does what the hint says, the last thing in it
sub obey
{
	my ($hint) = sql("SELECT hint FROM tiktok.health() WHERE check_name = 'publication' AND state <> 'ok'") =~ /meant: (.*;)$/;
	note($hint);
	return sql($hint);
}

$tiktok->sources($node);
sql("CREATE TABLE orders (id text PRIMARY KEY, at timestamptz DEFAULT now()); CREATE TRIGGER tiktok AFTER INSERT ON orders FOR EACH ROW "
	  . "EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'event_id=id', 'external_id=id', 'event_time=at', 'url=''https://shop.example.com/''')");
is(sql(q{SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'tiktok'::regnamespace AND c.relkind IN ('r', 'p')
	AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)}), '', 'every table has a primary key');
is(health(), '', 'nothing is published');

# Publications of everything
sql('CREATE SCHEMA "My Shop"; CREATE TABLE "My Shop".t (id int PRIMARY KEY)');
sql('CREATE PUBLICATION cdc FOR ALL TABLES');
work('FOR ALL TABLES');
is(health(), 'fail|publication "cdc" publishes identifiers and access tokens', 'health knows');
is(leaks('cdc'), '1|1', 'which is so');
sql("ALTER PUBLICATION cdc SET (publish = 'insert, update', publish_via_partition_root)");
obey();
is(health(), '', 'its hint helps');
is(leaks('cdc'), '0|0', 'for good');
is(sql(q{SELECT string_agg(n.nspname, ',' ORDER BY 1), pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot FROM pg_publication p JOIN pg_publication_namespace x ON pnpubid = p.oid
	JOIN pg_namespace n ON n.oid = pnnspid GROUP BY p.oid, 2, 3, 4, 5, 6}), 'My Shop,public|t|t|f|f|t', 'and publishes the rest as before');
sql('DROP PUBLICATION cdc; CREATE PUBLICATION root FOR ALL TABLES WITH (publish_via_partition_root)');
work('publish_via_partition_root');
sql('DROP PUBLICATION root; CREATE PUBLICATION "One Schema" FOR TABLES IN SCHEMA tiktok, public');
work('FOR TABLES IN SCHEMA');
is(health(), 'fail|publication "One Schema" publishes identifiers and access tokens', 'by schema');
obey();
is(health(), '', 'its hint helps');
is(leaks(q("One Schema")), '0|0', 'for good');
sql('DROP PUBLICATION "One Schema"');

# Publications of tables
sql('CREATE PUBLICATION named FOR TABLE tiktok.access_token, tiktok.source');
is(health(), 'fail|publication "named" publishes access tokens', 'by name');
obey();
is(health(), '', 'its hint helps');
sql('ALTER PUBLICATION named ADD TABLE tiktok.access_token (source_id)');
is(health(), '', 'a column that is no secret');
sql("ALTER PUBLICATION named SET TABLE tiktok.identity, tiktok.event");
is(health(), 'warn|publication "named" publishes identifiers', 'identifiers');
sql('SELECT tiktok.set_access_token(name, NULL) FROM tiktok.source; ALTER PUBLICATION named SET TABLE tiktok.access_token');
is(health(), 'warn|publication "named" publishes access tokens, of which none is stored', 'no token yet');
obey();
is(health(), '', 'its hint helps');
sql('DROP PUBLICATION named');

# What docs/scale-out.md does
my $page = slurp_file(dirname(__FILE__) . '/../docs/scale-out.md');
sql($_) for $page =~ /^(CREATE PUBLICATION .*;)$/mg;
is(health(), 'ok|publication "tiktok_events" publishes identifiers as to a hub: by name, with events alone, and as they are recorded', 'a shard');
sql("ALTER PUBLICATION tiktok_events SET (publish = 'insert, delete')");
is(health(), 'warn|publication "tiktok_events" publishes identifiers', 'which is another thing with changes');

$node->stop;
unlike(slurp_file($node->logfile), qr/ERROR|PANIC|FATAL:(?!  terminating)/, 'nothing untoward in the log');

done_testing();
