# Canaries: whatever personal and secret there is in the bad inputs of sql/, and what a hostile server says of it, is looked for everywhere
# that is not meant to hold it: the log at its most talkative, activity and statement statistics, errors, what became of events, what readers
# may see, dumps; tokens in memory and in a core file, too.  Each canary is looked for in clear, and by its hash; the table at the end says
# what was found where.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Fcntl qw(SEEK_SET);
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

# What a canary looks like, by kind
my %look = (
	'e-mail' => ['zqxm'],
	'phone' => [ '7310468', '731-0468', '731 0468' ],
	'external id' => ['zqxlong'],
	'address' => [ '.113.211', '.173.211', '173:211' ],
	'agent' => ['zqxagen'],
	'click id' => [ 'zqxclick', 'zqxttp' ],
	'name, place' => [ 'zqxnam', 'zqxtown', 'zqxtlantis' ],
	'device' => ['7310-4686'],
	'token' => ['zqxtoken']);
my @kinds = ((sort keys %look), 'hash');
my %hashes;    # the first half of each hash
my @table;     # place, kind → hits

# A token in a file, one in the table, and what is refused
my ($file_token, $stored_token, $next_token) = map { "zqxtoken-$_" } qw(in-a-file in-the-table in-a-new-file);
my $tiktok = Rehearsal->start;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $tokens = PostgreSQL::Test::Utils::tempdir();
my $node = $tiktok->cluster('canary',
	shared_preload_libraries => 'auto_explain, pg_stat_statements, tiktok_events',
	shared_buffers => '16MB',
	'pg_stat_statements.track' => 'all',
	log_min_messages => 'debug5',
	log_error_verbosity => 'verbose',
	log_lock_waits => 'on',
	deadlock_timeout => '10ms',
	# of the worker's queries; those of clients are their own
	'auto_explain.log_min_duration' => 0,
	'auto_explain.log_verbose' => 'on',
	'auto_explain.log_nested_statements' => 'on',
	'tiktok_events.log_requests' => 'on',
	'tiktok_events.reporting_endpoint' => $tiktok->reporting_url,
	'tiktok_events.access_token_dir' => $tokens);
my $sampler;
$ENV{PGOPTIONS} = '-c auto_explain.log_min_duration=-1';

sub sql { my ($sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql) }

