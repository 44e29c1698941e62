# An operator discards an event just when the worker reads it: it has looked at its flags before, and reads the event after.
# Without its identifiers, which are gone with the decision, the event must not be sent.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('decision');
my $fault = $node->data_dir . '/tiktok_events.fault';

sub sql { return $node->safe_psql('postgres', $_[0]) }

$tiktok->sources($node);
ok(Rehearsal::drained($node, 30), 'the worker is there');
append_to_file($fault, "snapshot-taken * wait\n");
sql("SELECT tiktok.track('shop', 'ViewContent', 'late', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE state = 'active' AND query = 'tiktok_events: reading events'"),
	'it begins to read');
sql("SELECT tiktok.discard(id) FROM tiktok.event_status WHERE event_id = 'late'");
unlink $fault;
sql("SELECT tiktok.track('shop', 'ViewContent', 'next', user_data => '{\"external_id\": 1}', page => '{\"url\": \"https://shop.example.com/\"}')");
ok($node->poll_query_until('postgres', "SELECT status = 'delivered' FROM tiktok.event_status WHERE event_id = 'next'"), 'the next event is delivered');
is(sql("SELECT status FROM tiktok.event_status WHERE event_id = 'late'"), 'discarded', 'the discarded one stays so');
is(scalar @{ $tiktok->events('?event_id=late') }, 0, 'and was not sent');
is(sql('SELECT count(*) FROM tiktok.request'), 1, 'in no request');

$node->stop;
done_testing();
