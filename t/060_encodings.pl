# Databases of other encodings and locales: what is sent is valid UTF-8, and the same customer has the same hashes everywhere.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Encode qw(decode encode);
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use JSON::PP;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $tiktok = Rehearsal->start('--whole-events', '--keep-bodies', '1000');
my $node = $tiktok->cluster('encoding', max_worker_processes => 24, 'tiktok_events.max_workers' => 16);

# Every database, and which customers can be written in its encoding
my @databases = (
	[ 'utf8_c', "ENCODING 'UTF8' LOCALE 'C'", qw(ascii latin russian japanese) ],
	[ 'utf8_posix', "ENCODING 'UTF8' LOCALE 'C.UTF-8'", qw(ascii latin russian japanese) ],
	[ 'utf8_english', "ENCODING 'UTF8' LOCALE 'en_US.UTF-8'", qw(ascii latin russian japanese) ],
	[ 'utf8_turkish', "ENCODING 'UTF8' LOCALE 'tr_TR.UTF-8'", qw(ascii latin russian japanese) ],
	[ 'utf8_icu', "ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'", qw(ascii latin russian japanese) ],
	[ 'sql_ascii', "ENCODING 'SQL_ASCII' LOCALE 'C'", qw(ascii latin russian japanese) ],
	[ 'latin1', "ENCODING 'LATIN1' LOCALE 'C'", qw(ascii latin) ],
	[ 'win1251', "ENCODING 'WIN1251' LOCALE 'C'", qw(ascii russian) ],
	[ 'euc_jp', "ENCODING 'EUC_JP' LOCALE 'C'", qw(ascii russian japanese) ]);

# As they are typed; what is hashed of them; and what stays in clear.  Bytes of UTF-8 throughout.
my %customers = (
	ascii => {
		given => { mail => ' INFO@ISTANBUL.Example ', first => 'IRIS', last => "O'Hara-Irving", city => 'ISPARTA', note => 'plain "text"' },
		hashed => { email => 'info@istanbul.example', first_name => 'iris', last_name => 'oharairving' },
		clear => { city => 'isparta' }
	},
	latin => {
		given => { mail => 'JOSÉ@Example.com', first => 'JOSÉ', last => 'Müller-Straße', city => 'São Tomé', note => 'Crème brûlée' },
		hashed => { email => 'josé@example.com', first_name => 'josé', last_name => 'müllerstraße' },
		clear => { city => 'saotome' }
	},
	russian => {
		given => { mail => 'Иван@Example.com', first => 'ИВАН', last => 'Петров', city => 'Paris', note => 'Заказ №' },
		hashed => { email => 'иван@example.com', first_name => 'иван', last_name => 'петров' },
		clear => { city => 'paris' }
	},
	japanese => {
		given => { mail => 'taro@Example.com', first => '太郎', last => '山田', city => 'Tokyo', note => '東京で購入' },
		hashed => { email => 'taro@example.com', first_name => '太郎', last_name => '山田' },
		clear => { city => 'tokyo' }
	});

sub sql
{
	my ($db, $sql) = @_;
	return $node->safe_psql($db, "SET client_encoding = 'UTF8'; $sql");
}

sub sql_at { my ($db, $encoding, $sql) = @_; return $node->safe_psql($db, "SET client_encoding = '$encoding'; $sql") }
sub quoted { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" }

# The event as it was received, or undef.
sub received
{
	my ($db, $id) = @_;
	my $found = $tiktok->events("?event_source_id=" . uc($db) . "&event_id=$id&accepted=true");
	return @$found ? $found->[0]{data} : undef;
}

sub fate
{
	my ($db, $id) = @_;
	return sql($db, "SELECT concat_ws(' ', status, reason, '(' || notes || ')') FROM tiktok.event_status WHERE event_id = '$id'");
}

sub make_database
{
	my ($db, $options) = @_;
	my ($result, undef, $error) = $node->psql('postgres', "CREATE DATABASE $db TEMPLATE template0 $options");

	return 0 if $result != 0;
	my $source_id = uc $db;
	sql($db, <<SQL);
CREATE EXTENSION tiktok_events;
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', '$source_id');
SELECT tiktok.set_access_token('shop', '$Rehearsal::TOKEN');
CREATE TABLE customers (id text PRIMARY KEY, mail text, first text, last text, city text, note text, data json);
CREATE TRIGGER tiktok AFTER INSERT ON customers FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'CompleteRegistration',
	'event_id=id', 'email=mail', 'first_name=first', 'last_name=last', 'city=city', 'description=note', 'search_string=data.note',
	'external_id=data.id', 'ttp=''T''', 'url=''https://shop.example.com/''');
SQL
	return 1;
}

