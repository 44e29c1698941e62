# SqlCalls.pm: statements with random calls of what the extension lets SQL call, for t/056_random_sql_calls.pl.
# A statement is one line.  All of it follows from Perl's random numbers.
package SqlCalls;

use strict;
use warnings;

use JSON::PP;

my $sense = 0.5;    # how likely an argument is one that may be right
my $json = JSON::PP->new->allow_nonref->ascii;

our @tables = qw(orders leads parts part_low keyless in_front snapshot away odd wide);
my @ours = qw(event identity request delivery retry cursor source lead_stage access_token source_of_truth platform_count pixel_seen event_status backlog);
my @others = qw(orders_pkey orders_id_seq pair pg_catalog.pg_class pg_catalog.pg_authid pg_catalog.pg_toast_1255 pg_catalog.pg_class_oid_index information_schema.tables);
our @sources = qw(shop app store crm hashed);
my @events = qw(Purchase ViewContent AddToCart Contact Lead CompletePayment SubmitForm Qualified_Lead Won Search);
my @statuses = qw(pending retrying delivered rejected invalid suppressed expired uncertain discarded);
my @kinds = qw(email phone external_id ip locale idfa idfv gaid att_status first_name last_name city state country zip_code);
my @keys = (@kinds, qw(ttclid ttp user_agent value currency contents content_id content_ids price quantity description url referrer order_id lead_id
	lead_event_source event_id event_time limited_data_use consent num_items query status app_id callback campaign user properties page ad lead app using time_zone));
my @columns = ('id', 'name', 'email', 'total', 'at', 'doc', 'doc.a.b', 'tags', 'gone', "'literal'", "'it''s'", "'", '"Odd"', '', 'none', 'xmin', 'tableoid');
my @conditions = ('true', 'false', 'id > 0', "name = 'a'", "NEW.name = 'a'", '1 / (id - id) = 1', 'id IN (SELECT id FROM orders)', ') OR (true', 'count(*) > 0',
	"pg_sleep(0.01) IS NULL", 'row_number() OVER () = 1', 'id', '1; DELETE FROM orders', 'NULL', 'total > (SELECT avg(total) FROM orders)');

