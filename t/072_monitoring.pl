# The files of docs/monitoring with the real exporter: the role of its README reads every metric, the values are those of the
# views, dashboard and alerts use no metric that is not there, and the alerts fire on what they are for.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my ($exporter) = grep { -x } '/usr/bin/prometheus-postgres-exporter', '/usr/bin/postgres_exporter';
plan skip_all => 'no prometheus-postgres-exporter' unless $exporter;

my $docs = "$FindBin::Bin/../docs/monitoring";
my $api = Rehearsal->start;
my $node = $api->cluster('monitoring');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $port = PostgreSQL::Test::Cluster::get_free_port();

# Sources in every state, events of several statuses
$api->sources($node);
$node->safe_psql('postgres', <<'SQL');
UPDATE tiktok.source SET name = 'q"uo\ted' WHERE name = 'store';
SELECT tiktok.pause('q"uo\ted', 'sale'), tiktok.set_access_token('app', NULL);
UPDATE tiktok.source SET enabled = false WHERE name = 'crm';
CREATE TABLE orders (id int PRIMARY KEY, total numeric, url text);
CREATE TRIGGER tiktok AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'external_id=id', 'value=total', 'currency=''EUR''', 'url=url');
SQL
$node->safe_psql('postgres', "INSERT INTO orders SELECT g, 10, CASE WHEN g <= 7 THEN 'https://shop.example.com/' END FROM generate_series(1, 9) g");
$node->poll_query_until('postgres', "SELECT count(*) = 7 FROM tiktok.event_status WHERE status = 'delivered'") or die 'not delivered';
$node->safe_psql('postgres', <<'SQL');
SELECT tiktok.track('q"uo\ted', 'Purchase', 'S' || g, user_data => '{"email": "ana@example.com"}', properties => '{"value": 1, "currency": "EUR"}') FROM generate_series(1, 3) g;
SELECT tiktok.track('app', 'Login', 'A1', user_data => '{"email": "ana@example.com"}', app => '{"app_id": "1"}');
SELECT tiktok.track('shop', 'Purchase', 'orders-1', user_data => '{"email": "ben@example.com"}', properties => '{"value": 99, "currency": "EUR"}', page => '{"url": "https://shop.example.com/"}');
SQL
$node->poll_query_until('postgres', "SELECT state = 'no_token' FROM tiktok.backlog WHERE source = 'app'") or die 'no state';

# The role as the README makes it
my ($grants) = slurp_file("$docs/README.md") =~ /```sql\n(.*?)```/s;
$grants =~ s/DATABASE shop/DATABASE postgres/;
$node->safe_psql('postgres', $grants);
is(($node->psql('postgres', 'SELECT FROM tiktok.identity', extra_params => [ '-U', 'exporter' ]))[0], 3, 'the role may not see identifiers');

$ENV{DATA_SOURCE_NAME} = sprintf 'host=%s port=%d user=exporter dbname=postgres sslmode=disable', $node->host, $node->port;
my $pid = fork // die "fork: $!";
if ($pid == 0)
{
	open STDOUT, '>', "$dir/log";
	open STDERR, '>&', \*STDOUT;
	exec $exporter, "--extend.query-path=$docs/tiktok_events.yaml", "--web.listen-address=127.0.0.1:$port",
	  '--disable-default-metrics', '--disable-settings-metrics', '--no-collector.database', '--no-collector.bgwriter';
	die "exec: $!";
}

# What a scrape says: metrics by name and source.
sub scrape
{
	my %metrics;
	my $reply;

	for (1 .. 300)
	{
		$reply = HTTP::Tiny->new(timeout => 20)->get("http://127.0.0.1:$port/metrics");
		last if $reply->{success};
		select undef, undef, undef, 0.1;
	}
	for (split /\n/, $reply->{content})
	{
		my ($name, $labels, $value) = /^(tiktok_events_\w+)\{(.*)\} (\S+)$/ or next;
		$labels =~ /database="postgres"/ or die "no database in $_";
		my $source = $labels =~ /source="((?:[^"\\]|\\.)*)"/ ? $1 : '';
		$source =~ s/\\(.)/$1/g;
		$metrics{$name}{$source} = $value + 0;
	}
	return \%metrics;
}

my $metrics = scrape();
END { local $?; kill 'TERM', $pid if $pid; waitpid $pid, 0 if $pid; }
unlike(slurp_file("$dir/log"), qr/level=(error|warn).*tiktok/, 'no query fails');