sub insert
{
	my ($db, $id, $customer) = @_;
	my @columns = sort keys %$customer;

	sql($db, sprintf("INSERT INTO customers (id, %s) VALUES ('%s', %s)", join(', ', @columns), $id,
		join(', ', map { quoted($customer->{$_}) } @columns)));
}

# The same customers everywhere
my @made;
foreach my $database (@databases)
{
	my ($db, $options, @names) = @$database;

	if (!make_database($db, $options))
	{
		note("this server has no database $db ($options)");
		next;
	}
	push @made, $db;
	insert($db, $_, $customers{$_}{given}) for @names;
}
cmp_ok(scalar @made, '>=', 5, 'databases: ' . join(', ', @made));
foreach my $database (grep { my $db = $_->[0]; grep { $_ eq $db } @made } @databases)
{
	my ($db, undef, @names) = @$database;

	ok(Rehearsal::drained($node, 60, $db), "$db: all finished");
	foreach my $name (@names)
	{
		my $customer = $customers{$name};
		my %user = (ttp => 'T', %{ $customer->{clear} }, map { $_ => sha256_hex($customer->{hashed}{$_}) } keys %{ $customer->{hashed} });
		my $event = received($db, $name);

		is_deeply($event->{user}, \%user, "$db: the $name customer has the same hashes");
		is($event->{properties}{description}, decode('UTF-8', $customer->{given}{note}), "$db: and the same text");
		is(sql($db, "SELECT tiktok.hash_first_name(first) || tiktok.hash_email(mail) FROM customers WHERE id = '$name'"),
			$user{first_name} . $user{email}, "$db: as the functions say");
		is(sql($db, "SELECT tiktok.normalize_last_name(last) FROM customers WHERE id = '$name'"),
			$customer->{hashed}{last_name}, "$db: normalised in the encoding of the database");
	}
}

# A call and its preview agree with the trigger
foreach my $database (grep { my $db = $_->[0]; grep { $_ eq $db } @made } @databases)
{
	my ($db, undef, @names) = @$database;
	my $call = "user_data => jsonb_build_object('email', mail, 'first_name', first, 'last_name', last, 'city', city, 'ttp', 'T'), "
	  . "properties => jsonb_build_object('description', note), page => '{\"url\": \"https://shop.example.com/\"}'";

	foreach my $name (@names)
	{
		my $shown = sql($db, "SELECT tiktok.preview('shop', 'CompleteRegistration', id || '-call', $call) FROM customers WHERE id = '$name'");

		sql($db, "SELECT tiktok.track('shop', 'CompleteRegistration', id || '-call', $call) FROM customers WHERE id = '$name'");
		ok(Rehearsal::drained($node, 60, $db), "$db: all finished");
		my $event = received($db, "$name-call");
		is_deeply($event->{user}, received($db, $name)->{user}, "$db: tiktok.track has the hashes of the trigger ($name)");
		$shown = decode_json($shown);
		$shown->{event_time} = $event->{event_time};
		is_deeply($event, $shown, "$db: tiktok.preview shows what is sent");
	}
}

# SQL_ASCII: bytes that are no UTF-8
sql('sql_ascii', <<'SQL');
INSERT INTO customers (id, mail, first, last, city, note, data) VALUES
	('bytes', E'jos\xe9@example.com', E'Jos\xe9', E'\xff\xfe', E'K\xf6ln', E'caf\xe9 \xff and more', E'{"note": "na\xefve", "id": "\xc3\x28"}'),
	('overlong', E'a\xc0\xaf@example.com', E'\xed\xa0\x80', 'Good', NULL, E'\xf0\x9f\x98', NULL),
	(E'id\xe9', 'a@example.com', NULL, NULL, NULL, NULL, NULL);
CREATE TABLE keyed (id text PRIMARY KEY);
CREATE TRIGGER tiktok AFTER INSERT ON keyed FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'ttp=''T''', 'url=''https://shop.example.com/''');
INSERT INTO keyed VALUES (E'k\xe9'), (E'k\xe8');
SQL
ok(Rehearsal::drained($node, 60, 'sql_ascii'), 'sql_ascii: all finished');
is(fate('sql_ascii', 'bytes'),
	'delivered (email: encoding; external_id: encoding; first_name: encoding; last_name: encoding; city: encoding; properties.search_string: encoding_fixed; properties.description: encoding_fixed)',
	'identifiers with broken bytes are left out, other text is mended');