sub one_of { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }
sub quote { my ($text) = @_; $text =~ s/'/''/g; return $text =~ /[\\\n]/ ? "E'" . ($text =~ s/\\/\\\\/gr =~ s/\n/\\n/gr) . "'" : "'$text'" }

# Text that nobody expects, as an expression.
sub odd_text
{
	return one_of(
		sub { 'NULL' },
		sub { "''" },
		sub { quote(one_of(' ', "\t", "\n", '%', '%s%n%d%1$s', '$1', '\\', '\\u0000', '"', "'", '--', '/*', '</script>', '{}', '[', 'null', 'NaN', '-1', '0')) },
		sub { quote(one_of("'; DROP TABLE tiktok.event; --", "x' OR 'a' = 'a", 'tiktok.event; SELECT pg_sleep(9)', '$$', "a\nB: c", '../../etc/passwd')) },
		sub { one_of("E'\\u202Eabc\\u200B'", "E'\\uFEFF'", "E'\\U0001F4A9'", "E'e\\u0301'", "chr(1) || 'x'", 'chr(127)', 'chr(1114111)', "E'\\u0130I'", "E'\\u2028'") },
		sub { sprintf 'repeat(%s, %d)', quote(one_of('x', 'ä', "'", '[', '{"a":', '9', '%s', ' ')), one_of(63, 64, 127, 128, 129, 320, 321, 512, 513, 1000, 1001, 2049, 65536) },
		sub { chance(0.1) ? sprintf('repeat(%s, %d)', quote(one_of('x', '7', '(', 'ü')), one_of(1000000, 1100000)) : "'x'" },
		sub { quote(one_of(@kinds, @events, @sources, @statuses, @tables)) },
		sub { sprintf "encode(sha256('%d'), 'hex')", rand 10 },
		sub { quote(join '', map { chr(32 + int rand 95) } 1 .. rand 40) })->();
}

my %texts = (
	source => sub { quote(one_of(@sources)) },
	event => sub { quote(one_of(@events, '=name', '=status')) },
	event_id => sub { quote('e' . int rand 400) },
	kind => sub { quote(one_of(@kinds)) },
	status => sub { quote(one_of(@statuses)) },
	condition => sub { quote(one_of(@conditions)) },
	name => sub { quote(one_of('tiktok', 'tiktok_x', 'base')) },
	calling_code => sub { quote(one_of('49', '+1', 'DE', 'us', '0', '999', 'XX')) },
	code => sub { quote(one_of('TEST1', 'TEST 2')) },
	email => sub { quote(one_of(' Ana@Example.com', 'bob@example.com', 'a@', 'ä@exämple.com')) },
	phone => sub { quote(one_of('+49 30 23125123', '030 123456', '00', '+')) });
$texts{value} = sub { one_of($texts{email}, $texts{phone}, sub { quote(one_of('203.0.113.7', '::1', '2001:db8::1%x', 'de-DE', '12345', '38400000-8cf0-11bd-b23e-10b96e40000d')) })->() };
$texts{stage} = $texts{event};
$texts{a} = $texts{b} = $texts{event};

# A JSON text; most keys are known ones.
sub json_text
{
	my ($depth) = @_;

	return one_of(
		sub { $json->encode(one_of(undef, '', ' a@example.com ', '+49 30 1', 'EUR', 'usd ', 'https://example.com/?email=a@b.c', "\x{0}", "\x{1F4A9}", 'x' x 300, 'infinity')) },
		sub { one_of('0', '-0', '-1', '1e400', '0.1', '12.340', '1e-400', '9' x 40, 'true', 'false', 'null', '1700000000', '1e15') },
		sub { '"' . one_of('2026-01-01T00:00:00Z', 'now', '-infinity', '294277-01-01', 'Purchase', '7412345678901234567') . '"' })->()
	  if $depth <= 0 || chance(0.4);
	return '[' . join(', ', map { json_text($depth - 1) } 1 .. rand 4) . ']' if chance(0.3);
	return '{' . join(', ', map { $json->encode(one_of(@keys, '', 'x', 'a.b')) . ': ' . json_text($depth - 1) } 1 .. rand 5) . '}';
}

my %objects = (
	user_data => '{"email": "ana@example.com", "phone": "+49 30 23125123", "external_id": "c%d", "ip": "203.0.113.7", "user_agent": "Mozilla/5.0"}',
	properties => '{"value": %d, "currency": "EUR", "contents": [{"content_id": "a", "price": 1.5, "quantity": 2}]}',
	page => '{"url": "https://shop.example.com/%d?ttclid=E.C.P"}',
	app => '{"app_id": "com.example.%d"}',
	ad => '{"callback": "%d"}',
	lead => '{"lead_id": "74123456789012%05d"}',
	mapping => '{"event_id": "id", "email": "email", "value": "total", "currency": "\'EUR\'", "event_time": "at", "external_id": "name", "url": "\'https://example.com/%d\'"}');

sub odd_json
{
	my ($name) = @_;

	return one_of(
		sub { 'NULL' },
		sub { quote(one_of('{}', '[]', 'null', '1', '"x"', '[null]', '[[]]', '{"": null}')) },
		sub { sprintf "(repeat('[', %d) || repeat(']', %1\$d))", one_of(5, 33, 200, chance(0.2) ? 5000 : 1000) },
		sub { sprintf "(repeat('{\"%s\":', %d) || '1' || repeat('}', %2\$d))", one_of(@keys), one_of(2, 33, 500) },
		sub { sprintf "('{\"%s\": \"' || repeat('x', %d) || '\"}')", one_of(@keys), one_of(1001, 70000, chance(0.1) ? 1100000 : 5) },
		sub { sprintf "('{\"contents\": [' || repeat('{\"price\": 1},', %d) || '{}]}')", one_of(3, 500, 501) },
		sub { '(SELECT ' . one_of("to_json(x)::text FROM orders x LIMIT 1", "json_agg(n)::text FROM generate_series(1, 600) n") . ')' },
		sub { quote(json_text(4)) },
		sub { quote('{' . join(', ', map { $json->encode($_) . ': ' . $json->encode(one_of(@columns)) } map { one_of(@keys) } 1 .. rand 6) . '}') })->();
}

sub json_value
{
	my ($type, $name) = @_;
	my $usual = $name eq 'facts' ? '(SELECT facts FROM calls.facts)' : $objects{$name};

	return odd_json($name) . "::$type" if !defined $usual || !chance($sense);
	return $name eq 'facts' ? $usual : quote(sprintf $usual, rand 400) . "::$type";
}

sub relation { return chance(0.6) ? one_of(@tables) : chance(0.5) ? 'tiktok.' . one_of(@ours) : one_of(@others) }

my %values = (
	text => sub { my ($name) = @_; return $texts{$name} && chance($sense) ? $texts{$name}->() : odd_text() },
	name => sub { return chance(0.5) ? "'base'" : odd_text() . '::name' },
	json => sub { return json_value('json', $_[0]) },
	jsonb => sub { return json_value('jsonb', $_[0]) },
	boolean => sub { return one_of('NULL', 'true', 'false') },
	integer => sub { return one_of('NULL', 0, 1, -1, int(rand 100), 40002, 2147483647, '-2147483648') },
	bigint => sub { return chance(0.8) ? int rand 3000 : one_of('NULL', 0, -1, '9223372036854775807', '(-9223372036854775808)') },
	oid => sub { return chance(0.5) ? "'" . relation() . "'::regclass::oid" : one_of('NULL', '0::oid', '1259::oid', '4294967295::oid') },
	'oid[]' => sub { return one_of('NULL', "'{}'", "'{0}'", "'{NULL,1259}'", "ARRAY['" . relation() . "'::regclass::oid]") . '::oid[]' },
	'integer[]' => sub { return one_of('NULL', "'{}'", "'{NULL}'", "'{1,2,3}'", "'{-1,2147483647}'") . '::int[]' },
	date => sub { return one_of('NULL', map { "'$_'" } 'infinity', '-infinity', '2026-01-01', '4714-11-24 BC', '5874897-12-31') . '::date' },
	numeric => sub { return one_of('NULL', 0, 1.5, '-0.0', "'NaN'::numeric", "'infinity'::numeric", "'-infinity'::numeric", '1e1000', '1e-1000', '(9.99 ^ 100)', int rand 1e6) },
	'numeric[]' => sub { return one_of('NULL', "'{}'", "'{NULL}'", "'{1.5,NaN,-infinity}'", "'{1e1000,0}'", "'{{1,2},{3,NULL}}'") . '::numeric[]' },
	regclass => sub { return chance(0.85) ? "'" . relation() . "'::regclass" : one_of('NULL', '0::regclass', '4294967295::oid::regclass', '1::oid::regclass', "'nosuch'::regclass") },
	regrole => sub { return one_of('NULL', '0::regrole', '10::regrole', '4294967295::oid::regrole', map { "'$_'::regrole" } qw(reader tracker admin stranger pg_monitor)) },
	'text[]' => sub { return one_of('NULL', "'{}'", "'{NULL}'", "'{{reader,NULL},{x,y}}'", "'[5:6]={reader,tracker}'", "'{reader}'", 'ARRAY[' . odd_text() . '::text, ' . odd_text() . ']', 'array_fill(NULL::text, ARRAY[3,3,3])') . '::text[]' },
	'timestamp with time zone' => sub {
		my ($name) = @_;
		return one_of('now()', "now() - interval '1 day'", "now() - interval '1 hour'") if chance($sense);
		return one_of('NULL', map { "'$_'" } 'infinity', '-infinity', '294276-12-31 23:59:59+00', '4714-11-24 00:00:00+00 BC', '1970-01-01', '2300-01-01', '2026-03-29 02:30:00 Europe/Berlin') . '::timestamptz';
	},
	interval => sub {
		my ($name) = @_;
		return "interval '" . one_of('0', '1 ms', '1 us', '-1 s') . "'" if $name eq 'timeout' && chance(0.97);
		return one_of('NULL', map { "interval '$_'" } '0', '1 hour', '30 days', '-1 day', '178000000 years', '-178000000 years', '1 mon -30 days', '1 us', '2147483647 days');
	});

sub value
{
	my ($type, $name) = @_;
	my $value = $values{$type} or die "no values of type $type";

	return $value->($name);
}

# A function: { name, kind, returns, set, types, names, defaults }
sub arguments
{
	my ($f) = @_;
	my $n = @{ $f->{types} };
	my @args;

	$sense = one_of(0.2, 0.6, 0.98, 0.98);
	$n -= int rand($f->{defaults} + 1);
	for my $i (0 .. $n - 1)
	{
		my $value = value($f->{types}[$i], $f->{names}[$i]);
		push @args, $value =~ /::|^now|^interval|^\(SELECT facts/ ? $value : "$value\::$f->{types}[$i]";
	}
	# by name, as most people do
	return join ', ', @args unless @args && chance(0.2);
	return join ', ', map { "$f->{names}[$_] => $args[$_]" } 0 .. $#args;
}

sub call { my ($f) = @_; return "$f->{full_name}(" . arguments($f) . ')' }

# Ways to call a function in one statement; calls.* are helpers of the test.
sub statement
{
	my ($f) = @_;
	my $call = call($f);
	my $dice = rand;

	return chance(0.9) ? "CALL $call" : "DO \$do\$ BEGIN CALL $call; END \$do\$" if $f->{kind} eq 'p';
	return "SELECT $call" if $dice < 0.55;
	return "SELECT * FROM $call" if $dice < 0.7;
	return "SELECT $call FROM generate_series(1, 3)" if $dice < 0.75;
	return "SELECT $call LIMIT 1" if $dice < 0.77;
	return "SELECT r.* FROM orders o, LATERAL $call r LIMIT 2" if $dice < 0.79;
	return "SELECT ($call)::text, o.id FROM orders o WHERE ($call) IS NULL LIMIT 2" if $dice < 0.82;
	return "SELECT * FROM ROWS FROM ($call, generate_series(1, 2)) WITH ORDINALITY" if $dice < 0.84;
	return "DO \$do\$ BEGIN PERFORM $call; END \$do\$" if $dice < 0.88;
	return "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT $call" if $dice < 0.9;
	return "COPY (SELECT $call) TO '/dev/null'" if $dice < 0.91;
	return "SELECT calls.caught(\$call\$$call\$call\$)" if $dice < 0.97;
	return "INSERT INTO calls.at_commit VALUES (\$call\$$call\$call\$)";
}

# A trigger argument: most are targets with columns.
sub trigger_argument
{
	my $target = chance(0.9) ? one_of(@keys) : one_of('user.email', 'properties.value', 'page.url', 'nosuch.email', '', '=', 'emial');
	my $value = one_of(@columns, 'calls.row_event', "'UTC'", "'https://example.com/'");

	return "'" . ("$target=$value" =~ s/'/''/gr) . "'" if chance(0.9);
	return one_of("''", "'='", "'x'", "'" . 'y' x 2000 . "'", "E'\\u202E=id'", "'%s=%n'", "'email==email'");
}

sub trigger_arguments
{
	my @args = map { trigger_argument() } 1 .. rand(chance(0.1) ? 20 : 6);

	return join ', ', @args if chance(0.1);
	return join ', ', chance(0.9) ? "'" . one_of(@sources) . "'" : "'nobody'", chance(0.8) ? "'" . one_of(@events, '=name') . "'" : trigger_argument(), @args;
}

# Statements of one line: a trigger of any kind, on anything, that fires.
sub trigger
{
	my ($f) = @_;
	my $table = chance(0.7) ? one_of(@tables) : relation();
	my $when = chance(0.6) ? 'AFTER' : one_of('BEFORE', 'INSTEAD OF');
	my $events = join ' OR ', grep { chance(0.6) } qw(INSERT UPDATE DELETE TRUNCATE);
	my $constraint = chance(0.1) ? 'CONSTRAINT ' : '';
	my $level = chance(0.75) ? 'ROW' : 'STATEMENT';
	my $details = chance(0.1) ? 'REFERENCING NEW TABLE AS new_rows ' : $constraint && chance(0.7) ? 'DEFERRABLE INITIALLY DEFERRED ' : '';
	my $condition = chance(0.1) ? 'WHEN (' . one_of('true', 'NEW.id > 0', 'OLD.id IS DISTINCT FROM NEW.id', 'NEW IS NOT NULL') . ') ' : '';
	my $rows = one_of('1', '2', '20');

	$events ||= 'INSERT';
	return ("CREATE ${constraint}TRIGGER z $when $events ON $table ${details}FOR EACH $level ${condition}EXECUTE FUNCTION $f->{full_name}("
		  . trigger_arguments() . ')',
		map { s/\$table/$table/r } (grep { chance(0.7) } "INSERT INTO \$table (id, name, email) SELECT 1000000 + n, " . odd_text() . ", 'ana\@example.com' FROM generate_series(1, $rows) n",
			'INSERT INTO $table SELECT * FROM orders WHERE id < 5 ON CONFLICT DO NOTHING', "UPDATE \$table SET name = name || 'x', total = '" . one_of('NaN', '1.5', '-1') . "'",
			'INSERT INTO $table DEFAULT VALUES', 'DELETE FROM $table WHERE id >= 1000000', chance(0.2) ? 'TRUNCATE $table' : 'UPDATE $table SET id = id'),
		'SET CONSTRAINTS ALL IMMEDIATE', 'DROP TRIGGER z ON ' . $table);
}

# What somebody who configures may write.
sub configuration
{
	return one_of(
		sub { sprintf 'UPDATE tiktok.source SET %s = %s WHERE name = %s', one_of('name', 'event_source', 'event_source_id', 'consent', 'identifiers', 'external_id_case', 'default_calling_code'), $values{text}->('calling_code'), $values{text}->('source') },
		sub { sprintf 'UPDATE tiktok.source SET max_event_age = %s, batch_size = %s, enabled = %s WHERE name = %s', value('interval', ''), one_of(1, 7, 1000, 0), value('boolean', ''), $values{text}->('source') },
		sub { sprintf 'INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (%s, %s, %s, %s)', value('integer', ''), odd_text(), quote(one_of('web', 'app', 'offline', 'crm')), odd_text() },
		sub { sprintf 'INSERT INTO tiktok.lead_stage VALUES (%s, %s, %s, %s)', $values{text}->('source'), odd_text(), $values{text}->('event'), value('integer', '') },
		sub { sprintf 'INSERT INTO tiktok.source_of_truth (source, relation) VALUES (%s, %s)', $values{text}->('source'), chance(0.5) ? "'calls.truth'" : value('regclass', '') },
		sub { sprintf 'DELETE FROM tiktok.%s WHERE source = %s', one_of('lead_stage', 'source_of_truth', 'platform_count', 'weekly_floor'), $values{text}->('source') },
		sub { 'DELETE FROM tiktok.source WHERE name = ' . $values{text}->('source') },
		sub { 'TRUNCATE tiktok.' . one_of('source CASCADE', 'lead_stage', 'source_of_truth') },
		sub { 'SELECT count(*) FROM tiktok.' . one_of('event_status', 'backlog', 'worker_status', 'delivery_stats', 'lateness', 'request_log', 'dedup_overlap', 'stage_coverage', 'volume_floor', 'value_problems', 'unmapped_stage', 'unmapped_source', 'query_counters', 'identifier_problems', 'backlog_kind') })->();
}

1;
