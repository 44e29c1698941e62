# Beside extensions that take nearly all relcache callbacks of a process (PostgreSQL has room for ten), orders are written and their events delivered.
# The other extension is t/crowded.c, which is compiled here.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;

my $here = dirname(__FILE__);
my $dir = PostgreSQL::Test::Utils::tempdir();
my $compiler = $ENV{CC} // 'cc';
my $include = `pg_config --includedir-server` =~ s/\s+$//r;
plan skip_all => "no C compiler: $compiler" if system($compiler, '-shared', '-fPIC', '-O2', "-I$include", '-o', "$dir/crowded.so", "$here/crowded.c") != 0;

my $tiktok = Rehearsal->start;
my $node = $tiktok->cluster('crowded', shared_preload_libraries => "$dir/crowded.so, tiktok_events");
$tiktok->sources($node);
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE orders (id int PRIMARY KEY, email text);
CREATE TRIGGER tiktok AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'email=email', 'url=''https://shop.example.com/''');
SQL
my ($rc, undef, $err) = $node->psql('postgres', "INSERT INTO orders VALUES (1, 'ana\@example.com')");
is("$rc $err", '0 ', 'an order is written');
ok(Rehearsal::drained($node, 20), 'and its event delivered');
is(Rehearsal::statuses($node), 'delivered 1', 'once');
$node->stop;
done_testing();
