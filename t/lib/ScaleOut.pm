# The statements of docs/scale-out.md, for the tests that run them.
package ScaleOut;

use strict;
use warnings;

use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Rehearsal;

# The blocks of the page that a test runs, by what the page calls them.
sub blocks
{
	my ($test) = @_;
	my $page = slurp_file(dirname(__FILE__) . '/../../docs/scale-out.md');
	my %blocks = $page =~ /^<!-- not run: ([^;]+); t\/(?:$test)\.pl runs it -->\n```sql\n(.*?)^```$/msg;
	return %blocks;
}

# A block as it stands there, but for names: for shard $n with its number, and with the servers' real addresses.
sub adapted
{
	my ($sql, $n, $hub, $shard) = @_;

	$sql =~ s/shard1/shard$n/g;
	$sql =~ s/% 16 = 1\b/% 16 = $n/g;
	$sql =~ s/START WITH 1 RESTART/START WITH $n RESTART/g;
	$sql =~ s/'TOKEN'/'$Rehearsal::TOKEN'/g;
	$sql =~ s/host=hub\.example\.com dbname=shop/$hub->connstr . ' dbname=postgres'/ge;
	$sql =~ s/host=shard$n\.example\.com dbname=shop/$shard->connstr . ' dbname=postgres'/ge;
	return $sql;
}

1;
