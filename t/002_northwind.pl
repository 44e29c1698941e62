# A stranger's schema: the 830 orders of the Northwind sample database, inserted by four clients at once.
use strict;
use warnings;

use File::Basename qw(dirname);
use IPC::Run;
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

plan skip_all => 'NORTHWIND_SQL does not name the Northwind sample database' unless $ENV{NORTHWIND_SQL};

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('northwind');

sub sql { return $node->safe_psql('postgres', $_[0]) }

$node->command_ok([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-v', 'ON_ERROR_STOP=1', '-f', $ENV{NORTHWIND_SQL} ],
	'the sample database is loaded');
$tiktok->sources($node);
sql(<<'SQL');
UPDATE tiktok.source SET default_calling_code = '49' WHERE name = 'shop';
CREATE TABLE public.shop_orders (LIKE public.orders INCLUDING ALL);

CREATE FUNCTION public.order_event(o public.shop_orders) RETURNS jsonb LANGUAGE sql STABLE AS $$
SELECT jsonb_build_object(
	'external_id', c.customer_id, 'phone', c.phone, 'first_name', split_part(c.contact_name, ' ', 1),
	'city', c.city, 'zip_code', c.postal_code,
	'currency', 'USD', 'value', sum(round((d.unit_price * d.quantity * (1 - d.discount))::numeric, 2)),
	'contents', jsonb_agg(jsonb_build_object('content_id', p.product_id, 'content_name', p.product_name,
		'price', d.unit_price, 'quantity', d.quantity) ORDER BY p.product_id))
FROM public.customers c, public.order_details d JOIN public.products p USING (product_id)
WHERE c.customer_id = o.customer_id AND d.order_id = o.order_id
GROUP BY c.customer_id
$$;

CREATE TRIGGER tiktok AFTER INSERT ON public.shop_orders FOR EACH ROW EXECUTE FUNCTION
	tiktok.track_row('shop', 'Purchase', 'url=''https://shop.example.com/thanks''', 'using=public.order_event');
SQL

my @clients;
for my $k (0 .. 3)
{
	my $script = PostgreSQL::Test::Utils::tempdir() . "/client$k.sql";
	append_to_file($script, "SELECT format('INSERT INTO public.shop_orders SELECT * FROM public.orders WHERE order_id = %s', order_id) "
		  . "FROM public.orders WHERE order_id % 4 = $k \\gexec\n");
	my ($out, $err) = ('', '');
	push @clients, IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-v', 'ON_ERROR_STOP=1', '-f', $script ],
		'>', \$out, '2>', \$err);
}
ok($_->finish, 'a client has inserted its orders') for @clients;
ok(Rehearsal::drained($node, 60), 'nothing is pending');

is(sql('SELECT count(*) FROM public.shop_orders'), 830, '830 orders are stored');
is(Rehearsal::statuses($node), 'delivered 830', 'and 830 events delivered');
my $stats = $tiktok->stats;
is($stats->{counted_events}, 830, 'TikTok counts 830');
is($stats->{sources}{CPIXEL0000000001}{events}{Purchase}{counted_events}, 830, 'all of them purchases');
is(sql(<<'SQL'), 0, 'each value is the total of the order\'s lines');
SELECT count(*) FROM tiktok.event_status e
FULL JOIN (SELECT 'shop_orders-' || order_id AS event_id,
		sum(round((unit_price * quantity * (1 - discount))::numeric, 2)) AS total
	FROM public.order_details GROUP BY 1) t USING (event_id)
WHERE e.value IS DISTINCT FROM t.total
SQL
my %posted = map { $_->{event_id} => $_->{value} } @{ $tiktok->events('?limit=1000') };
my %stored = map { split /\|/ } split /\n/, sql('SELECT event_id, value FROM tiktok.event_status');
is(scalar(grep { $posted{$_} != $stored{$_} } keys %stored), 0, 'each value posted is the one recorded');
is(sql('SELECT count(*) FROM tiktok.identity'), 0, 'no personal datum is left');
is(sql('SELECT count(*) FROM tiktok.event WHERE match_keys & 2 = 0 AND notes NOT LIKE \'%phone: %\''), 0,
	'a phone number is sent, or left out with the reason');
cmp_ok(sql('SELECT count(*) FROM tiktok.event WHERE match_keys & 2 <> 0'), '>', 400, 'many phone numbers are usable with one country code for customers of 21 countries');
diag(sql("SELECT string_agg(notes || ' ' || n, ', ') FROM (SELECT coalesce(notes, 'nothing left out') AS notes, count(*) AS n "
	  . 'FROM tiktok.event GROUP BY 1) s'));

$node->stop;
done_testing();
