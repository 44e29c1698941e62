# Path.pm: a path to a server, or an HTTP proxy (t/lib/path.py), that delays, limits, drops and forgets as networks do.
package Path;

use strict;
use warnings;

use File::Basename qw(dirname);
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Utils;

my $program = dirname(__FILE__) . '/path.py';
my @running;

# to: a port on this machine; without it a proxy.  delay (seconds each way), rate (bytes a second), address, port, hole, user,
# certificate, key: as path.py has them.
sub start
{
	my ($class, %how) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my @options = map { ("--$_", $how{$_}) } grep { $_ ne 'hole' } sort keys %how;
	my $pid = fork // die "fork: $!";

	push @options, '--hole' if $how{hole};
	if ($pid == 0)
	{
		open STDOUT, '>', "$dir/log";
		open STDERR, '>&', \*STDOUT;
		exec '/usr/bin/python3', $program, '--ready', "$dir/ready", '--parent-pid', getppid(), @options;
		die "exec: $!";
	}
	push @running, $pid;
	for (1 .. 300)
	{
		last if -e "$dir/ready";
		select undef, undef, undef, 0.1;
	}
	-e "$dir/ready" or die 'the path does not start: ' . slurp_file("$dir/log");
	my $ports = decode_json(slurp_file("$dir/ready"));
	my $control = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ports->{control}) or die "control: $!";
	return bless { pid => $pid, port => $ports->{port}, control => $control }, $class;
}

# Can packets be dropped on this machine?
sub drops_packets { return system("/usr/bin/python3 $program --probe 2>/dev/null") == 0 }

# delay SECONDS, rate BYTES; forget and reset (connections there are), dead and alive (all of it); returns connections, bytes, and
# heads: what a proxy was asked.
sub tell
{
	my ($self, $command) = @_;
	my $control = $self->{control};

	print $control "$command\n";
	$control->flush;
	return decode_json(scalar <$control>);
}

sub stats { return $_[0]->tell('stats') }

END
{
	local $?;
	kill 'TERM', @running;
	waitpid $_, 0 for @running;
}

1;
