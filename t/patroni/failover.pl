# Three nodes that Patroni manages, with etcd, on this machine: orders flow at a steady rate while the primary changes, with asynchronous and with
# synchronous replication.  No event is lost and no order is counted twice; script/test-patroni prints how many orders and seconds each change costs.
#
# Two sources record the same orders: for "shop" event_id is the order's number, for "store" it is derived from the primary key, which is a sequence,
# and which two primaries may assign to two orders; that is shown, not tested.
use strict;
use warnings;

use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use lib dirname(__FILE__) . '/../lib';
use HTTP::Tiny;
use IO::Select;
use IPC::Open2;
use IPC::Run;
use JSON::PP;
use List::Util qw(first max);
use POSIX;
use PostgreSQL::Test::Utils;
use Rehearsal;
use Test::More;
use Time::HiRes qw(sleep time);

my ($patroni, $etcd) = map { my $name = $_; first { -x } map { "$_/$name" } qw(/usr/bin /usr/local/bin) } qw(patroni etcd);
plan skip_all => 'no patroni' unless $patroni;
plan skip_all => 'no etcd' unless $etcd;

my $RATE = 20;        # orders a second
my $STEADY = 4;       # seconds before a change and after it
my $PATIENCE = 3;     # seconds after which the application gives up a statement

my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $tokens = PostgreSQL::Test::Utils::tempdir();
my $bin = `pg_config --bindir` =~ s/\s+$//r;
my $tiktok = Rehearsal->start('--whole-events');
my $etcd_port = free_port();
my %node = map { $_ => { name => $_, port => free_port(), rest => free_port(), data => "$dir/$_" } } qw(a b c);
my $connection = 'host=' . join(',', ('127.0.0.1') x 3) . ' port=' . join(',', map { $node{$_}{port} } sort keys %node)
  . ' user=postgres dbname=postgres connect_timeout=2 target_session_attrs=read-write';
my %running;
my $changes = 0;

sub free_port { return PostgreSQL::Test::Cluster::get_free_port() }

sub start_program
{
	my ($name, @command) = @_;
	my $pid = fork // die "fork: $!";

	return $running{$name} = $pid if $pid;
	open STDIN, '<', '/dev/null';
	open STDOUT, '>>', "$PostgreSQL::Test::Utils::log_path/patroni_$name.log";
	open STDERR, '>&', \*STDOUT;
	exec @command or POSIX::_exit(1);
}

sub end_program
{
	my ($name, $signal) = @_;
	my $pid = delete $running{$name} // return;

	kill $signal, $pid;
	return waitpid $pid, 0;
}

# Patroni ends its server, too, unless that is just starting
END
{
	local $?;
	kill 'CONT', map { processes($_) } values %node;
	kill 'TERM', values %running;
	for (1 .. 150)
	{
		waitpid($running{$_}, WNOHANG) and delete $running{$_} for keys %running;
		last unless %running;
		sleep 0.1;
	}
	kill 'KILL', map { processes($_) } values %node;
	end_program($_, 'KILL') for keys %running;
}

#
# The cluster
#

sub configuration
{
	my ($node) = @_;
	my %user = (username => 'postgres', password => 'x');
	my $address = "127.0.0.1:$node->{port}";

	return {
		scope => 'shop',
		name => $node->{name},
		restapi => { listen => "127.0.0.1:$node->{rest}", connect_address => "127.0.0.1:$node->{rest}" },
		etcd => { host => "127.0.0.1:$etcd_port" },
		bootstrap => {
			dcs => {
				ttl => 20,
				loop_wait => 5,
				retry_timeout => 5,
				postgresql => {
					use_pg_rewind => JSON::PP::true,
					parameters => {
						shared_preload_libraries => 'tiktok_events',
						'tiktok_events.endpoint' => $tiktok->{https_url},
						'tiktok_events.ca_file' => $tiktok->{ca_file} } } },
			initdb => [ 'data-checksums', { encoding => 'UTF8' }, { locale => 'C.UTF-8' } ] },
		postgresql => {
			listen => $address,
			connect_address => $address,
			data_dir => $node->{data},
			bin_dir => $bin,
			pgpass => "$dir/$node->{name}.pgpass",
			authentication => { superuser => \%user, replication => \%user, rewind => \%user },
			pg_hba => [ 'local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust' ],
			parameters => { unix_socket_directories => $dir } } };
}

