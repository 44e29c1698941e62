# The files of docs/monitoring with the real exporter and Prometheus: the role of its README reads every metric, the values are
# those of the views and checks, every panel of the dashboard has rows, and the alerts fire on what they are for, and not else.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use HTTP::Tiny;
use IPC::Run;
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
$grants =~ s/DATABASE shop/DATABASE postgres/ or die 'no grants';
$node->safe_psql('postgres', $grants);
is(($node->psql('postgres', 'SELECT FROM tiktok.identity', extra_params => [ '-U', 'exporter' ]))[0], 3, 'the role may not see identifiers');

# Answers are kept for a second, so that changes are seen at once
my $queries = slurp_file("$docs/tiktok_events.yaml");
append_to_file("$dir/queries.yaml", $queries =~ s/cache_seconds: 10$/cache_seconds: 1/gmr);

$ENV{DATA_SOURCE_NAME} = sprintf 'host=%s port=%d user=exporter dbname=postgres sslmode=disable', $node->host, $node->port;
my $pid = fork // die "fork: $!";
if ($pid == 0)
{
	open STDOUT, '>', "$dir/log";
	open STDERR, '>&', \*STDOUT;
	exec $exporter, "--extend.query-path=$dir/queries.yaml", "--web.listen-address=127.0.0.1:$port",
	  '--disable-default-metrics', '--disable-settings-metrics', '--no-collector.database', '--no-collector.bgwriter';
	die "exec: $!";
}

# What a scrape says: metrics by name, and each by its other labels than server and database.
sub scrape
{
	my %metrics;
	my $reply;

	for (1 .. 300)
	{
		$reply = HTTP::Tiny->new(timeout => 60)->get("http://127.0.0.1:$port/metrics");
		last if $reply->{success};
		select undef, undef, undef, 0.1;
	}
	for (split /\n/, $reply->{content})
	{
		my ($name, $labels, $value) = /^(tiktok_events_\w+)\{(.*)\} (\S+)$/ or next;
		my %label = $labels =~ /(\w+)="((?:[^"\\]|\\.)*)"/g;
		s/\\(.)/$1/g for values %label;
		$label{database} eq 'postgres' or die "no database in $_";
		$metrics{$name}{ join '|', map { $label{$_} } grep { !/^(server|database)$/ } sort keys %label } = $value + 0;
	}
	return \%metrics;
}

my $metrics = scrape();
END { local $?; kill 'TERM', $pid if $pid; waitpid $pid, 0 if $pid; }
unlike(slurp_file("$dir/log"), qr/level=(error|warn).*tiktok/, 'no query fails');