# Is it true within so many seconds?
sub polled
{
	my ($db, $query, $seconds) = @_;
	return eval { Rehearsal::await($query, sub { (eval { sql($query, $db) } // '') eq 't' }, $seconds // 30) } // 0;
}

# Adds up the hits of each kind in the texts of a place, and remembers what stands around the first.
sub look_at
{
	my ($place, $text) = @_;
	my ($row) = grep { $_->{place} eq $place } @table;
	my $folded = lc $text;

	push @table, $row = { place => $place, bytes => 0, hits => { map { $_ => 0 } @kinds } } if !$row;
	$row->{bytes} += length $text;
	for my $kind (keys %look)
	{
		for my $canary (@{ $look{$kind} })
		{
			for (my $at = index $folded, $canary; $at >= 0; $at = index $folded, $canary, $at + 1)
			{
				$row->{hits}{$kind}++;
				$row->{first}{$kind} //= substr($text, $at > 60 ? $at - 60 : 0, 120) =~ s/[^ -~]+/ /gr;
			}
		}
	}
	while ($folded =~ /(?<![0-9a-f])([0-9a-f]{32})[0-9a-f]*/g)
	{
		next if !$hashes{$1};
		$row->{hits}{hash}++;
		$row->{first}{hash} //= $1;
	}
	return $row->{hits};
}

# The inputs of another test, with canaries in the place of what is personal in them, up to where it cleans up.
sub inputs
{
	my ($name) = @_;
	my $sql = slurp_file(dirname(__FILE__) . "/../sql/$name.sql");

	$sql =~ s/^TRUNCATE .*//ms;
	$sql =~ s/SHOW_CONTEXT never/SHOW_CONTEXT always/;
	# what is shown on purpose, to the superuser
	$sql =~ s/, d\.identity\b|, identity(?= FROM fates)//g;
	$sql =~ s/, user_data FROM tiktok.event_status JOIN tiktok.identity/ FROM tiktok.event_status JOIN tiktok.identity/;
	my @lines = split /^/m, $sql;
	for (@lines)
	{
		next if /CREATE (?:TRIGGER|FUNCTION|TABLE)/;
		s/([A-Za-z0-9])@/${1}zqxm\@/g;
		s/nonsense|secret-name|not-an-email/zqxm$&/g;
		s/repeat\('(x)', (\d+)\)(?= \|\| '\@)/rpad('zqxm', $2, '$1')/g;
		s/repeat\('(x)', (\d+)\)/rpad('zqxlong', $2, '$1')/g if /external_id/;
		s/repeat\('(c)', (\d+)\)/rpad('zqxclick', $2, '$1')/g;
		s/(?<='a)(?="b<\/script>)/zqxclick/g;
		s/'ttp', 'T'/'ttp', 'zqxttp'/g;
		s/"ttp": "T"/"ttp": "zqxttp"/g;
		s/E\.C\.P\.x/E.C.P.zqxclick/g;
		s/555([- ]?)0100/731${1}0468/g;
		s/23125123/73104682/g;
		s/12345678901234567890/73104686789012345678/g;
		s/\b203\.0\.113\.9\b/203.0.113.211/g;
		s/\b203\.000\.113\.009\b/203.000.113.211/g;
		s/\b(999|192\.168|169\.254)\.1\.1\b/$1 . ($1 eq '999' ? '.1' : '') . '.173.211'/ge;
		s/999\.1\.173/999.1.173/g;
		s/\b(100\.64|10\.0)\.0\.1\b/$1.173.211/g;
		s/fd12:3456::1/fd12:3456::173:211/g;
		s/fe80::1(?=[%\/])/fe80::173:211/g;
		s/Mozilla/Zqxagen/g;
		s/Jos(?=\\|e\\)/Zqxnam/g;
		s/\bAna\b/Zqxname/g;
		s/K\\00F6ln/Zqxtown/g;
		s/Atlantis/Zqxtlantis/g;
		s/8C1A0F4E-0000-4000/8C1A0F4E-7310-4686/g;
	}
	return join '', @lines;
}

# Runs a script in a database of its own; whatever the client saw is looked at.
sub run_script
{
	my ($db, $sql) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'psql', '-X', '-v', 'ON_ERROR_STOP=0', '-v', 'VERBOSITY=verbose', '-d', $node->connstr($db) ], '<', \$sql, '>', \$out, '2>', \$err);
	return ($out, $err);
}

# A call with its values as bind parameters, and what the client saw of it.
sub bound
{
	my ($call, %values) = @_;
	my $file = "$dir/call-" . join '', map { ('a' .. 'z')[rand 26] } 1 .. 8;
	my ($out, $err) = ('', '');

	append_to_file($file, "$call;\n");
	local $ENV{PGAPPNAME} = 'bound';
	IPC::Run::run([ 'pgbench', '-n', '-M', 'extended', '-t', 1, '-f', $file, (map { ('-D', "$_=$values{$_}") } sort keys %values), '-d', $node->connstr('postgres') ],
		'>', \$out, '2>', \$err);
	return join '', $err =~ /^(?:pgbench: error|DETAIL|HINT|CONTEXT|ERROR|NOTICE).*\n/gm;
}

# What auto_explain says of the queries inside of a statement, whose own text and plan are the application's; and how many of them there were.
sub explained
{
	my ($statement) = @_;
	my ($out, $err) = run_script('postgres', <<SQL);
SET log_min_messages = 'panic';
SET auto_explain.log_level = 'notice';
SET auto_explain.log_min_duration = 0;
$statement;
SQL
	my @nested = grep { !/^Query Text: \Q$statement\E/m } grep { /^Query Text: /m } split /^(?=NOTICE: )/m, $err;

	return (join('', @nested), scalar @nested);
}

# A statement in a session that is idle afterwards: what others see of it then.
sub idle_after
{
	my ($statement) = @_;
	my $look = "SELECT state, query FROM pg_stat_activity WHERE application_name = 'idle'";
	my $connection = $node->connstr('postgres');

	local $ENV{PGAPPNAME} = 'idle';
	my ($out, $err) = run_script('postgres', "$statement;\n\\! PGAPPNAME=other psql -XAt -d \"$connection\" -c \"$look\"\n");
	return $out =~ /^(idle\|.*)/ms ? $1 : '';
}

# A statement that waits for a lock on a table until it may wait no longer.
sub waits_for_lock
{
	my ($table, $statement) = @_;
	my ($out, $err) = run_script('postgres', <<SQL);
BEGIN;
LOCK TABLE $table IN ACCESS EXCLUSIVE MODE;
\\! PGOPTIONS='-c lock_timeout=100ms -c auto_explain.log_min_duration=-1' psql -Xq -d "@{[ $node->connstr('postgres') ]}" -c "$statement"
SQL
	return $err;
}

# A new token file in the place of the old one.
sub put_token
{
	my ($source, $content, $mode) = @_;
	open my $fh, '>:raw', "$tokens/.new" or die $!;
	print $fh $content;
	close $fh;
	chmod $mode // 0600, "$tokens/.new" or die $!;
	rename "$tokens/.new", "$tokens/$source" or die $!;
}

# Remembers the hashes of what waits to be sent, and says how many rows that is.
sub remember_hashes
{
	my ($db) = @_;
	my @rows = split /\n/, sql('SELECT user_data FROM tiktok.identity', $db);

	for my $user (map { JSON::PP->new->allow_nonref->decode($_) } @rows)
	{
		for my $value (map { ref $_ ? @$_ : $_ } values %$user)
		{
			utf8::encode($value) if utf8::is_utf8($value);
			next if length $value < 3;
			my @hashes = $value =~ /^[0-9a-f]{64}$/ ? $value : map { sha256_hex($_) } $value, $value =~ s/^\+//r;
			$hashes{ substr $_, 0, 32 } = 1 for @hashes;
		}
	}
	return scalar @rows;
}

# What a core file of the process would have of its own memory, and of what all processes share.
sub memory
{
	my ($pid) = @_;
	my %memory = (own => '', shared => '');
	my ($from, $to, $mode);
	no warnings 'portable';

	open my $maps, '<', "/proc/$pid/smaps" or return;
	open my $mem, '<:raw', "/proc/$pid/mem" or return;
	while (<$maps>)
	{
		($from, $to, $mode) = (hex $1, hex $2, $3) if /^([0-9a-f]+)-([0-9a-f]+) (\S+) /;
		next if !/^VmFlags:/ || /\bdd\b/ || $mode !~ /^rw/;
		my $bytes = '';
		sysseek $mem, $from, SEEK_SET or next;
		while ($from < $to)
		{
			my $n = sysread $mem, $bytes, $to - $from < 1 << 20 ? $to - $from : 1 << 20;
			last if !$n;
			$from += $n;
			$memory{ $mode =~ /s$/ ? 'shared' : 'own' } .= $bytes;
		}
	}
	return \%memory;
}

sub worker { return sql("SELECT pid FROM tiktok.worker_status WHERE database = '$_[0]'") }

#
# The bad inputs, at both doors, each in a database of its own.  Here they are literals: what the extension refuses, it does not log with its statement.
#
$sampler = Rehearsal::writer($node, "SELECT backend_type || ' ' || application_name || ' ' || query FROM pg_stat_activity WHERE backend_type <> 'client backend' OR application_name = 'bound' \\watch 0.1\n", '-o', "$dir/activity");
sql('CREATE EXTENSION pg_stat_statements; CREATE ROLE reader LOGIN');
sql("CREATE DATABASE $_") for qw(track row);
my %waits;
for my $door (qw(track row))
{
	sql('CREATE EXTENSION tiktok_events', $door);
	my ($out, $err) = run_script($door, inputs("bad_input_$door"));
	unlike($err, qr/syntax error|column .* does not exist|violates/, "$door: the inputs are read") or diag($err);
	look_at('error texts', $err);
	look_at('what functions say of bad input', $out =~ s/^.*(?:INSERT|jsonb_build|FROM \(VALUES).*\n//gmr);
	$waits{$door} = remember_hashes($door);
	note("$door: $waits{$door} events wait");
}
my ($out, $err) = run_script('track', <<'SQL');
SELECT format('SELECT tiktok.%s(%s)', door, replace(replace(args, '%id', quote_literal('top-' || n)), '%page', $$'{"url": "https://shop.example.com/"}'$$)) FROM cases, unnest('{preview,track}'::text[]) door
WHERE args !~ 'jsonb_build_object\(.value., (1e131071|.NaN)' ORDER BY n \gexec
SQL
look_at('error texts', $err =~ s/^LINE \d+: .*\n//gmr);

# The same rows again, as an operator looks at them
my $triggers = sql(<<'SQL', 'row');
SELECT tgrelid::regclass || '|' || tgname FROM pg_trigger WHERE tgfoid = 'tiktok.track_row'::regproc AND NOT tgisinternal ORDER BY 1
SQL
($out, $err) = run_script('row', join '', map { my ($table, $trigger) = split /\|/; "SELECT event_id, problem, notes FROM tiktok.check_rows('$table', '$trigger', max => 10000);\nCALL tiktok.backfill('$table', '$trigger');\n" } split /\n/, $triggers);
look_at('error texts', $err);
look_at('what functions say of bad input', $out);

for my $db (qw(track row))
{
	look_at('code for the page', sql(<<'SQL', $db));
SELECT tiktok.pixel_event(source, event, event_id) FROM tiktok.event_status JOIN tiktok.source s ON s.name = source WHERE event_source = 'web'
SQL
}

# Values as bind parameters, which nobody logs
sql("INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'C1'), ('other', 'web', 'C2'), ('literal', 'web', 'C3')");
sql("UPDATE tiktok.source SET batch_size = 1 WHERE name = 'shop'");
my %person = (email => 'zqxm.Bound@example.com', phone => '+1 415 731-0468', external_id => 'zqxlong-7', ip => '203.0.113.211', user_agent => 'Zqxagent/5.0 (X11) Gecko',
	ttclid => 'E.C.P.zqxclick-1', ttp => 'zqxttp-1', first_name => 'Zqxnamfirst', last_name => 'Zqxnamlast', city => 'Zqxtown', zip_code => 'zqxna7', country => 'de');
my $view = "SELECT tiktok.track(:source, 'ViewContent', :id, user_data => :person, page => '{\"url\": \"https://shop.example.com/\"}')";
my @refused = (
	[ $view, id => 'b1', source => 'shop', person => '{"email": "zqxm@"}' ],
	[ $view, id => 'b2', source => 'shop', person => '{"zqxm@example.com": 1, "ttp": "zqxttp"}' ],
	[ $view, id => 'zqxm@example.com', source => 'shop', person => '{"ttp": "zqxttp"}' ],
	[ $view, id => 'b3', source => 'shop', person => '["zqxm@example.com"]' ],
	[ $view, id => 'b4', source => 'nobody', person => '{"email": "zqxm@example.com"}' ],
	[ "SELECT tiktok.track('shop', :name, 'b5', user_data => '{}')", name => 'zqxm@example.com' ],
	[ 'SELECT tiktok.forget(email => :email)', email => 'zqxm at example.com' ],
	[ 'SELECT tiktok.forget(phone => :phone)', phone => '731-0468' ],
	[ "SELECT tiktok.withdraw_consent('shop', :id)", id => 'zqxm@example.com' ],
	[ "SELECT tiktok.explain_identifier(:kind, 'x')", kind => 'zqxm@example.com' ],
	[ "SELECT tiktok.pixel_event('shop', 'Nothing', :id)", id => 'zqxm@example.com' ],
	[ "SELECT tiktok.pixel_event('shop', 'ViewContent', 'b9', :person)", person => '{"zqxm@example.com": 7}' ],
	[ "SELECT tiktok.set_access_token('shop', :token)", token => "$stored_token\r\nX-Injected: yes" ],
	[ "SELECT tiktok.set_access_token('shop', :token)", token => "${stored_token}\xc3\xa9" ],
	[ "SELECT tiktok.set_access_token('shop', :token)", token => "$stored_token $stored_token" ],
	[ "SELECT tiktok.set_access_token('shop', :token)", token => $stored_token x 50 ],
	[ "SELECT tiktok.set_access_token('nobody', :token)", token => $stored_token ],
	[ "SELECT tiktok.set_reporting_token('shop', :token, '1')", token => "$stored_token $stored_token" ],
	[ "SELECT tiktok.set_reporting_token('shop', :token, 'x')", token => $stored_token ],
	[ "SELECT tiktok.set_reporting_token('nobody', :token)", token => $stored_token ]);
for my $case (@refused)
{
	my ($call, %values) = @$case;
	look_at('error texts', bound($call, %values));
}
my $person = encode_json(\%person);
$tiktok->control('POST', 'tokens', { tokens => [ $file_token, $stored_token ] });
is(bound($view, id => "e$_", source => 'shop', person => $person), '', 'an event by bind parameters') for 1 .. 2;
is(bound($view, id => "gone$_", source => 'shop', person => "{\"email\": \"zqxm.gone$_\@example.com\"}"), '', 'another one') for 1 .. 2;
is(bound('SELECT tiktok.forget(email => :email)', email => 'zqxm.gone1@example.com'), '', 'is forgotten');
is(bound("SELECT tiktok.withdraw_consent('shop', :id)", id => 'gone2'), '', 'or its consent withdrawn');
is(bound($view, id => 'test', source => 'other', person => $person), '', 'and one of a source with a stored token');
is(bound("SELECT tiktok.set_access_token('other', :token)", token => $stored_token), '', 'a token by bind parameter');

# Tokens and identifiers as literals: the statement is the application's, the rest is not
my @literal = (
	[ 'tiktok.access_token', "SELECT tiktok.set_access_token('literal', '$stored_token-2')" ],
	[ 'tiktok.reporting_token', "SELECT tiktok.set_reporting_token('literal', '$stored_token-3', '7000001')" ],
	[ 'tiktok.identity', "SELECT tiktok.forget(email => 'zqxm.nobody\@example.com')" ]);
for my $case (@literal)
{
	my ($table, $statement) = @$case;
	my ($nested) = explained($statement);
	my $idle = idle_after($statement);

	look_at('queries inside of a statement', $nested);
	like($idle, qr/^idle\|SELECT tiktok\./, 'an idle session');
	look_at('last query of an idle session', $idle);
	like(waits_for_lock($table, $statement), qr/lock timeout/, "a wait for $table, which is logged");
}
cmp_ok((explained($literal[2][1]))[1], '>', 1, 'control: queries inside of a statement are explained');
# a token that reads counts, which is refused with an echo of itself
$tiktok->script({ action => 'status', status => 200, times => undef, match => { path => 'pixel/list' }, body => { code => 40105, message => "token $stored_token-3 zqxm\@example.com is wrong", request_id => "$stored_token-3" } });
is(bound("SELECT tiktok.set_reporting_token('literal', :token)", token => "$stored_token-3"), '', 'a reporting token by bind parameter');
ok(polled('postgres', "SELECT state = 'stopped' FROM tiktok.reporting WHERE source = 'literal'"), 'is refused');
$tiktok->script;
remember_hashes('postgres');
$hashes{ substr sha256_hex($_), 0, 32 } = 1 for 'zqxm@example.com', values %person, $file_token, $stored_token;

# That they would be found: here they are meant to be
sql('CHECKPOINT');
my $hits = look_at('tiktok.identity on disk', slurp_file($node->data_dir . '/' . sql("SELECT pg_relation_filepath('tiktok.identity')")));
ok($hits->{$_}, "control: $_ is in tiktok.identity") for grep { !/token|hash|device/ } @kinds;
sql("DO \$\$BEGIN RAISE LOG 'control: zqxtoken %', encode(sha256('zqxm\@example.com'), 'hex'); END\$\$");

# Statistics of columns, while everything waits
sql("/* control: */ CREATE TABLE control AS SELECT 'zqxtoken-' || n AS token FROM generate_series(1, 9) n");
for my $db (qw(postgres track row))
{
	sql('ANALYZE', $db);
	look_at('statistics of columns', sql(<<'SQL', $db));
SELECT a.attrelid::regclass, a.attname, s.* FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_statistic s ON s.starelid = a.attrelid AND s.staattnum = a.attnum
WHERE c.relnamespace IN ('tiktok'::regnamespace, 'pg_toast'::regnamespace)
SQL
}
like(sql("SELECT histogram_bounds FROM pg_stats WHERE tablename = 'control'"), qr/zqxtoken/, 'control: statistics of columns have values');
sql('DROP TABLE control');

# Dumps, while everything waits
for my $how ([], ['-Fc'], ['--data-only'])
{
	$node->command_ok([ 'pg_dump', @$how, '-f', "$dir/dump", '-d', $node->connstr('postgres') ], "pg_dump @$how");
	look_at('dumps', slurp_file("$dir/dump"));
}
$node->command_ok([ 'pg_dumpall', '--exclude-database=track', '--exclude-database=row', '-f', "$dir/all", '-d', $node->connstr('postgres') ], 'pg_dumpall');
look_at('dumps', slurp_file("$dir/all"));

#
# Delivery, with everything that goes wrong on the way
#
my @wire = (@person{qw(email phone ip user_agent ttclid ttp)}, 'zqxtown', 'Zqxtown', map { sha256_hex($_) } 'zqxm.bound@example.com', '+14157310468', 'zqxlong-7', 'zqxnamfirst', 'zqxnamlast', 'zqxna7');
my @echoes = ('Batch.0.user: %s', '%s', 'Batch.0.user.x: value "%s" is not allowed', "got '%s' for field x", 'value: %s', 'user.x: %s is no good', '{"x": "%s"}', 'x=%s&y', '(%s)', '[%s]', 'path.%s.x');
my @rules;
my $echo = 0;
my $said = '';
for my $value (@wire, $file_token)
{
	my $message = join ' ; ', map { sprintf $_, $value } @echoes;
	push @rules, { action => 'status', status => 400, times => undef, match => { event_id => "echo-$echo" },
		body => encode_json({ code => 40002, message => $message, request_id => $value }) };
	push @rules, { reject_event_ids => ["named-$echo"], message => "Batch.{index}.user: $value" };
	$said .= bound($view, id => "$_-$echo", source => 'shop', person => $person) for 'echo', 'good', 'named';
	$echo++;
}
is($said, '', 'events to be refused');
$tiktok->control('POST', 'tokens', { tokens => [ $file_token, $stored_token ] });
$tiktok->script(@rules);

# Token files that cannot be used
for my $bad ([ 'bad characters', "$file_token\r\nX-Injected: yes\n" ], [ 'open to group or others', $file_token, 0644 ], [ 'bad characters', "$file_token $file_token" ],
	[ 'too large', $file_token x 50 ], [ 'bad characters', "$file_token\xc3\xa9" ])
{
	my ($reason, @file) = @$bad;
	put_token('shop', @file);
	ok(polled('postgres', "SELECT count(*) = 1 FROM tiktok.source_state WHERE state = 'no_token' AND reason = 'access token file: $reason'"), "a token file: $reason");
}
put_token($_, "$file_token\n") for qw(shop german american old app store crm);
ok(Rehearsal::drained($node, 20), 'what is bound is finished');
ok(polled($_, "SELECT count(*) = 0 FROM tiktok.event_status WHERE status IN ('pending', 'retrying') AND source <> 'archive'"), "$_: all is finished") for qw(track row);

# Trouble below HTTP: nobody there, a certificate of another host, a hanging server that hangs up
my $endpoint = sub { $node->append_conf('postgresql.conf', "tiktok_events.endpoint = '$_[0]'"); $node->reload };
my $nth = 0;
for my $fault ('https://127.0.0.1:1/', "https://127.0.0.1:$tiktok->{http_port}/", 'https://user:zqxtoken@127.0.0.1/')
{
	my $newest = sql('SELECT max(id) FROM tiktok.request');
	$endpoint->($fault);
	is(bound($view, id => 'fault' . ++$nth, source => 'shop', person => $person), '', 'an event');
	ok(polled('postgres', "SELECT count(*) > 0 FROM tiktok.request WHERE finished_at IS NOT NULL AND id > $newest"), 'is tried');
	sql("SELECT tiktok.resume('shop')");
}
$endpoint->($tiktok->{https_url});
sql("SELECT tiktok.resume('shop')");
ok(Rehearsal::drained($node, 20), 'finished');

# An event that cannot be put into a body, and a worker that cannot record
sql("SELECT tiktok.pause('shop')");
is(bound($view, id => 'poison', source => 'shop', person => $person), '', 'an event');
sql("UPDATE tiktok.identity SET user_data = json_build_array(user_data) WHERE id = (SELECT max(id) FROM tiktok.event)");
sql("SELECT tiktok.resume('shop')");
ok(polled('postgres', "SELECT reason = 'unreadable' FROM tiktok.event_status WHERE event_id = 'poison'"), 'one that cannot be put into a body is set apart');
sql('ALTER TABLE tiktok.delivery ADD CONSTRAINT none CHECK (id < 0) NOT VALID');
is(bound($view, id => 'unrecorded', source => 'shop', person => $person), '', 'an event');
ok(polled('postgres', "SELECT state = 'failed' FROM tiktok.worker_status WHERE database = 'postgres'"), 'a worker that cannot record');
sql('ALTER TABLE tiktok.delivery DROP CONSTRAINT none');
ok(Rehearsal::drained($node, 20), 'records it in the end');

#
# Where to look, while all of this is fresh
#
sql('SELECT tiktok.grant_reader($$reader$$)', $_) for qw(postgres track row);
for my $db (qw(postgres track row))
{
	my $objects = sql(<<'SQL', $db);
SELECT 'SELECT * FROM ' || oid::regclass FROM pg_class WHERE relnamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND relkind IN ('r', 'v', 'm') AND has_table_privilege('reader', oid, 'SELECT')
UNION ALL
SELECT format('SELECT * FROM %s(%s)', oid::regproc, (SELECT string_agg(CASE t WHEN 'text'::regtype THEN $$'shop'$$ WHEN 'timestamptz'::regtype THEN CASE n WHEN 2 THEN 'now()' ELSE $$now() - interval '1 day'$$ END ELSE 'NULL' END, ', ' ORDER BY n)
	FROM unnest(proargtypes) WITH ORDINALITY a(t, n)))
FROM pg_proc WHERE pronamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND has_function_privilege('reader', oid, 'EXECUTE') AND oid::regproc::text !~ '^tiktok_internal\.report_|^tiktok\.self_test$'
SQL
	($out, $err) = run_script($db, "SET ROLE reader;\n" . join '', map { "$_;\n" } split /\n/, $objects);
	unlike($err, qr/permission denied/, "$db: a reader may look") or diag($err);
	look_at('views and functions of readers', $out);
	look_at('error texts', $err);
	look_at('report', sql("SET ROLE reader; SELECT tiktok.report_html(now() - interval '1 day', now() + interval '1 hour')", $db));
	look_at('tables of what became of events', sql("TABLE tiktok.$_", $db)) for qw(request delivery retry source_state source_control cursor installation report_state report_fetch);
	look_at('payloads', sql('SELECT * FROM tiktok.event', $db));
}
look_at('statement statistics', sql("SELECT query FROM pg_stat_statements WHERE query !~ 'control:'"));


# Memory of the worker: when everything is done, and while it waits for an answer; then a core file
sub titles { return join "\n", map { eval { slurp_file("/proc/$_/cmdline") } // () } split /\n/, sql('SELECT pid FROM pg_stat_activity') }

# an answer has told the first one
$tiktok->control('POST', 'tokens', { tokens => [$next_token] });
put_token('shop', $next_token);
is(bound($view, id => 'last', source => 'shop', person => $person), '', 'an event');
ok(Rehearsal::drained($node, 20), 'is sent with the next token');
my $pid = worker('postgres');
look_at('process titles', titles());
my $memory = memory($pid) // { own => '', shared => '' };
look_at('own memory of an idle worker', $memory->{own});
look_at('memory that all processes share', $memory->{shared});
ok(index($_, $next_token) < 0, 'a token in a file is in no memory but its own') for values %$memory;
$tiktok->script({ action => 'hang' });
is(bound($view, id => 'core', source => 'shop', person => $person), '', 'an event');
ok(polled('postgres', "SELECT in_flight = 1 FROM tiktok.worker_status WHERE database = 'postgres'"), 'is on its way');
look_at('process titles', titles());
$memory = memory($pid) // { own => '' };
look_at('own memory of a sending worker', $memory->{own});
ok(index($memory->{own}, $_) < 0, 'nor is it while a request is under way, nor is another') for $next_token, $stored_token;
system("prlimit --pid $pid --core=unlimited");
kill 'ABRT', $pid;
ok(polled('postgres', "SELECT pid <> $pid FROM tiktok.worker_status WHERE database = 'postgres'"), 'a worker that crashes is followed by another');
SKIP:
{
	my ($core) = glob($node->data_dir . '/core*');

	skip 'core files are not written here', 2 if !defined $core;
	my $bytes = slurp_file($core);
	cmp_ok(index($bytes, 'zqxm.bound'), '>', 0, 'control: a core file has what is in memory');
	is(index($bytes, $next_token), -1, 'but not a token from a file');
	unlink $core;
}
$tiktok->script;
ok(Rehearsal::drained($node, 30), 'the event arrives in the end');

# What was logged, and shown of activity, all the while
kill 'TERM', $sampler;
waitpid $sampler, 0;
$node->stop;
my @log = split /^/m, slurp_file($node->logfile);
my @others = grep { index($_, 'control: zqxtoken') < 0 } @log;
cmp_ok(scalar @others, '<', scalar @log, 'control: what is logged is found');
ok(scalar(grep { /^[^\]]*\] (?:\S+ )?DEBUG:/ } @others), 'the log is talkative');
ok(scalar(grep { /Query Text: SELECT s\.id, s\.name/ } @others), 'the worker\'s queries are explained');
ok(scalar(grep { /still waiting for/ } @others), 'waits for locks are told');
ok(scalar(grep { /Failed process was running: tiktok_events: sending 1 request/ } @others), 'a crash says what the worker did');
is(scalar(grep { /PANIC/ } @others), 0, 'no panic');
# From 18 on debug messages of asynchronous I/O and of the loader have the text that PL/pgSQL runs, the application's: docs/privacy.md says so
my $log = join '', @others;
my $begin = qr/^\S+ \S+ \S+ [^\[\n]*\[\d+\] /m;
$log =~ s/$begin.*DEBUG:  \S+ (?:io \d|find_in_path).*\n\K(?:$begin.*(?:QUERY|CONTEXT):  .*\n(?:\t.*\n)*)+//gm;
look_at('server log', $log);
look_at('activity', slurp_file("$dir/activity"));

# The table
diag(sprintf '%-34s %9s' . ' %12s' x @kinds, 'place', 'bytes', @kinds);
diag(sprintf '%-34s %9d' . ' %12s' x @kinds, $_->{place}, $_->{bytes}, map { $_ || '.' } @{ $_->{hits} }{@kinds}) for @table;
my %meant = (
	'code for the page' => qr/^hash$/,
	'tiktok.identity on disk' => qr/./,
	'memory that all processes share' => qr/./,
	# identifiers of what was sent lately; tokens are looked for above
	'own memory of an idle worker' => qr/./,
	'own memory of a sending worker' => qr/./,
	# the page's address has it
	'payloads' => qr/^click id$/);
for my $row (@table)
{
	my @found = grep { $row->{hits}{$_} && $_ !~ ($meant{ $row->{place} } // qr/^$/) } @kinds;

	is("@found", '', "$row->{place}: nothing that is not meant to be there") or diag(map { "$_: $row->{first}{$_}\n" } @found);
	cmp_ok($row->{bytes}, '>', 0, "$row->{place}: there was something to look at");
}
done_testing();