my $event = received('sql_ascii', 'bytes');
is_deeply($event->{user}, { ttp => 'T' }, 'no broken identifier is hashed');
is($event->{properties}{description}, "caf\x{FFFD} \x{FFFD} and more", 'a broken byte becomes U+FFFD');
is($event->{properties}{search_string}, "na\x{FFFD}ve", 'in JSON too');
is(fate('sql_ascii', 'overlong'), 'delivered (email: encoding; first_name: encoding; properties.description: encoding_fixed)', 'overlong forms, half characters and cut ones');
is_deeply(received('sql_ascii', 'overlong')->{user}, { ttp => 'T', last_name => sha256_hex('good') }, 'what is sound is sent');
is(sql('sql_ascii', "SELECT status || ' ' || reason FROM tiktok.event_status WHERE event_id LIKE 'id%'"), 'invalid event_id', 'an event_id must be ASCII');
is(sql('sql_ascii', "SELECT count(DISTINCT event_id) || ' ' || min(status) FROM tiktok.event_status WHERE event = 'Contact'"), '2 delivered',
	'keys of broken bytes make ids that differ');
is(sql('sql_ascii', "SELECT tiktok.hash_email(mail) IS NULL, tiktok.normalize_first_name(first) IS NULL FROM customers WHERE id = 'bytes'"), 't|t', 'the functions say the same');
like(sql('sql_ascii', "SELECT string_agg(what, ' ') FROM customers, tiktok.explain_identifier('email', mail) WHERE id = 'bytes'"), qr/left out, encoding/, 'and explain it');

# LATIN1: an escape in json that the encoding has no character for
sql('latin1', <<'SQL');
INSERT INTO customers (id, mail, data) VALUES ('escape', 'a@example.com', '{"note": "\u0416\ud83d\ude00", "id": "\u0416"}'), ('half', 'a@example.com', '{"note": "a\ud800", "id": "\ufffd"}');
SQL
ok(Rehearsal::drained($node, 60, 'latin1'), 'latin1: all finished');
is(received('latin1', 'escape')->{properties}{search_string}, "\x{416}\x{1F600}", 'characters beyond the encoding of the database arrive');
is(received('latin1', 'escape')->{user}{external_id}, sha256_hex(encode('UTF-8', "\x{416}")), 'and are hashed as UTF-8');
is(fate('latin1', 'half'), 'delivered (external_id: encoding; properties.search_string: encoding_fixed)', 'half a character is mended, and no identifier is made of it');

# LATIN1: a stage that in UTF-8 would be longer than any text
is(sql('latin1', <<'SQL'), '270000000', 'a row with a stage of 270 MB is written');
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('crm', 'crm', '7400000000000000001');
CREATE TABLE leads (id int PRIMARY KEY, stage text, lead text);
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON leads FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('crm', '=stage', 'lead_id=lead');
INSERT INTO leads VALUES (1, repeat('y', 270000000), '7412345678901234567');
SELECT length(stage) FROM leads;
SQL

# WIN1251 and EUC_JP: codes without a character
sql_at('win1251', 'WIN1251', q{INSERT INTO customers (id, mail, first, note) VALUES ('hole', E'a\x98@example.com', E'\xc8\x98', E'a\x98b')});
sql_at('euc_jp', 'EUC_JP', q{INSERT INTO customers (id, mail, first, note) VALUES ('hole', E'a\xf5\xa1@example.com', E'\xbb\xb3\xf5\xa1', E'a\xf5\xa1b')});
foreach my $db (qw(win1251 euc_jp))
{
	ok(Rehearsal::drained($node, 60, $db), "$db: all finished");
	$event = received($db, 'hole');
	is_deeply($event->{user}, { ttp => 'T' }, "$db: no identifier of a code without a character");
	is($event->{properties}{description}, "a\x{FFFD}b", "$db: other text is mended");
	is(fate($db, 'hole'), 'delivered (email: encoding; first_name: encoding; properties.description: encoding_fixed)', "$db: and the reasons are noted");
}

# What was on the wire
my @bodies = @{ $tiktok->bodies(1000) };
my %utf8 = map { uc($_) => 1 } grep { /^utf8/ } @made;
my @plain = grep { !$utf8{ decode_json(encode('UTF-8', $_->{body}))->{event_source_id} } } @bodies;
cmp_ok(scalar @plain, '>', 4, 'requests of databases that are not in UTF8');
is(scalar(grep { $_->{body} =~ /[^\x20-\x7e]/ } @plain), 0, 'are pure ASCII');
is(scalar(grep { length(encode('UTF-8', $_->{body})) != $_->{bytes} } @bodies), 0, 'every request is valid UTF-8');
is($tiktok->stats->{refused_events}, 0, 'none was refused');

# Everything can be read in each database
is(join(' ', map { sql($_, "SELECT count(*) = count(status) FROM tiktok.event_status") } @made), join(' ', ('t') x @made), 'tiktok.event_status can be read');
is(join(' ', map { sql($_, 'SELECT bool_and(passed) FROM tiktok.self_test()') } @made), join(' ', ('t') x @made), 'tiktok.self_test() passes');

$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|terminated by signal/, 'no crash');
unlike($log, qr/ERROR: (?!.*(?:invalid (?:LC_\w+ )?locale name|does not match locale|ICU is not supported|collator))/, 'no error in any database');

done_testing();
