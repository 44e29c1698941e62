# What health(), failure_modes() and checklist() say: each of their sentences is provoked, held against what its check must and
# must not say, and each statement of a hint is run as it is pasted. A sentence that nothing here provokes fails the test.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Of each check what its evidence must say when something is wrong, and its hint. # is a number, $ money that may be there, NAME a source.
my %must = (
	'health preload' => [ qr/not preloaded/, qr/shared_preload_libraries/ ],
	'health worker' => [ qr/leaves this database out|no process sends/, qr/tiktok_events\.databases = '\*'; SELECT pg_reload_conf\(\);|server's log/ ],
	'health enabled' => [ qr/sending is off/, qr/ALTER SYSTEM SET tiktok_events\.enabled = on;/ ],
	'health recording' => [ qr/recording is off: orders and leads make no event; rows and calls that made none while it was off: #/, qr/ALTER SYSTEM RESET tiktok_events\.recording; SELECT pg_reload_conf\(\);/ ],
	'health endpoint' => [ qr/test server/, qr/ALTER SYSTEM RESET tiktok_events\.endpoint;/ ],
	'health sources' => [ qr/is set up/, qr/INSERT INTO tiktok\.source / ],
	'health source' => [ qr/NAME is (?:paused|disabled|without a token|not sent to)/, qr/SELECT tiktok\.|UPDATE tiktok\.source |access_token_dir|proxy, firewall/ ],
	'health kind' => [ qr/NAME: TikTok refuses \w+; # of them\$ wait/, qr/SELECT code, message/ ],
	'health unused' => [ qr/NAME has no event/, qr/SELECT \* FROM tiktok\.(?:check_rows|unmapped_stage)|tiktok\.create_trigger/ ],
	'health stage_name' => [ qr/NAME: # rows with the stage "[\w ]+" made no event, because tiktok\.lead_stage has "\w+"/, qr/UPDATE tiktok\.lead_stage SET stage = / ],
	'health backlog' => [ qr/NAME: events that wait: #\$, # of them after a failed attempt, the oldest for #/, qr/They wait because|SELECT \* FROM tiktok\.request_log/ ],
	'health trigger' => [ qr/NAME: trigger "\w+" of \S+ is (?:gone|disabled): its rows make no event/, qr/ALTER TABLE \S+ ENABLE TRIGGER \w+;|DELETE FROM tiktok\.created_trigger/ ],
	'health silence' => [ qr/NAME: no \w+ was recorded for # \w+, since \S+ \S+; the same hours of the weeks before had #\$/, qr/check_rows|tiktok\.track/ ],
	'health stage' => [ qr/NAME: no \w+ was recorded for # \w+, since \S+ \S+; the same hours of the weeks before had #/, qr/check_rows|tiktok\.track/ ],
	'health rejected' => [ qr/NAME: TikTok refused # of the last # \w+\$, mostly because /, qr/tiktok\.retry.*SELECT event_id, reason, message/ ],
	'health invalid' => [ qr/NAME: # of the last # \w+\$ are invalid and were not sent, mostly because/, qr/SELECT event_id, reason, notes/ ],
	'health currency' => [ qr/NAME: # of # events recorded in 24 hours go without their value/, qr/SELECT event_id, value, currency/ ],
	'health consent_words' => [ qr/NAME: the consent of # of # events/, qr/SELECT event_id, notes/ ],
	'health source_gone' => [ qr/# of # events recorded in 24 hours\$ name a source that does not exist/, qr/SELECT event, event_id, notes/ ],
	'health test_code' => [ qr/NAME has a test code until/, qr/SELECT tiktok\.set_test_code\('\w+', NULL\);/ ],
	'health clock' => [ qr/# \w+ in the future/, qr/clock/ ],
	'health conflict' => [ qr/NAME: # events had the event_id of another event/, qr/event_id of its own/ ],
	'health query' => [ qr/# of # rows made no event/, qr/check_rows/ ],
	'health unmapped_source' => [ qr/# rows of \S+ made no event/, qr/tiktok\.source\.key.*SELECT/ ],
	'health application_clock' => [ qr/NAME: # of # events recorded in 24 hours\$ happen in the future/, qr/SELECT event_id, event_time/ ],
	'health retention' => [ qr/# days/, qr/tiktok\.purge\(\)|max_event_age/ ],
	'health autovacuum' => [ qr/autovacuum is off|dead rows/, qr/ALTER SYSTEM|SELECT pid/ ],
	'health partitions' => [ qr/cannot make partitions/, qr/SELECT tiktok\.grant_owner/ ],
	'health foreign_objects' => [ qr/not of the extension|has/, qr/Drop them|Undo it/ ],
	'health publication' => [ qr/publishes identifiers|publishes .*access tokens/, qr/ALTER PUBLICATION|DROP PUBLICATION/ ],
	'health replica_trigger' => [ qr/trigger "\w+" of \S+ (?:fires only|does not fire) for what/, qr/ALTER TABLE \S+ ENABLE (?:REPLICA )?TRIGGER \w+;/ ],    # subscriptions: t/046_managed.pl
	'health source_of_truth' => [ qr/relation "\S+" of NAME/, qr/tiktok\.source_of_truth/ ],
	'failure_modes different_ids' => [ qr/# of the last # events (?:of the Pixel have an event_id that no event here has|that the Pixel reported are not recorded here)/, qr/SELECT|tiktok\.track/ ],
	'failure_modes late_events' => [ qr/# of the last # \w+\$ reached TikTok more than # \w+ late/, qr/SELECT/ ],
	'failure_modes names_differ' => [ qr/# of the last # events|TikTok counted # events/, qr/SELECT event, notes|tiktok\.pixel_event/ ],
	'failure_modes value_or_currency_missing' => [ qr/# of the last # \w+ lack|times those before|times as high|are all #/, qr/SELECT event_id/ ],
	'failure_modes crm_quality_not_passed_back' => [ qr/events of # of # stages/, qr/SELECT/ ],
	'failure_modes consent_inconsistent' => [ qr/# of the last # events\$/, qr/SELECT event_id|one decision/ ],
	'failure_modes volume_too_low' => [ qr/# \w+\$ were delivered in # days, where .*#/, qr/SELECT \* FROM tiktok\.volume_floor/ ],
	'checklist 1' => [ qr/# of the last # \w+ were reported by the Pixel, and # % before|is not known/, qr/SELECT tiktok\.pixel_base_code/ ],
	'checklist 2' => [ qr/none of the last # events\$ is delivered|TikTok counted # of # \w+\$|only test events|no event is recorded/, qr/SELECT|tiktok\.create_trigger|ALTER ROLE/ ],
	'checklist 3' => [ qr/# of the last # events|TikTok counted|not known/, qr/SELECT mode|tiktok\.pixel_event/ ],
	'checklist 4' => [ qr/# of the last # /, qr/SELECT/ ],
	'checklist 5' => [ qr/no test event/, qr/SELECT tiktok\.set_test_code/ ],
	'checklist 6' => [ qr/# of the last # events of the Pixel are events here\$; # of them\$|not known/, qr/tiktok\.pixel_seen|SELECT/ ],
	'checklist 7' => [ qr/# of # orders since \S+ (?:are|were|have|may) .*|# events beside # orders|registered/, qr/SELECT \* FROM tiktok\.(?:differences|source_of_truth)|INSERT INTO tiktok\.source_of_truth|Correct tiktok\.source_of_truth/ ],
	'checklist 8' => [ qr/# of the last # \w+ have \w+, and # % before\$?/, qr/SELECT hour, event/ ]);

# What no row may say: nothing of nothing, words of programmers, names of functions that are not public
my $never = qr/\b0 of (?:the last )?0\b|(?<!IS )\bNULL\b(?!\);)|tiktok_internal|\boid\b|xid|snapshot|breaker|enqueue(?!d_at)|\bfate\b|tuple|%[sIL]|\{|\(\)(?<!\w\(\))|\d{7,}\.|  /;

# What is provoked in other tests, as it needs a server of another kind
my @elsewhere = (
	'tiktok_events is not preloaded: events are recorded, and nothing is sent',    # t/026_not_preloaded.pl
	'Add tiktok_events to shared_preload_libraries and restart the server.',
	'Restart the server after: ALTER SYSTEM SET shared_preload_libraries = %s;',
	'They wait because tiktok_events is not preloaded: see the row preload.',
	'If this is the server to send, and the other one is stopped: SELECT tiktok.resume(%L);',    # t/047_restores.pl
	'a standby sends nothing',                                                      # t/040_standby.pl
	'nothing has been due for %s; a commit brings a process',                       # t/033_many_databases.pl
	'waits for a process for %s',
	'databases that have waited for a process for more than a minute: %s, the first for %s: %s%s',
	'more databases have the extension than tiktok_events.max_databases: a process looks at this one every ten minutes',
	'Raise tiktok_events.max_databases, and restart the server.',
	'Raise tiktok_events.max_workers and max_worker_processes, and restart the server.',
	'process %s is %s, last seen %s ago%s', '; last error: ',                       # t/029_worker_goes_on.pl
	'It hangs; this starts it anew: SELECT pg_terminate_backend(%s);',
	'Undo what was done to that table, as the row foreign_objects says; the worker then goes on by itself.',
	'Finish the upgrade, and restart the server if that does not help: ALTER EXTENSION tiktok_events UPDATE;',
	'It recovers by itself if it can; the server\'s log has the error.',
	'no process sends the events of this database', 'Look into the server\'s log for lines with tiktok_events.',
	'Look at what TikTok answers: SELECT * FROM tiktok.request_log WHERE source = %L ORDER BY id DESC LIMIT 20;',
	'dead rows in ',                                                                # sql/health.sql
	'End transactions that have been open for long: SELECT pid, xact_start, state FROM pg_stat_activity WHERE backend_xmin IS NOT NULL ORDER BY xact_start;',
	'Until it is undone the worker touches nothing',
	' as to a hub: by name, with events alone, and as they are recorded',           # t/044_publication.pl
	'TikTok counted %s of %s %s%s that it accepted in three days since %s',         # t/shops: lost_at_tiktok
	'Compare with Events Manager, and look for requests that were not accepted: SELECT * FROM tiktok.request_log WHERE source = %L AND outcome <> \'delivered\' ORDER BY id DESC LIMIT 20;');

# Statements that are to be completed, or that a test does not run
my $not_run = qr/the token|the code of|the_application|the Pixel''s id|paid_orders|pg_terminate|ALTER SYSTEM|pg_reload_conf|ALTER EXTENSION/;

my $node = PostgreSQL::Test::Cluster->new('words');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'tiktok_events'
tiktok_events.databases = 'none_of_these'
timezone = 'UTC'
intervalstyle = 'postgres'
jit = off
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION tiktok_events');
my @said;    # [where, state, evidence, hint, source]

my %asked;

# Asks for the words of sources that are new, and of those that are named
sub ask
{
	my ($title, $sql, @again) = @_;
	note $title;
	$node->safe_psql('postgres', "SET client_min_messages = error; $sql") if $sql;
	my @new = grep { !$asked{$_}++ } split /\n/, $node->safe_psql('postgres', 'SELECT name FROM tiktok.source ORDER BY id');
	my $names = join ',', @new, @again;
	my $rows = $node->safe_psql('postgres', q{
		SELECT format(E'%s\x1f%s\x1f%s\x1f%s\x1f%s\x1e', 'health ' || check_name, state, detail, hint, substring(detail FROM '^"(\w+)"')) FROM tiktok.health()
		UNION ALL
		SELECT format(E'%s\x1f%s\x1f%s\x1f%s\x1f%s\x1e', 'failure_modes ' || mode, state, evidence, hint, s.name) FROM unnest('{NAMES}'::text[]) s (name), tiktok.failure_modes(s.name)
		UNION ALL
		SELECT format(E'%s\x1f%s\x1f%s\x1f%s\x1f%s\x1e', 'checklist ' || item, state, evidence, hint, s.name) FROM unnest('{NAMES}'::text[]) s (name), tiktok.checklist(s.name)} =~ s/NAMES/$names/gr);
	my %pair;
	for (split /\x1e\n?/, $rows)
	{
		my @row = split /\x1f/, $_, -1;
		push @said, \@row;
		push @{ $pair{"$row[4]: $row[2] -> $row[3]"} }, $row[0];
	}
	is(join("\n", map { "$_ in @{ $pair{$_} }" } grep { @{ $pair{$_} } > 1 } sort keys %pair), '', "$title: never the same words for two things");
}

ask('nothing');

# n events of a source, one every so often
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION public.events(source text, name text, n int, ago interval DEFAULT '30 min', step interval DEFAULT '2 hours', status text DEFAULT 'delivered',
	reason text DEFAULT NULL, lateness interval DEFAULT '2 s', value numeric DEFAULT 49.90, prefix text DEFAULT '', keys int DEFAULT 127, recorded interval DEFAULT '1 s', notes text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	WITH e AS (
		INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, value, currency, match_keys, payload, notes)
		SELECT s.id, $2, prefix || $2 || g, now() - ago - step * g, now() - ago - step * g + recorded, $9, CASE WHEN $9 IS NOT NULL THEN 'EUR' END, keys,
			CASE WHEN $6 NOT IN ('invalid', 'suppressed') THEN '{}'::json END, notes
		FROM tiktok.source s, generate_series(0, n - 1) g
		WHERE s.name = $1
		ORDER BY g DESC
		RETURNING id, event_time, payload)
	INSERT INTO tiktok.delivery (id, request_id, status, reason, at)
	SELECT id, CASE WHEN payload IS NOT NULL THEN 0 END, $6, $7, event_time + lateness FROM e WHERE $6 <> 'pending'
$$;
CREATE FUNCTION public.pixel(source text, name text, prefix text DEFAULT '', fired_as text DEFAULT NULL, fired_id text DEFAULT '', later interval DEFAULT '5 s') RETURNS void LANGUAGE sql AS $$
	SELECT tiktok.pixel_seen($1, coalesce(fired_as, $2), fired_id || e.event_id, e.event_time + later)
	FROM tiktok.event e JOIN tiktok.source s ON s.id = e.source_id
	WHERE s.name = $1 AND e.event = $2 AND e.event_id LIKE prefix || $2 || '%'
$$;
CREATE FUNCTION public.source(name text, kind text DEFAULT 'web') RETURNS void LANGUAGE sql AS $$
	INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES (name, kind, CASE WHEN kind = 'web' THEN 'C' ELSE '74' END || length(name) || ascii(name) || '00' || ascii(right(name, 1)))
$$;
-- a shop that is well, with the last events after the others
CREATE FUNCTION public.shop(name text) RETURNS void LANGUAGE sql AS $$
	SELECT source(name);
	SELECT events(name, 'Purchase', 150, ago => '20 hours'), pixel(name, 'Purchase')
$$;
-- and a table of orders as its truth
CREATE FUNCTION public.truth(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I AS SELECT event_id, value, currency, event_time AS at FROM tiktok.event_status WHERE source = %L', 'of_' || name, name);
	INSERT INTO tiktok.source_of_truth VALUES (name, 'Purchase', 'public.of_' || name);
END $$;
SQL

ask('sources without events', <<'SQL');
SELECT source('blank'), source('gadget', 'app'), source('till', 'offline'), source('funnel', 'crm');
SELECT source('tested');
SELECT tiktok.set_test_code('tested', 'TEST1');
SET tiktok_events.test_event = on;
SELECT tiktok.track('tested', 'Contact', 'T1', user_data => '{"external_id": 1}', page => '{"url": "https://shop.example.com/"}');
RESET tiktok_events.test_event;
CREATE TABLE idle (id int PRIMARY KEY, email text, at timestamptz);
SELECT source('waits');
SELECT tiktok.create_trigger('idle', 'waits', 'Contact', '{"event_id": "id", "email": "email", "event_time": "at", "url": "''https://shop.example.com/''"}');
SQL

ask('states of sources', <<'SQL');
SELECT source(n) FROM unnest('{copy,down,blocked,silent,mute,off,file,token,quiet}'::text[]) n;
SELECT events(n, 'Purchase', 3, ago => '2 hours', status => 'pending') FROM unnest('{copy,down,quiet}'::text[]) n;
INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, next_attempt_at) SELECT e.id, e.source_id, 1, now(), now() FROM tiktok.event_status s JOIN tiktok.event e USING (id) WHERE s.source = 'down';
INSERT INTO tiktok.source_state SELECT s.id, v.state, now(), v.reason, now() + interval '1 hour'
FROM (VALUES ('copy', 'copied', 'this database is a copy'), ('down', 'open', 'stop_credential: code 40105'), ('blocked', 'open', 'blocked: http 403 without code'), ('silent', 'open', 'no answer'),
	('file', 'no_token', 'access token file: open to group or others'), ('token', 'no_token', 'no access token is set')) v (name, state, reason) JOIN tiktok.source s USING (name);
INSERT INTO tiktok.source_state SELECT id, 'open', now(), 'no answer' FROM tiktok.source WHERE name = 'mute';
SELECT tiktok.pause('quiet', 'sale');
UPDATE tiktok.source SET enabled = false WHERE name = 'off';
INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, next_attempt_at, kind) SELECT e.id, e.source_id, 0, now(), now(), e.event FROM tiktok.event_status s JOIN tiktok.event e USING (id) WHERE s.source = 'quiet';
SQL

ask('shops of which something is wrong', <<'SQL', qw(silent till blank tested));
SELECT shop(n) FROM unnest('{well,ids,lost,late,slow,old,names,spelled,misnamed,novalue,cents,hundredth,constant,noconsent,fired,gone,email,few,refused,invalid,future,weak,apart,words}'::text[]) n;
SELECT events('ids', 'Purchase', 30, step => '20 min', ago => '20 min', prefix => 'x'), pixel('ids', 'Purchase', 'x', fired_id => 'web-');
SELECT tiktok.pixel_seen('lost', 'Purchase', 'L' || g, now() - interval '20 min' - g * interval '1 s') FROM generate_series(1, 30) g;
SELECT events('late', 'Purchase', 30, step => '30 min', prefix => 'x', recorded => '25 min', lateness => '25 min 2 s');
SELECT events('slow', 'Purchase', 30, step => '30 min', prefix => 'x', lateness => '20 min');
SELECT events('old', 'Purchase', 30, ago => '3 days', step => '30 min', prefix => 'x', lateness => '50 hours');
SELECT events('names', 'Purchase', 8, step => '30 min', prefix => 'x'), pixel('names', 'Purchase', 'x', fired_as => 'CompletePayment');
SELECT tiktok.pixel_seen('names', 'CompletePayment', 'own' || g) FROM generate_series(1, 3) g;
INSERT INTO tiktok.platform_count VALUES ('spelled', current_date, 'purchase', 70, 0, 70);
SELECT events('misnamed', 'Kauf', 5, step => '30 min', prefix => 'x', status => 'invalid', reason => 'event_name');
SELECT events('novalue', 'Purchase', 10, step => '30 min', prefix => 'x', value => NULL), pixel('novalue', 'Purchase', 'x');
SELECT events('cents', 'Purchase', 8, step => '30 min', prefix => 'x', value => 4990), pixel('cents', 'Purchase', 'x');
SELECT events('hundredth', 'Purchase', 8, step => '30 min', prefix => 'x', value => 0.49), pixel('hundredth', 'Purchase', 'x');
UPDATE tiktok.event SET value = 50 + id % 20 WHERE source_id = (SELECT id FROM tiktok.source WHERE name = 'constant');
SELECT events('constant', 'Purchase', 8, step => '30 min', prefix => 'x', value => 1), pixel('constant', 'Purchase', 'x');
SELECT events('noconsent', 'Purchase', 20, step => '30 min', prefix => 'x', status => 'suppressed', reason => 'no_consent');
SELECT events('fired', 'Purchase', 5, step => '30 min', prefix => 'x', status => 'suppressed', reason => 'no_consent'), pixel('fired', 'Purchase', 'x');
SELECT events('gone', 'Purchase', 30, step => '30 min', prefix => 'x');
SELECT events('email', 'Purchase', 30, step => '30 min', prefix => 'x', keys => 96), pixel('email', 'Purchase', 'x');
SELECT source('busy'), events('busy', 'Contact', 410, step => '20 min', value => NULL), pixel('busy', 'Contact'), source('nostage', 'crm'), events('nostage', 'Lead', 3, value => NULL);
INSERT INTO tiktok.weekly_floor VALUES ('few', 'Purchase', 500), ('well', 'Purchase', 10);
SELECT events('refused', 'Purchase', 20, step => '30 min', prefix => 'x', status => 'rejected', reason => 'code 40002'), pixel('refused', 'Purchase', 'x');
SELECT events('invalid', 'Purchase', 20, step => '30 min', prefix => 'x', status => 'invalid', reason => 'page_url_missing');
SELECT events('future', 'Purchase', 3, step => '30 min', prefix => 'x', status => 'invalid', reason => 'future');
SELECT events('weak', 'Purchase', 100, step => '5 min', prefix => 'x', keys => 96), pixel('weak', 'Purchase', 'x');
UPDATE tiktok.event SET match_keys = 96 WHERE source_id = (SELECT id FROM tiktok.source WHERE name = 'weak');
SELECT events('apart', 'Purchase', 30, step => '30 min', prefix => 'x', ago => '3 days'), pixel('apart', 'Purchase', 'x', later => '60 hours');
SELECT events('words', 'Purchase', 10, step => '30 min', prefix => 'x', notes => 'consent: consent_unreadable; properties.currency: currency_unknown');
INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, payload) VALUES (0, 'Contact', 'gone', now(), now(), NULL);
INSERT INTO tiktok.delivery (id, status, reason, at) SELECT id, 'invalid', 'source', now() FROM tiktok.event WHERE event_id = 'gone';
SELECT events('silent', 'Purchase', 6, status => 'rejected', reason => 'code 40002'), events('till', 'Purchase', 20, lateness => '3 days', step => '3 hours');
INSERT INTO tiktok.platform_count VALUES ('blank', current_date - 1, 'Contact', 12, 0, 12);
SELECT tiktok.track('well', 'Contact', 'same', user_data => jsonb_build_object('external_id', 1), properties => jsonb_build_object('value', g, 'currency', 'EUR'), page => '{"url": "https://shop.example.com/"}') FROM generate_series(1, 3) g;
SQL

ask('orders', <<'SQL');
SELECT shop(n), truth(n) FROM unnest('{missing,twice,tests,elsewhere,hundred,net,part,zero,nomoney,dollars,constantly,bad,broken,expired,unsure,one,agrees,none}'::text[]) n;
INSERT INTO of_missing SELECT 'none' || g, 20, 'EUR', now() - interval '1 hour' FROM generate_series(1, 30) g;
SELECT events('twice', 'Purchase', 40, step => '10 min', prefix => 'second'), events('tests', 'Purchase', 9, prefix => 'x'), events('elsewhere', 'Purchase', 9, prefix => 'x');
UPDATE tiktok.event SET test_code = 'T' WHERE event_id LIKE 'xPurchase%' AND source_id = (SELECT id FROM tiktok.source WHERE name = 'tests');
INSERT INTO of_tests SELECT event_id, value, currency, event_time FROM tiktok.event WHERE event_id LIKE 'xPurchase%' AND source_id = (SELECT id FROM tiktok.source WHERE name = 'tests');
UPDATE tiktok.event SET source_id = (SELECT id FROM tiktok.source WHERE name = 'well'), event_id = 'e' || event_id WHERE event_id LIKE 'xPurchase%' AND source_id = (SELECT id FROM tiktok.source WHERE name = 'elsewhere');
INSERT INTO of_elsewhere SELECT event_id, value, currency, event_time FROM tiktok.event WHERE event_id LIKE 'exPurchase%';
UPDATE of_hundred SET value = value / 100;
UPDATE of_net SET value = round(value * 1.19, 2);
UPDATE of_part SET value = value * 2;
UPDATE tiktok.event e SET value = CASE WHEN s.name = 'zero' THEN 0 WHEN s.name = 'constantly' THEN 7 END FROM tiktok.source s WHERE s.id = e.source_id AND s.name IN ('zero', 'nomoney', 'constantly');
UPDATE of_constantly SET value = 20 + substr(event_id, 9)::int % 50;
UPDATE of_dollars SET currency = 'USD';
UPDATE tiktok.delivery d SET status = v.status, reason = v.reason
FROM (VALUES ('bad', 'rejected', 'code 40002'), ('broken', 'invalid', 'page_url'), ('expired', 'expired', 'max_event_age'), ('unsure', 'uncertain', 'retry_horizon')) v (name, status, reason)
JOIN tiktok.source s USING (name) JOIN tiktok.event e ON e.source_id = s.id WHERE d.id = e.id AND e.enqueued_at > now() - interval '3 days';
UPDATE of_one SET event_id = 'Purchase3' WHERE at > now() - interval '2 days';
DELETE FROM of_none;
INSERT INTO tiktok.request (source_id, started_at, finished_at, events, first_xid, first_id, last_xid, last_id, outcome, bytes, is_test)
	SELECT id, now(), now(), 1, '0', 0, '0', 0, 'delivered', 1, true FROM tiktok.source WHERE name = 'agrees';
CREATE TABLE wrong (event_id text);
SELECT source('unread');
INSERT INTO tiktok.source_of_truth VALUES ('unread', 'Purchase', 'public.wrong'), ('unread', 'Contact', 'public.nowhere');
SQL

ask('triggers', <<'SQL', qw(lost));
SELECT shop('well2');
CREATE TABLE lost_orders (id int PRIMARY KEY, at timestamptz);
CREATE TABLE replicated (id int PRIMARY KEY, at timestamptz);
SELECT tiktok.create_trigger('replicated', 'well2', 'ViewContent', '{"external_id": "id", "url": "''https://shop.example.com/''", "event_time": "at"}', replica => true);
SELECT tiktok.create_trigger('lost_orders', 'lost', 'ViewContent', '{"external_id": "id", "url": "''https://shop.example.com/''", "event_time": "at"}');
CREATE TABLE sold (id int, event_id text, at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE sold_1 PARTITION OF sold FOR VALUES FROM (1) TO (10);
SELECT tiktok.create_trigger('sold', 'well2', 'ViewContent', '{"event_id": "event_id", "external_id": "id", "url": "''https://shop.example.com/''", "event_time": "at"}', name => n) FROM unnest('{one,two}'::text[]) n;
ALTER TABLE ONLY sold_1 DISABLE TRIGGER one;
DROP TRIGGER two ON sold;
CREATE TABLE asked (id int PRIMARY KEY, shop text, at timestamptz);
SELECT tiktok.create_trigger('asked', 'well2', 'ViewContent', '{"external_id": "id", "url": "''https://shop.example.com/''", "event_time": "at"}', query => 'SELECT 1 AS value, ''EUR'' AS currency FROM asked a WHERE a.id = new.id AND false');
INSERT INTO asked SELECT g, 'x', now() FROM generate_series(1, 3) g;
UPDATE tiktok.source SET key = 'k2' WHERE name = 'well2';
SELECT tiktok.create_trigger('asked', '=shop', 'Contact', '{"external_id": "id", "url": "''https://shop.example.com/''", "event_time": "at"}', name => 'by_row');
INSERT INTO asked VALUES (11, 'nobody', now()), (12, NULL, now());
CREATE ROLE seller;
ALTER TABLE sold OWNER TO seller;
CREATE PUBLICATION told FOR TABLE tiktok.identity, tiktok.access_token;
CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER spy BEFORE INSERT ON tiktok.event FOR EACH ROW EXECUTE FUNCTION spy();
SQL

ask('tokens are published, silence, a funnel', <<'SQL');
DROP TRIGGER spy ON tiktok.event;
SELECT tiktok.set_access_token('well', 'not-a-token-0123456789');
SELECT source('still'), source('still2'), source('crm', 'crm'), source('dead', 'crm'), source('nolead', 'crm');
SELECT events('still', 'Purchase', 300, ago => '6 days 30 min', step => '3 hours'), events('still2', 'Purchase', 20, ago => '1 hour');
CREATE TABLE leads (id int PRIMARY KEY, stage text, at timestamptz);
INSERT INTO tiktok.lead_stage VALUES ('crm', 'new', 'Lead', 1), ('crm', 'good', 'Qualified_Lead', 2), ('dead', 'new', 'Lead', 1), ('dead', 'good', 'Qualified_Lead', 2), ('nolead', 'new', 'Lead', 1);
UPDATE tiktok.lead_stage SET optimised = true WHERE source = 'crm' AND event = 'Qualified_Lead';
SELECT events('crm', 'Qualified_Lead', 300, ago => '6 days 30 min', step => '3 hours', value => NULL), events('crm', 'Lead', 200, step => '3 hours', value => NULL);
SELECT events('dead', 'Lead', 60), events('nolead', 'Lead', 30, status => 'invalid', reason => 'lead_id_missing');
CREATE TRIGGER tiktok AFTER INSERT ON leads FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('crm', '=stage', 'lead_id=id');
INSERT INTO leads SELECT g, 'lost', now() FROM generate_series(1, 7) g;
SELECT source('odd', 'crm'), source('other', 'crm');
INSERT INTO tiktok.lead_stage VALUES ('odd', 'won', 'Purchase', 1), ('other', 'won', 'Purchase', 1);
CREATE TRIGGER odd AFTER INSERT ON leads FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('odd', '=stage', 'lead_id=id');
CREATE TRIGGER other AFTER INSERT ON leads FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('other', '=stage', 'lead_id=id');
INSERT INTO leads SELECT g, 'Won ', now() FROM generate_series(8, 9) g;
DROP TRIGGER odd ON leads;
DROP TRIGGER other ON leads;
INSERT INTO tiktok.request (source_id, started_at, events, first_xid, first_id, last_xid, last_id, bytes) SELECT id, now() - interval '1 min', 1, '0', 0, '0', 0, 1 FROM tiktok.source WHERE name = 'well';
SQL

ask('leads without a CRM, clock, retention', <<'SQL', qw(well));
UPDATE tiktok.source SET enabled = false WHERE event_source = 'crm';
SELECT events('well', 'Lead', 30, step => '3 hours');
INSERT INTO tiktok.request (source_id, started_at, events, first_xid, first_id, last_xid, last_id, bytes) SELECT id, now() + interval '1 hour', 1, '0', 0, '0', 0, 1 FROM tiktok.source WHERE name = 'well';
INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at) SELECT id, 'Contact', 'ancient', now() - interval '90 days', now() - interval '90 days' FROM tiktok.source WHERE name = 'crm';
UPDATE tiktok.event SET id = 0 WHERE event_id = 'ancient';
UPDATE tiktok.source SET max_event_age = '60 days' WHERE name = 'till';
SQL

$node->append_conf('postgresql.conf', "tiktok_events.enabled = off\ntiktok_events.recording = off\ntiktok_events.endpoint = 'http://127.0.0.1:1/x/'\nautovacuum = off\ntiktok_events.databases = 'postgres'");
$node->reload;
$node->poll_query_until('postgres', "SELECT NOT current_setting('tiktok_events.recording')::bool") or die 'no reload';
ask('settings', q{SELECT tiktok.track('well', 'Contact', 'unrecorded')});
$node->append_conf('postgresql.conf', "tiktok_events.enabled = on\ntiktok_events.recording = on\nautovacuum = on");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('tiktok_events.enabled')::bool AND EXISTS (SELECT FROM tiktok.worker_status WHERE pid IS NOT NULL)") or die 'no worker';
ask('a worker');

my %names = map { $_->[0] => 1 } @said;
is(join(', ', sort grep { !$must{$_} } keys %names), '', 'each check has an entry');
is(join(', ', sort grep { my $check = $_; !grep { $_->[0] eq $check && $_->[1] ne 'ok' } @said } grep { $_ ne 'health preload' } keys %must), '', 'and was wrong once');

# Rows
my $money = qr/(?: \([\d,.]+ [A-Z]{3}(?: \+ [\d,.]+ [A-Z]{3})*\))?/;
for my $row (@said)
{
	my ($check, $state, $evidence, $hint) = @$row;
	my $is = "$check: $state: $evidence -> $hint";
	fail("says nothing: $is") if $evidence eq '';
	fail("says what nobody understands: $is") if "$evidence\n$hint" =~ $never;
	fail("is more than one sentence: $is") if $evidence =~ /\.\s+[A-Z]/ || $evidence =~ /\.$/;
	if ($state eq 'ok') { fail("is well and has a hint: $is") if $hint ne ''; next; }
	fail("has no hint: $is") if $hint !~ /^[A-Z].*[.;]$/s;
	my ($says, $hints) = @{ $must{$check} // next };
	my $pattern = "$says" =~ s/\\\$/$money/gr;
	$pattern =~ s/#/[\\d,.]+/g;
	$pattern =~ s/NAME/"\\w+"/g;
	fail("does not say what it must: $is") if $evidence !~ /$pattern/;
	fail("does not hint at what it must: $is") if $hint !~ /$hints/s;
}

# Statements
my %seen;
my $run = 0;
my $sql = '';
for my $row (@said)
{
	for my $statement ($row->[3] =~ /((?:SELECT|UPDATE|INSERT|DELETE|ALTER|BEGIN;)[^;]*(?:;.*COMMIT)?;)/g)
	{
		next if $seen{$statement}++ || $statement =~ $not_run;
		my ($stdout, $stderr);
		my $code = $node->psql('postgres', $statement =~ /^BEGIN/ ? $statement =~ s/COMMIT;$/ROLLBACK;/r : "BEGIN; $statement ROLLBACK;", stderr => \$stderr);
		is($code, 0, "as it is pasted: $statement") or diag $stderr;
		$run++;
	}
}
cmp_ok($run, '>', 50, "$run statements were run");

# Sentences: every literal of the functions that has a blank was said
my @literals = split /\x1e\n?/, $node->safe_psql('postgres', q{
	SELECT replace(l[1], '''''', '''') || E'\x1e' FROM pg_proc p, regexp_matches(regexp_replace(p.prosrc, '--[^\n]*', '', 'g'), '''((?:[^'']|'''')*)''', 'g') l
	WHERE p.pronamespace = 'tiktok'::regnamespace AND p.proname IN ('health', 'failure_modes', 'checklist')});
my $all = join "\n", $node->safe_psql('postgres', "SELECT what FROM tiktok.checklist('blank')"), map { "$_->[2]\n$_->[3]" } @said;
my %elsewhere = map { $_ => 1 } @elsewhere;
for my $literal (@literals)
{
	next if $literal !~ /[a-z]{2}/ || $literal !~ / / || $literal =~ /^\d+ (?:minutes?|hours?|days|years)$|^FM|^\^|^%of the value%$/ || $elsewhere{$literal};
	my $pattern = join '.*?', map { quotemeta } split /%(?:\d\$)?[sIL]/, $literal =~ s/%%/\x1d/gr, -1;
	$pattern =~ s/\x1d/%/g;
	$pattern =~ s/\\\x1d/%/g;
	like($all, qr/$pattern/, "was said: $literal");
}

$node->stop;
done_testing();