sub start_patroni
{
	my ($node) = @_;
	my $file = "$dir/$node->{name}.yml";

	# JSON is YAML
	open my $fh, '>', $file or die $!;
	print $fh encode_json(configuration($node));
	close $fh;
	return start_program($node->{name}, $patroni, $file);
}

sub rest
{
	my ($node, $method, $path, $content) = @_;
	my %content = $content ? (content => encode_json($content)) : ();

	# a node that is frozen takes the connection and does not answer
	return HTTP::Tiny->new(timeout => $content ? 60 : 2)->request($method, "http://127.0.0.1:$node->{rest}/$path", \%content);
}

# On the primary; undefined if there is none just now
my $error;

sub ask
{
	my ($sql) = @_;
	my $out = '';

	$error = '';
	return IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $connection, '-c', $sql ], '>', \$out, '2>', \$error) ? $out =~ s/\n\z//r : undef;
}

sub sql { my ($sql) = @_; return ask($sql) // die $error }

# The node that the others follow, as Patroni tells
sub leader
{
	my ($other_than) = @_;

	return first { !($other_than && $_ == $other_than) && rest($_, 'GET', 'primary')->{status} == 200 } values %node;
}

# Every standby follows; with synchronous replication, one of them synchronously
sub healthy
{
	my ($synchronous) = @_;
	my $leader = leader() or return;
	my $found = ask("SELECT count(*), count(*) FILTER (WHERE sync_state = 'sync') FROM pg_stat_replication WHERE state = 'streaming' AND application_name IN ('a', 'b', 'c')") // '';

	return $found eq ($synchronous ? '2|1' : '2|0') && $leader;
}

sub postmaster
{
	my ($node) = @_;
	return -e "$node->{data}/postmaster.pid" && (split /\n/, slurp_file("$node->{data}/postmaster.pid"))[0];
}

# Patroni with its server, whose processes are children of the postmaster
sub processes
{
	my ($node) = @_;
	my $postmaster = postmaster($node);
	my @children = $postmaster ? split ' ', `ps -o pid= --ppid $postmaster` : ();

	return grep { $_ } $running{ $node->{name} }, $postmaster, @children;
}

sub kill_node
{
	my ($node) = @_;
	my @processes = processes($node);

	kill 'KILL', @processes;
	waitpid delete $running{ $node->{name} }, 0;
	return Rehearsal::await('end of the node', sub { !grep { kill 0, $_ } @processes });
}

#
# The application
#

# Writes orders at a steady rate, the same one again until it is acknowledged.  A proxy before the nodes would ask Patroni, too, where the primary is,
# and leave open connections alone.
sub application
{
	my ($name, $log, $stop) = @_;
	my ($next, $began) = (1, time);
	open my $fh, '>', $log or die $!;
	$fh->autoflush;
	$SIG{PIPE} = 'IGNORE';

	while (!-e $stop)
	{
		my ($out, $in);
		my $leader = leader();

		sleep 0.1;
		next unless $leader;
		my $pid = open2($out, $in, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', "host=127.0.0.1 port=$leader->{port} user=postgres dbname=postgres connect_timeout=2");
		my $said = '';

		$in->autoflush;
		while (!-e $stop)
		{
			my $give_up = time + $PATIENCE;
			print $fh "try $next\n";
			print $in "INSERT INTO orders (number, total) VALUES ('$name-$next', $next) ON CONFLICT (number) DO NOTHING;\n\\echo done $next\n";
			while ($said !~ /^done $next$/m)
			{
				IO::Select->new($out)->can_read(max(0, $give_up - time)) or last;
				sysread($out, $said, 1000, length $said) or last;
			}
			last if $said !~ /^done $next$/m;
			printf $fh "done $next %.3f\n", time;
			$said = '';
			$next++;
			sleep max(0, $began + $next / $RATE - time);
		}
		kill 'KILL', $pid;
		waitpid $pid, 0;
		close $_ for $in, $out;
		# a client that was away does not make up for it
		$began = time - $next / $RATE;
	}
	return;
}

sub start_application
{
	my ($name) = @_;
	my %app = (name => $name, log => "$dir/$name.log", stop => "$dir/$name.stop");

	$app{pid} = fork // die "fork: $!";
	return \%app if $app{pid};
	application($name, $app{log}, $app{stop});
	POSIX::_exit(0);
}

sub acknowledged { my ($app) = @_; return -e $app->{log} ? { slurp_file($app->{log}) =~ /^done (\d+) (\S+)$/mg } : {} }

sub progress
{
	my ($app, $seconds) = @_;
	my $from = keys %{ acknowledged($app) };

	return Rehearsal::await('orders', sub { keys %{ acknowledged($app) } >= $from + $seconds * $RATE }, 120);
}

sub stop_application
{
	my ($app) = @_;
	open my $fh, '>', $app->{stop} or die $!;
	close $fh;
	return waitpid $app->{pid}, 0;
}

#
# What it costs
#

sub longest_gap
{
	my @times = sort { $a <=> $b } @_;
	return max(0, map { $times[$_] - $times[ $_ - 1 ] } 1 .. $#times);
}

# Compares the orders that the application knows of with those in the primary, and with what was received for one of the sources.
sub compare
{
	my ($app, $source_id) = @_;
	my $known = acknowledged($app);
	my %there = map { $_ => 1 } split /\n/, sql("SELECT number FROM orders WHERE number LIKE '$app->{name}-%'");
	my (%counted, %cost);

	for my $note (@{ $tiktok->events("?event_source_id=$source_id") })
	{
		my $number = $note->{data}{properties}{order_id};

		push @{ $cost{times} }, $note->{received_at};
		$cost{refused}++ unless $note->{accepted};
		$cost{repeats}++ unless $note->{counted};
		$counted{$number}{ $note->{event_id} } = 1 if $note->{counted};
	}
	return {
		refused => 0, repeats => 0, %cost,
		acknowledged => scalar keys %$known,
		there => scalar keys %there,
		delivered => scalar keys %counted,
		orders_lost => scalar(grep { !$there{"$app->{name}-$_"} } keys %$known),
		events_lost => scalar(grep { !$counted{$_} } keys %there),
		without_order => scalar(grep { !$there{$_} } keys %counted),
		twice => scalar(grep { keys %$_ > 1 } values %counted),
		gap => longest_gap(@{ $cost{times} // [] }) };
}

# One change of the primary while orders flow: what happens, and what brings the node back.
sub change
{
	my ($what, $mode, $happens, $comes_back) = @_;
	my $synchronous = $mode eq 'synchronous';
	my $old = Rehearsal::await("three nodes before: $what", sub { healthy($synchronous) }, 120);

	sql("SELECT tiktok.wait('30 s')") eq 't' or die "events are left before: $what";
	$tiktok->reset_all;
	my $app = start_application('n' . ++$changes);
	progress($app, $STEADY);
	$happens->($old);
	Rehearsal::await("a leader after: $what", sub { leader($comes_back ? $old : undef) }, 120);
	progress($app, $STEADY);
	if ($comes_back)
	{
		$comes_back->($old);
		Rehearsal::await("three nodes after: $what", sub { healthy($synchronous) }, 120);
		progress($app, 1);
	}
	stop_application($app);
	Rehearsal::await("deliveries after: $what", sub { (ask("SELECT tiktok.wait('20 s')") // '') eq 't' });
	my %cost = (shop => compare($app, 'CPIXEL0000000001'), store => compare($app, '7400000000000000001'));
	diag(join ' | ', $mode, $what, @{ $cost{shop} }{qw(acknowledged orders_lost there delivered events_lost without_order twice repeats)},
		join(', ', @{ $cost{store} }{qw(events_lost twice without_order)}), map { sprintf '%.1f', $_ } longest_gap(values %{ acknowledged($app) }), $cost{shop}{gap});
	is(join(' ', map { $cost{shop}{$_} } qw(events_lost twice refused)), '0 0 0', "$mode, $what: no event is lost or counted twice");
	is(join(' ', @{ $cost{shop} }{qw(orders_lost without_order)}), '0 0', "$mode, $what: no order is lost either") if $synchronous;
	return;
}

sub changes
{
	my ($mode) = @_;

	change('switchover', $mode, sub {
		my ($old) = @_;
		my $reply = rest($old, 'POST', 'switchover', { leader => $old->{name} });
		$reply->{success} or die "switchover: $reply->{content}";
	});
	change('the server is killed, Patroni restarts it', $mode, sub { kill 'KILL', postmaster($_[0]) });
	change('server and Patroni are killed, the node comes back', $mode, \&kill_node, \&start_patroni);
	change('the node is lost with its disk, a new one comes', $mode,
		sub { kill_node($_[0]); remove_tree($_[0]{data}) }, \&start_patroni);
	change('the node freezes, and wakes up', $mode,
		sub { kill 'STOP', processes($_[0]) }, sub { kill 'CONT', processes($_[0]) });
	change('Patroni is killed, its server runs on beside the new one', $mode,
		sub { end_program($_[0]{name}, 'KILL') }, \&start_patroni);
	return;
}

start_program('etcd', $etcd, '--enable-v2', '--name', 'etcd', '--data-dir', "$dir/etcd", '--listen-client-urls', "http://127.0.0.1:$etcd_port",
	'--advertise-client-urls', "http://127.0.0.1:$etcd_port", '--listen-peer-urls', 'http://127.0.0.1:' . free_port());
Rehearsal::await('etcd', sub { HTTP::Tiny->new->get("http://127.0.0.1:$etcd_port/health")->{success} });
start_patroni($node{a});
Rehearsal::await('the first node', sub { leader() });
start_patroni($node{$_}) for qw(b c);
Rehearsal::await('three nodes', sub { healthy(0) }, 120);

sql('CREATE EXTENSION tiktok_events');
sql(<<'SQL');
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'CPIXEL0000000001'), ('store', 'offline', '7400000000000000001');
CREATE TABLE orders (id bigserial PRIMARY KEY, number text UNIQUE, total numeric, email text DEFAULT 'ana@example.com');
SQL
sql("SELECT tiktok.set_access_token(name, '$Rehearsal::TOKEN') FROM tiktok.source");
sql("SELECT tiktok.create_trigger('orders', 'shop', 'Purchase', '{\"event_id\": \"number\", \"event_time\": \"now\", \"order_id\": \"number\", \"value\": \"total\", \"currency\": \"''EUR''\",
	\"email\": \"email\", \"url\": \"''https://shop.example.com/''\"}')");
sql("SELECT tiktok.create_trigger('orders', 'store', 'Purchase', '{\"event_time\": \"now\", \"order_id\": \"number\", \"value\": \"total\", \"currency\": \"''EUR''\", \"email\": \"email\"}')");

diag(join ' | ', 'replication', 'what happens', 'orders acknowledged', 'of these lost', 'in the new primary', 'counted', 'events lost',
	'counted without order', 'counted twice', 'repeats', 'derived ids: lost, twice, without order', 's without orders', 's without delivery');

# The token is in the database, and is replicated
changes('asynchronous');

# The token is in a file that every node has
sql('SELECT tiktok.set_access_token(name, NULL) FROM tiktok.source');
for my $source (qw(shop store))
{
	append_to_file("$tokens/$source", $Rehearsal::TOKEN);
	chmod 0600, "$tokens/$source";
}
rest($node{a}, 'PATCH', 'config', { synchronous_mode => JSON::PP::true, postgresql => { parameters => { 'tiktok_events.access_token_dir' => $tokens } } })->{success}
  or die 'the configuration is not changed';
changes('synchronous');

done_testing();