# Every metric of the file is there, and has the value of the view
my ($query, @expected);
for (split /\n/, slurp_file("$docs/tiktok_events.yaml"))
{
	$query = $1 if /^(\w+):/;
	push @expected, "${query}_$1" if /^    - (\w+): \{ usage: "(?:GAUGE|COUNTER)"/;
}
is(join(' ', sort keys %$metrics), join(' ', sort @expected), 'every metric is there, and no other');

# A column of a view, by source
sub values_of
{
	my ($sql) = @_;
	return decode_json($node->safe_psql('postgres', "SELECT jsonb_object_agg(source, n) FROM ($sql) x"));
}
is_deeply($metrics->{tiktok_events_source_pending}, { shop => 0, app => 1, 'q"uo\ted' => 3, crm => 0 }, 'pending');
is_deeply($metrics->{"tiktok_events_source_$_"}, values_of("SELECT source, $_ AS n FROM tiktok.backlog"), "$_ as in the view") for qw(pending retrying);
is_deeply($metrics->{"tiktok_events_source_$_"}, values_of("SELECT source, (state = '$_')::int AS n FROM tiktok.backlog"), "$_ as in the view")
  for qw(sending open no_token copied paused disabled);
is(join(' ', map { $metrics->{"tiktok_events_source_$_"}{ { sending => 'shop', no_token => 'app', paused => 'q"uo\ted', disabled => 'crm' }->{$_} } } qw(sending no_token paused disabled)),
	'1 1 1 1', 'the states of the sources');
cmp_ok($metrics->{tiktok_events_source_oldest_age_seconds}{app}, '>', 0, 'the age of what waits');
is($metrics->{tiktok_events_source_oldest_age_seconds}{crm}, 0, 'nothing waits, no age');
is_deeply($metrics->{"tiktok_events_last_hour_$_"}, values_of("SELECT source, count(*) FILTER (WHERE status = '$_') AS n FROM tiktok.event_status GROUP BY 1"), "$_ as in the view")
  for qw(delivered rejected uncertain invalid expired suppressed);
is(join(' ', map { $metrics->{"tiktok_events_last_hour_$_"}{shop} } qw(recorded delivered invalid)), '9 7 2', 'the events of the shop');
is($metrics->{tiktok_events_enqueue_conflict_total}{shop}, 1, 'a key that came with another event');
is($metrics->{tiktok_events_worker_up}{''}, 1, 'the worker is up');
is($metrics->{"tiktok_events_worker_$_->[0]"}{''}, $node->safe_psql('postgres', "SELECT $_->[1] FROM tiktok.worker_status WHERE database = 'postgres'"), "$_->[0] as in the view")
  for [ 'requests_total', 'requests' ], [ 'requests_failed_total', 'failed' ], [ 'delivered_total', 'delivered' ];
cmp_ok($metrics->{tiktok_events_worker_heartbeat_age_seconds}{''}, '<', 60, 'it was seen lately');

# Dashboard and alerts use these metrics only
for my $file ('dashboard.json', 'alerts.yaml')
{
	my %used = map { $_ => 1 } slurp_file("$docs/$file") =~ /\b(tiktok_events_(?:source|worker|last_hour|enqueue)_\w+)/g;
	is(join(' ', grep { !$metrics->{$_} } sort keys %used), '', "$file: no unknown metric");
	cmp_ok(scalar keys %used, '>', 10, "$file: metrics");
}
ok(decode_json(slurp_file("$docs/dashboard.json"))->{panels}, 'the dashboard is JSON');

SKIP:
{
	skip 'no promtool', 2 unless -x '/usr/bin/promtool';
	my $labels = 'server="s", database="d"';

	append_to_file("$dir/test.yaml", <<YAML);
rule_files: [ $docs/alerts.yaml ]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'tiktok_events_worker_up{$labels}', values: '0x30' }
      - { series: 'tiktok_events_source_open{$labels, source="shop"}', values: '1x30' }
      - { series: 'tiktok_events_source_open{$labels, source="app"}', values: '0x30' }
      - { series: 'tiktok_events_source_oldest_age_seconds{$labels, source="shop"}', values: '90000x30' }
      - { series: 'tiktok_events_last_hour_recorded{$labels, source="shop"}', values: '100x30' }
      - { series: 'tiktok_events_last_hour_delivered{$labels, source="shop"}', values: '70x30' }
      - { series: 'tiktok_events_last_hour_rejected{$labels, source="shop"}', values: '20x30' }
      - { series: 'tiktok_events_last_hour_uncertain{$labels, source="shop"}', values: '0x30' }
      - { series: 'tiktok_events_last_hour_invalid{$labels, source="shop"}', values: '4x30' }
      - { series: 'tiktok_events_worker_requests_total{$labels}', values: '0+10x30' }
      - { series: 'tiktok_events_worker_requests_failed_total{$labels}', values: '0+6x30' }
    promql_expr_test:
      - expr: count by (alertname, source) (ALERTS{alertstate="firing"})
        eval_time: 25m
        exp_samples:
          - { labels: '{alertname="TiktokEventsWorkerMissing"}', value: 1 }
          - { labels: '{alertname="TiktokEventsSourceStopped", source="shop"}', value: 1 }
          - { labels: '{alertname="TiktokEventsBacklogOld", source="shop"}', value: 1 }
          - { labels: '{alertname="TiktokEventsBacklogTooOld", source="shop"}', value: 1 }
          - { labels: '{alertname="TiktokEventsRejected", source="shop"}', value: 1 }
          - { labels: '{alertname="TiktokEventsRequestsFail"}', value: 1 }
  - interval: 1m
    input_series:
      - { series: 'tiktok_events_last_hour_recorded{$labels, source="shop"}', values: '100x1440 _x180' }
      - { series: 'tiktok_events_last_hour_recorded{$labels, source="app"}', values: '100x1620' }
    promql_expr_test:
      - expr: count by (alertname, source) (ALERTS{alertstate="firing"})
        eval_time: 26h
        exp_samples:
          - { labels: '{alertname="TiktokEventsSilent", source="shop"}', value: 1 }
YAML
	command_ok([ 'promtool', 'check', 'rules', "$docs/alerts.yaml" ], 'the alerts are rules of Prometheus');
	command_ok([ 'promtool', 'test', 'rules', "$dir/test.yaml" ], 'they fire on what they are for, and on nothing else');
}

# Without a worker the metrics stay
$node->append_conf('postgresql.conf', "tiktok_events.databases = 'none_of_these'\n");
$node->reload;
$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM tiktok.worker_status WHERE database = 'postgres' AND pid IS NOT NULL)") or die 'still there';
for (1 .. 300)
{
	$metrics = scrape();
	last if $metrics->{tiktok_events_worker_up}{''} == 0;
	select undef, undef, undef, 0.2;
}
is($metrics->{tiktok_events_worker_up}{''}, 0, 'the worker is missing');

kill 'TERM', $pid;
waitpid $pid, 0;
undef $pid;
$node->stop;
$api->stop;
done_testing();
