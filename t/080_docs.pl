# The documentation is true: every block of SQL in it runs as it is printed, and answers as it says.
#
# A page is run from top to bottom in one psql session, in a new database "shop" that delivers to the rehearsal server; the access token
# in the pages is $TOKEN below.  What readers bring (their tables, their orders) is made by blocks that they do not see.
#
#	```sql		run.  What fails ends the page's session; the next block begins another.
#	```text		directly after: the expected answer, without command tags (psql --quiet).  The width of columns does not matter, and any time
#				stands for any other.  "..." in a line stands for anything; alone on a line, for any lines.
#	```sh		shown; run if <!-- run --> stands before it, in an empty folder, with PGHOST, PGPORT and PGDATABASE set
#	```console	the same for a dialogue: what follows "$ " is run, the rest is the expected answer
#	```python	the same for a program; not run where a module is missing
#
# A comment directly before a block changes what happens:
#
#	<!-- not run: reason -->		skips the block
#	<!-- error: 23505 -->			expects this SQLSTATE, or an error message that contains this text
#	<!-- as: role -->				runs it as another role
#	<!-- run						runs what follows up to the end of the comment, as SQL, or as the language behind the word: "<!-- run sh"
#
# PAGES in the environment names the pages to run: PAGES=docs/mapping.md
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $TOKEN = '0123456789abcdef0123456789abcdef01234567';
my $SECONDS = 60;				# longest time of a block
my $root = "$FindBin::Bin/..";
my $languages = 'sql|sh|console|python';
my $looks_like_sql = qr/^\s*(postgres=|SELECT |INSERT INTO|UPDATE |DELETE FROM|CREATE |ALTER |CALL )/m;
my @skipped;

