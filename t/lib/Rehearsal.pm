# Rehearsal.pm: what the TAP tests share: a cluster with tiktok_events preloaded, and the
# rehearsal server of TikTok's Events API (t/events_api.py) beside it.
package Rehearsal;

use strict;
use warnings;

use File::Basename qw(dirname);
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use POSIX;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our $TOKEN = 'rehearsal-token';
my $server = dirname(__FILE__) . '/../events_api.py';
my @running;

# Starts a server; options are those of events_api.py besides the tokens and the folder.
sub start
{
	my ($class, @options) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $self = bless { dir => $dir }, $class;
	my $pid = fork // die "fork: $!";

	if ($pid == 0)
	{
		open STDOUT, '>', "$dir/log";
		open STDERR, '>&', \*STDOUT;
		exec '/usr/bin/python3', $server, '--dir', $dir, '--token', $TOKEN, '--quiet',
		  '--https-port', '0', '--parent-pid', getppid(), @options;
		die "exec: $!";
	}
	$self->{pid} = $pid;
	push @running, $pid;
	for (1 .. 300)
	{
		last if -e "$dir/ready";
		select undef, undef, undef, 0.1;
	}
	-e "$dir/ready" or die "the rehearsal server does not start: " . slurp_file("$dir/log");
	$self->{$_} = decode_json(slurp_file("$dir/ready"))->{$_}
	  for qw(http_url https_url ca_file control_url http_port https_port);
	return $self;
}

sub stop
{
	my ($self) = @_;
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	@running = grep { $_ != $self->{pid} } @running;
}

END
{
	local $?;
	kill 'TERM', @running;
	waitpid $_, 0 for @running;
}

sub control
{
	my ($self, $method, $path, $content) = @_;
	my %options = defined $content ? (content => encode_json($content)) : ();
	my $reply = HTTP::Tiny->new->request($method, "$self->{control_url}$path", \%options);

	$reply->{success} or die "$method $path: $reply->{status} $reply->{content}";
	return decode_json($reply->{content});
}

sub stats { return $_[0]->control('GET', 'stats') }
sub events { return $_[0]->control('GET', 'events' . ($_[1] // '')) }
sub bodies { return $_[0]->control('GET', 'bodies?last=' . ($_[1] // 1)) }
sub script { my $self = shift; return $self->control('POST', 'script', [@_]) }
sub reset_all { return $_[0]->control('POST', 'reset', {}) }

# A cluster that delivers to this server, with the extension in database postgres; install_path: of another PostgreSQL.
sub cluster
{
	my ($self, $name, %settings) = @_;
	my $install_path = delete $settings{install_path};
	my $node = PostgreSQL::Test::Cluster->new($name, defined $install_path ? (install_path => $install_path) : ());

	$node->init;
	$node->append_conf('postgresql.conf', <<CONF);
shared_preload_libraries = 'tiktok_events'
tiktok_events.endpoint = '$self->{https_url}'
tiktok_events.ca_file = '$self->{ca_file}'
log_statement = 'none'
restart_after_crash = on
max_prepared_transactions = 10
CONF
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'\n") for sort keys %settings;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION tiktok_events');
	return $node;
}

# A source of each kind, with its token.
sub sources
{
	my ($self, $node, $db) = @_;

	$node->safe_psql($db // 'postgres', <<SQL);
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES
	('shop', 'web', 'CPIXEL0000000001'),
	('app', 'app', '7400000000000000002'),
	('store', 'offline', '7400000000000000001'),
	('crm', 'crm', '7400000000000000003');
SELECT tiktok.set_access_token(name, '$TOKEN') FROM tiktok.source;
SQL
}

# True when everything was finished within so many seconds.
sub drained
{
	my ($node, $seconds, $db) = @_;
	return $node->safe_psql($db // 'postgres', "SELECT tiktok.wait('$seconds s')") eq 't';
}

# A session that has run $sql, with a transaction of it still open; end_session() runs more in it, and ends it.
sub session
{
	my ($node, $sql, $db) = @_;
	my $self = { in => "$sql\n\\echo ready\n", out => '' };

	$self->{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db // 'postgres') ],
		'<', \$self->{in}, '>', \$self->{out}, IPC::Run::timeout(180));
	$self->{run}->pump until $self->{out} =~ /^ready$/m;
	return $self;
}

sub end_session
{
	my ($self, $sql) = @_;
	$self->{in} .= "$sql\n\\q\n";
	return $self->{run}->finish;
}

# Runs a script in a session of its own, and says which process to wait for; its status tells of the first error.
sub writer
{
	my ($node, $sql, @options) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/script';
	append_to_file($file, $sql);
	my $pid = fork // die "fork: $!";

	return $pid if $pid;
	open STDOUT, '>', '/dev/null';
	exec 'psql', '-XAtq', @options, '-d', $node->connstr('postgres'), '-f', $file or POSIX::_exit(1);
}

# Counts of tiktok.event_status, as "delivered 3, invalid 1".
sub statuses
{
	my ($node, $where, $db) = @_;
	$where //= 'true';
	return $node->safe_psql($db // 'postgres', <<SQL);
SELECT string_agg(status || ' ' || n, ', ' ORDER BY status)
FROM (SELECT status, count(*) AS n FROM tiktok.event_status WHERE $where GROUP BY 1) s
SQL
}

1;