# Every metric of the file is there, and has the value of the view
my ($query, @expected);
for (split /\n/, $queries)
{
	$query = $1 if /^(\w+):/;
	push @expected, "${query}_$1" if /^    - (\w+): \{ usage: "(?:GAUGE|COUNTER)"/;
}
is(join(' ', sort keys %$metrics), join(' ', sort @expected), 'every metric is there, and no other');

# A value of a query by the labels
sub values_of
{
	my ($sql) = @_;
	return decode_json($node->safe_psql('postgres', "SELECT jsonb_object_agg(labels, n) FROM ($sql) x"));
}
is_deeply($metrics->{tiktok_events_check},
	values_of("SELECT concat_ws('|', area, check_name, coalesce(source, ''), state) AS labels, count(*) AS n FROM (
		SELECT 'health' AS area, check_name, (SELECT name FROM tiktok.source WHERE starts_with(detail, '\"' || name || '\"')) AS source, state FROM tiktok.health()
		UNION ALL SELECT 'mode', m.mode, s.name, m.state FROM tiktok.source s, tiktok.failure_modes(s.name) m
		UNION ALL SELECT 'checklist', ('{pixel,events_api,same_event_id,parameters,test_event,deduplication,orders,quality}'::text[])[i.item], s.name, i.state FROM tiktok.source s, tiktok.checklist(s.name) i) c
		GROUP BY 1"), 'the checks, each with its source and state');
ok(exists $metrics->{tiktok_events_check}{'health|source|app|fail'} && exists $metrics->{tiktok_events_check}{'health|source|q"uo\ted|warn'}, 'sources without a token and paused');
is_deeply($metrics->{tiktok_events_source_pending}, { shop => 0, app => 1, 'q"uo\ted' => 3, crm => 0 }, 'pending');
is_deeply($metrics->{"tiktok_events_source_$_"}, values_of("SELECT source AS labels, $_ AS n FROM tiktok.backlog"), "$_ as in the view") for qw(pending retrying);
is_deeply($metrics->{tiktok_events_source_state}, { 'shop|sending' => 1, 'app|no_token' => 1, 'q"uo\ted|paused' => 1, 'crm|disabled' => 1 }, 'the states of the sources');
cmp_ok($metrics->{tiktok_events_source_oldest_age_seconds}{app}, '>', 0, 'the age of what waits');
is($metrics->{tiktok_events_source_oldest_age_seconds}{crm}, 0, 'nothing waits, no age');
is($metrics->{tiktok_events_queue_recorded_total}{''}, $node->safe_psql('postgres', 'SELECT max(id) FROM tiktok.event'), 'how many events were recorded');
is($metrics->{tiktok_events_enqueue_conflict_total}{shop}, 1, 'a key that came with another event');
is($metrics->{tiktok_events_worker_up}{''}, 1, 'the worker is up');
is($metrics->{"tiktok_events_worker_$_->[0]"}{''}, $node->safe_psql('postgres', "SELECT $_->[1] FROM tiktok.worker_status WHERE database = 'postgres'"), "$_->[0] as in the view")
  for [ 'requests_total', 'requests' ], [ 'requests_failed_total', 'failed' ];
is_deeply({ map { $_ => $metrics->{tiktok_events_final_total}{"shop|$_"} } qw(delivered rejected invalid suppressed expired uncertain) },
	{ delivered => 7, rejected => 0, invalid => 2, suppressed => 0, expired => 0, uncertain => 0 }, 'what became of the events of a source');
is_deeply($metrics->{tiktok_events_final_total}, values_of("SELECT source || '|' || status AS labels, events AS n FROM tiktok.status_counters"), 'as in the view, of every source');
cmp_ok($metrics->{tiktok_events_worker_heartbeat_age_seconds}{''}, '<', 60, 'it was seen lately');

# The panels' queries, with all that is chosen
my $dashboard = decode_json(slurp_file("$docs/dashboard.json"));
my %panel;
for my $panel (@{ $dashboard->{panels} })
{
	my $n;
	for my $target (@{ $panel->{targets} })
	{
		my $expr = $target->{expr};
		$expr =~ s/\$__rate_interval/30s/g;
		$expr =~ s/\$(server|database)\b/.*/g;
		$expr =~ s/\$source\b/.*/g;
		$panel{"$panel->{title} " . ++$n} = $expr;
	}
}
cmp_ok(scalar keys %panel, '>', 10, 'queries of panels');

# Alerts: what each fires on, and what is next to it and does not.  Labels, minutes or a series, and then the alerts that fire.
my @alerts = (
	[ 'no exporter', { 'up{job="pg", instance="i"}' => '1x30 0x30', 'tiktok_events_worker_up{job="pg", instance="i", L}' => '1x30 _x30', 'tiktok_events_check{L, area="health", check="worker", source="", state="ok"}' => '1x30 _x30' },
		'TiktokEventsExporterDown' ],
	[ 'another exporter', { 'up{job="node", instance="i"}' => '0x60', 'tiktok_events_worker_up{job="pg", instance="i", L}' => '1x60', 'tiktok_events_check{L, state="ok"}' => '1x60' }, '' ],
	[ 'no worker', { 'tiktok_events_worker_up{L}' => '0x60', 'tiktok_events_check{L, area="health", check="worker", source="", state="fail"}' => '1x60' }, 'TiktokEventsWorkerMissing' ],
	[ 'a worker that starts anew', { 'tiktok_events_worker_up{L}' => '1x57 0 1x10', 'tiktok_events_check{L, state="ok"}' => '1x60' }, '' ],
	[ 'a worker that is stuck', { 'tiktok_events_worker_heartbeat_age_seconds{L}' => '0+60x60' }, 'TiktokEventsWorkerStuck' ],
	[ 'a worker that is busy', { 'tiktok_events_worker_heartbeat_age_seconds{L}' => '40x60' }, '' ],
	[ 'a source that is stopped', { 'tiktok_events_check{L, area="health", check="source", source="shop", state="fail"}' => '1x60' }, 'TiktokEventsDeliveryFails shop' ],
	[ 'one that was stopped', { 'tiktok_events_check{L, area="health", check="source", source="shop", state="fail"}' => '1x50 _x10', 'tiktok_events_check{L, area="health", check="source", source="shop", state="ok"}' => '_x50 1x10' }, '' ],
	[ 'a source that is well', { 'tiktok_events_check{L, area="health", check="source", source="shop", state="ok"}' => '1x60' }, '' ],
	[ 'values that are gone', { 'tiktok_events_check{L, area="mode", check="value_or_currency_missing", source="shop", state="fail"}' => '1x120' }, 'TiktokEventsMeasurementFails shop', 120 ],
	[ 'orders that are missing', { 'tiktok_events_check{L, area="checklist", check="orders", source="shop", state="fail"}' => '1x120' }, 'TiktokEventsMeasurementFails shop', 120 ],
	[ 'what another check says', { 'tiktok_events_check{L, area="checklist", check="parameters", source="shop", state="fail"}' => '1x120' }, '', 120 ],
	[ 'what is still to be done', { 'tiktok_events_check{L, area="checklist", check="pixel", source="shop", state="todo"}' => '1x2000' }, '', 1900 ],
	[ 'a paused source', { 'tiktok_events_check{L, area="health", check="source", source="shop", state="warn"}' => '1x900' }, 'TiktokEventsDeliveryWarns shop', 800 ],
	[ 'one that was paused for an hour', { 'tiktok_events_check{L, area="health", check="source", source="shop", state="warn"}' => '1x60' }, '', 60 ],
	[ 'late events', { 'tiktok_events_check{L, area="mode", check="late_events", source="shop", state="warn"}' => '1x2000' }, 'TiktokEventsMeasurementWarns shop', 1900 ],
	[ 'late events for a day', { 'tiktok_events_check{L, area="mode", check="late_events", source="shop", state="warn"}' => '1x1000' }, '', 1000 ],
	[ 'no checks', { 'tiktok_events_worker_up{L}' => '1x60' }, 'TiktokEventsChecksMissing' ],
	[ 'checks', { 'tiktok_events_worker_up{L}' => '1x60', 'tiktok_events_check{L, area="health", check="worker", source="", state="ok"}' => '1x60' }, '' ]);

# Dashboard and alerts use these metrics only
for my $file ('dashboard.json', 'alerts.yaml')
{
	my %used = map { $_ => 1 } slurp_file("$docs/$file") =~ /\b(tiktok_events_\w+)\b/g;
	is(join(' ', grep { !$metrics->{$_} } sort keys %used), '', "$file: no unknown metric");
}

SKIP:
{
	skip 'no promtool', 4 unless -x '/usr/bin/promtool';
	my ($tests, %fires) = ("rule_files: [ $docs/alerts.yaml ]\nevaluation_interval: 1m\ntests:\n");

	for (@alerts)
	{
		my ($name, $series, $fires, $minutes) = @$_;
		my ($alert, $source) = split / /, $fires;
		$tests .= "  - name: $name\n    interval: 1m\n    input_series:\n";
		$tests .= sprintf "      - { series: '%s', values: '%s' }\n", $_ =~ s/\bL\b/server="s", database="d"/r, $series->{$_} for sort keys %$series;
		$tests .= sprintf "    promql_expr_test:\n      - expr: count by (alertname, source) (ALERTS{alertstate=\"firing\"})\n        eval_time: %dm\n        exp_samples: %s\n",
		  $minutes // 60, $alert ? sprintf q([ { labels: '{alertname="%s"%s}', value: 1 } ]), $alert, $source ? qq(, source="$source") : '' : '[]';
		$fires{$alert} = 1 if $alert;
	}
	append_to_file("$dir/test.yaml", $tests);
	command_ok([ 'promtool', 'check', 'rules', "$docs/alerts.yaml" ], 'the alerts are rules of Prometheus');
	command_ok([ 'promtool', 'test', 'rules', "$dir/test.yaml" ], 'they fire on what they are for, and on nothing else');
	is(join(' ', sort keys %fires), join(' ', sort map { /- alert: (\w+)/ } split /\n/, slurp_file("$docs/alerts.yaml")), 'each alert is tested');

	my $n;
	append_to_file("$dir/panels.yaml", "groups:\n  - name: panels\n    rules:\n" . join '', map { sprintf "      - record: panel:%d\n        expr: %s\n", ++$n, JSON::PP->new->allow_nonref->encode($panel{$_}) } sort keys %panel);
	command_ok([ 'promtool', 'check', 'rules', "$dir/panels.yaml" ], 'the queries of panels are PromQL');
}

SKIP:
{
	skip 'no prometheus', 1 unless -x '/usr/bin/prometheus';
	my $prometheus_port = PostgreSQL::Test::Cluster::get_free_port();
	my (%rows, $server);
	my $order = 100;

	$panel{"growth of $_"} = qq(increase(tiktok_events_final_total{source="shop", status="$_"}[30s]) > 0) for 'delivered', 'invalid';

	append_to_file("$dir/prometheus.yaml", "global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs:\n  - { job_name: pg, scrape_interval: 1s, static_configs: [ { targets: [ '127.0.0.1:$port' ] } ] }\n");
	$server = IPC::Run::start([ '/usr/bin/prometheus', "--config.file=$dir/prometheus.yaml", "--storage.tsdb.path=$dir/tsdb", "--web.listen-address=127.0.0.1:$prometheus_port" ], '>', "$dir/prometheus.log", '2>&1');
	for (1 .. 120)
	{
		$node->safe_psql('postgres', sprintf "INSERT INTO orders VALUES (%d, 10, 'https://shop.example.com/'), (%d, 10, NULL)", $order++, $order++);
		for my $name (grep { !$rows{$_} } sort keys %panel)
		{
			my $reply = HTTP::Tiny->new(timeout => 20)->post_form("http://127.0.0.1:$prometheus_port/api/v1/query", { query => $panel{$name} });
			$rows{$name} = @{ decode_json($reply->{content})->{data}{result} } if $reply->{success};
		}
		last unless grep { !$rows{$_} } keys %panel;
		select undef, undef, undef, 0.5;
	}
	is(join(', ', grep { !$rows{$_} } sort keys %panel), '', 'each panel has rows of the exporter, and counters grow');
	$server->kill_kill;
}

# What Grafana takes for a dashboard, by its own types.  GRAFANA_SCHEMA names a folder with both packages where there is no network.
sub faults_of
{
	my ($folder, $json) = @_;
	my $out;

	$json =~ s/"mode": "absolute"/"mode": ThresholdsMode.Absolute/g;
	$json =~ s/"type": "value"/"type": MappingType.ValueToText/g;
	unlink "$dir/dashboard.ts";
	append_to_file("$dir/dashboard.ts", "import { Dashboard, MappingType, ThresholdsMode } from '$folder/node_modules/\@grafana/schema/dist/esm/raw/dashboard/x/dashboard_types.gen';\n"
		  . "export const dashboard: Dashboard = $json;\n");
	IPC::Run::run([ "$folder/node_modules/.bin/tsc", qw(--noEmit --skipLibCheck --strict --target es2020 --module esnext --moduleResolution bundler), "$dir/dashboard.ts" ], '>', \$out, '2>&1', IPC::Run::timeout(300));
	return $out;
}

SKIP:
{
	my $folder = $ENV{GRAFANA_SCHEMA} // $dir;
	if (!defined $ENV{GRAFANA_SCHEMA})
	{
		local $ENV{npm_config_cache} = "$dir/npm";
		eval {
			IPC::Run::run([ qw(npm install --silent --no-audit --no-fund --no-save --ignore-scripts --legacy-peer-deps --omit=peer --fetch-retries=0), '--prefix', $dir, '@grafana/schema@11.3.0', 'typescript@5.6.3' ],
				'>', "$dir/npm.log", '2>&1', IPC::Run::timeout(120));
		};
	}
	skip '@grafana/schema cannot be had by npm: the dashboard was not compared with it', 2 unless -x "$folder/node_modules/.bin/tsc";
	my $json = slurp_file("$docs/dashboard.json");
	is(faults_of($folder, $json), '', 'the dashboard is one of Grafana');
	like(faults_of($folder, $json =~ s/"schemaVersion"/"schemaVerzion"/r), qr/schemaVerzion/, 'and a misspelt one is not');
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