# The blocks of a page, in order: { line, language, code, and by kind of mark not_run, error, as, run; expected, mistake }.
sub blocks
{
	my ($page) = @_;
	my @lines = split /\n/, slurp_file("$root/$page");
	my (@blocks, %marks);
	my $previous = '';			# what stood before, across blank lines

	for (my $i = 0; $i < @lines; $i++)
	{
		my $line = $i + 1;
		if ($lines[$i] =~ /^(\s*)(```+)\s*(\w*)\s*$/)
		{
			my ($indent, $fence, $language) = ($1, $2, $3);
			my @code;
			push @code, $lines[$i] =~ s/^$indent//r while ++$i < @lines && $lines[$i] !~ /^\s*$fence\s*$/;
			my $block = { line => $line, language => $language, code => join('', map { "$_\n" } @code), %marks };
			if ($language eq 'text' && $previous eq 'sql')
			{
				$blocks[-1]{expected} = $block->{code};
			}
			elsif ($language =~ /^($languages)$/)
			{
				push @blocks, $block;
			}
			elsif ($block->{code} =~ $looks_like_sql)
			{
				push @blocks, { %$block, mistake => 'SQL in a block that is not marked as sql' };
			}
			$previous = $language;
			%marks = ();
		}
		elsif ($lines[$i] =~ /^\s*<!--\s*run(?: (\w+))?$/)
		{
			my $language = $1 // 'sql';
			my @code;
			push @code, $lines[$i] while ++$i < @lines && $lines[$i] !~ /^\s*-->\s*$/;
			push @blocks, { line => $line, language => $language, code => join('', map { "$_\n" } @code), run => 1, %marks };
			$previous = '';
			%marks = ();
		}
		elsif ($lines[$i] =~ /^\s*<!--\s*(?:(not run|error|as):\s*(\S.*?)|(run))\s*-->\s*$/)
		{
			my ($mark, $what) = ($1 // $3, $2 // 1);
			$marks{ $mark =~ s/ /_/r } = $what;
			$previous = '';
		}
		elsif ($lines[$i] =~ /\S/)
		{
			push @blocks, { line => $line, mistake => 'a mark without a block' } if %marks;
			push @blocks, { line => $line, mistake => 'no mark that is known' } if $lines[$i] =~ /^\s*<!--\s*(not run|error|as|run)\b/;
			push @blocks, { line => $line, mistake => 'SQL outside of a block' } if $lines[$i] =~ /^ {4}/ && $lines[$i] =~ $looks_like_sql;
			$previous = '';
			%marks = ();
		}
	}
	return @blocks;
}

# One psql for a page
sub start_psql
{
	my ($node) = @_;
	my $psql = { in => '', out => '' };

	$psql->{run} = IPC::Run::start([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-P', 'pager=off', '-d', $node->connstr('shop') ],
		'<', \$psql->{in}, '>&', \$psql->{out}, $psql->{timer} = IPC::Run::timer($SECONDS));
	return $psql;
}

# Returns whether psql is still there, what it said, and the SQLSTATE of the last error
sub run_sql
{
	my ($psql, $block) = @_;
	my $end = "end of the block at line $block->{line}:";

	$psql->{out} = '';
	$psql->{timer}->start($SECONDS);
	$psql->{in} .= "SET SESSION AUTHORIZATION \"$block->{as}\";\n" if $block->{as};
	$psql->{in} .= "\\set ON_ERROR_STOP off\n" if $block->{error};
	$psql->{in} .= "\\set LAST_ERROR_SQLSTATE 00000\n$block->{code}\\echo '$end' :LAST_ERROR_SQLSTATE\n\\set ON_ERROR_STOP on\n";
	$psql->{in} .= "RESET SESSION AUTHORIZATION;\n" if $block->{as};
	until ($psql->{out} =~ /^\Q$end\E \w+\n/m)
	{
		if (!$psql->{run}->pumpable || $psql->{timer}->is_expired)
		{
			$psql->{run}->kill_kill;
			return (0, $psql->{out} . ($psql->{timer}->is_expired ? "took more than $SECONDS s\n" : ''), '');
		}
		$psql->{run}->pump;
	}
	return (1, $psql->{out} =~ /\A(.*)^\Q$end\E (\w+)\n/ms);
}

# A statement without its end would become part of the next block.
sub is_complete
{
	my ($code) = @_;

	1 while $code =~ s/(^|\s)--[^\n]*\n*\z/$1/;
	return $code =~ /(;|^\s*\\[^\n]*|\\g\w*[^\n]*)\s*\z/m;
}

# What the comparison does not see: width of columns, ends of lines, times
sub plain
{
	my ($text) = @_;

	$text =~ s/\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d(:?\d\d)?|Z)?/TIME/g;
	$text =~ s/\d{4}-\d\d-\d\d/DATE/g;
	$text =~ s/(\d+ days? )?-?\b\d\d:\d\d:\d\d(\.\d+)?/INTERVAL/g;
	$text =~ s/[ \t]+/ /g;
	$text =~ s/--+/--/g;
	$text =~ s/ $//gm;
	$text =~ s/\n\n+/\n/g;
	$text =~ s/^\n+|\n+\z//g;
	return "$text\n";
}

sub is_expected
{
	my ($got, $expected) = @_;
	my $pattern = '';

	for my $line (split /\n/, plain($expected))
	{
		$pattern .= $line =~ /^ ?\.\.\.$/ ? '(?:.*\n)*' : join('.*', map { quotemeta } split /\.\.\./, $line, -1) . '\n';
	}
	return plain($got) =~ /\A$pattern\z/;
}

# Runs a program; of a dialogue, all its commands.  Returns whether it succeeded, and what it said.
sub run_program
{
	my ($block, $env) = @_;
	my $code = $block->{code};
	my @command = $block->{language} eq 'python' ? ('/usr/bin/python3', '-') : ('bash', '-es');
	my $out = '';

	$code = join '', $code =~ /^\$ (.*\n)/gm if $block->{language} eq 'console';
	my $ok = IPC::Run::run(\@command, '<', \$code, '>&', \$out, init => sub { chdir $env->{dir}; %ENV = (%ENV, %{ $env->{variables} }) },
		IPC::Run::timeout($SECONDS));
	return ($ok, $out);
}

sub shell_block
{
	my ($where, $block, $env) = @_;
	my ($good, $out) = run_program($block, $env);
	my $expected = $block->{language} eq 'console' ? $block->{code} =~ s/^\$ .*\n//gmr : $block->{expected};

	if ($out =~ /^ModuleNotFoundError: (.*)/m)
	{
		push @skipped, "$where: $1";
		return;
	}
	$good &&= is_expected($out, $expected) if defined $expected;
	ok($good, $where) or diag("$block->{code}-- got:\n$out", defined $expected ? "-- expected:\n$expected" : '');
}

sub sql_block
{
	my ($where, $block, $psql) = @_;

	if (!is_complete($block->{code}))
	{
		ok(0, $where);
		diag("$block->{code}-- the last statement has no end");
		return 1;
	}
	my ($alive, $out, $sqlstate) = run_sql($psql, $block);
	my $good = $alive;
	$good &&= $sqlstate eq $block->{error} || ($sqlstate ne '00000' && index($out, $block->{error}) >= 0) if $block->{error};
	$good &&= is_expected($out, $block->{expected}) if defined $block->{expected};
	ok($good, $where)
	  or diag("$block->{code}-- got:\n$out", $block->{error} ? "-- expected error $block->{error}, got $sqlstate\n" : '',
		defined $block->{expected} ? "-- expected:\n$block->{expected}" : '');
	return $alive;
}

sub run_page
{
	my ($node, $page) = @_;
	my %env = (
		dir => PostgreSQL::Test::Utils::tempdir(),
		variables => { PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'shop' });
	my $psql;

	for my $block (blocks($page))
	{
		my $where = "$page:$block->{line}";
		if ($block->{mistake})
		{
			ok(0, "$where: $block->{mistake}");
		}
		elsif ($block->{not_run})
		{
			push @skipped, "$where: $block->{not_run}";
		}
		elsif ($block->{language} ne 'sql')
		{
			shell_block($where, $block, \%env) if $block->{run};
		}
		else
		{
			$psql //= start_psql($node);
			sql_block($where, $block, $psql) or undef $psql;
		}
	}
	return unless $psql;
	$psql->{in} .= "\\q\n";
	$psql->{run}->finish;
}

# Makes the cluster as it was before a page.
sub clean
{
	my ($node, $api) = @_;

	$node->safe_psql('postgres', 'ALTER SYSTEM RESET ALL');
	$node->reload;
	for my $database (split /\n/, $node->safe_psql('postgres', "SELECT quote_ident(datname) FROM pg_database WHERE datname <> 'postgres' AND NOT datistemplate"))
	{
		$node->safe_psql('postgres', "DROP DATABASE $database WITH (FORCE)");
	}
	for my $role (split /\n/, $node->safe_psql('postgres', 'SELECT quote_ident(rolname) FROM pg_roles WHERE oid >= 16384'))
	{
		$node->safe_psql('postgres', "DROP OWNED BY $role; DROP ROLE $role");
	}
	$api->reset_all;
}

my $api = Rehearsal->start('--token', $TOKEN);
my $node = $api->cluster('docs', timezone => 'UTC');
my @pages = map { s{^\Q$root\E/}{}r } grep { -e } "$root/README.md", "$root/CONTRIBUTING.md", sort glob("$root/docs/*.md $root/docs/*/README.md");
@pages = split ' ', $ENV{PAGES} if $ENV{PAGES};

$ENV{PGCLIENTENCODING} = 'UTF8';
for my $page (@pages)
{
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
	run_page($node, $page);
	clean($node, $api);
}
note("not run: $_") for @skipped;
note(scalar(@skipped) . ' blocks were not run');

$node->stop;
$api->stop;
done_testing();
