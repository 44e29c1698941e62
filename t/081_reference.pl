# docs/reference.md is what script/make_reference makes of a server that has the extension, and knows every word that an event's reason can be.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $root = "$FindBin::Bin/..";
my $api = Rehearsal->start;
my $node = $api->cluster('reference');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $written = slurp_file("$root/docs/reference.md");
my ($made, $trouble);

# The words in the source, beside those that are put together: each is set as a status or by one of these functions.
sub reasons
{
	my %words;

	for my $file (glob "$root/src/*/*.c")
	{
		my $code = slurp_file($file);
		$words{$1} = 1 while $code =~ /\b(?:tte_builder_reject|tte_event_fail)\(event, \w+, "(\w+)"/g;
		$words{$1} = 1 while $code =~ /->reason = "(\w+)"/g;
		$words{$1} = 1 while $code =~ /\bTteRequired \w+ = \{\w+, "(\w+)"/g;
		$words{$1} = 1 while $code =~ /\bsuppress\(&\w+, "(\w+)"/g;
		$words{$_} = 1 for map { /"(\w+)"/g } $code =~ /\brecord_unsent\(\w+, &[^,]+, "\w+", ([^;]*?), (?:true|false)/g;
		$words{$1} = 1 while $code =~ /\bfinal = \{\w+, "invalid", "(\w+)"/g;
		$words{$1} = 1 while $code =~ /'invalid' END, '(\w+)'/g;
	}
	return sort keys %words;
}

ok(IPC::Run::run([ "$root/script/make_reference", $node->connstr('postgres') ], '>', \$made, '2>', \$trouble), 'the reference is made')
  or diag($trouble);
if (!ok($made eq $written, 'docs/reference.md is what is made'))
{
	append_to_file("$dir/made", $made);
	diag(scalar `diff -u "$root/docs/reference.md" "$dir/made"`);
}

my @reasons = reasons();
cmp_ok(scalar @reasons, '>=', 30, 'the source has words for reasons');
my ($table) = $written =~ /^### Reasons\n(.*?)^##/ms;
is(join(' ', grep { $table !~ /`$_`/ } @reasons), '', 'the reference explains all of them');
my ($statuses) = $written =~ /^### Statuses\n(.*?)^##/ms;
my $comment = $node->safe_psql('postgres', "SELECT col_description('tiktok.event_status'::regclass, attnum) FROM pg_attribute WHERE attrelid = 'tiktok.event_status'::regclass AND attname = 'status'");
# pending or retrying: ... Final: delivered (...), rejected (...), ...
my @statuses = ($comment =~ s/\([^)]*\)|:.*?Final:| or|,//gr) =~ /\w+/g;
cmp_ok(scalar @statuses, '>=', 9, "the view names its statuses: @statuses");
is(join(' ', grep { $statuses !~ /`$_`/ } @statuses), '', 'and the reference explains all of them');

$node->stop;
$api->stop;
done_testing();
