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
use Time::HiRes qw(time);

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
sub reporting { return $_[0]->control('POST', 'reporting', $_[1]) }
sub reports { return $_[0]->control('GET', 'reports') }
sub reporting_url { return $_[0]->{https_url} =~ s{event/track/$}{}r }
sub reset_all { return $_[0]->control('POST', 'reset', {}) }

# A cluster that delivers to this server, with the extension in database postgres; install_path: of another PostgreSQL.
sub cluster
{
	my ($self, $name, %settings) = @_;
	my $install_path = delete $settings{install_path};
	my $node = PostgreSQL::Test::Cluster->new($name, defined $install_path ? (install_path => $install_path) : ());

	# whatever the environment says
	$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
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

# Asks every tenth of a second until the answer is true; dies after so many seconds.
sub await
{
	my ($what, $question, $seconds) = @_;
	my $deadline = time + ($seconds // 60);

	while (time < $deadline)
	{
		my $answer = $question->();
		return $answer if $answer;
		select undef, undef, undef, 0.1;
	}
	die "waited in vain: $what";
}

# Waits until a rule of the script with this action has struck.
sub await_fault
{
	my ($self, $action) = @_;
	return await("a request that meets \"$action\"", sub { $self->stats->{faults}{$action} });
}

# Starts a client that commits (every fourth time rolls back) transactions with events named NAME-TRANSACTION-NUMBER,
# and writes down which it tried and which the server acknowledged.  When it loses its connection it goes on with the
# next one.  Options: transactions, events (in each), padding (bytes of each event), asynchronous.
sub client
{
	my ($node, $name, %how) = @_;
	my %client = (name => $name, log => PostgreSQL::Test::Utils::tempdir() . "/$name", transactions => 10, events => 3, %how);

	$client{pid} = fork // die "fork: $!";
	return \%client if $client{pid};
	run_client($node->connstr('postgres'), \%client);
	POSIX::_exit(0);
}

sub run_client
{
	my ($connstr, $client) = @_;
	my $deadline = time + 120;
	my $next = 1;

	while ($next <= $client->{transactions} && time < $deadline)
	{
		open my $script, '>', "$client->{log}.sql";
		print $script transaction($client, $_) for $next .. $client->{transactions};
		close $script;
		system("psql -XAtq -v ON_ERROR_STOP=1 -d '$connstr' -f '$client->{log}.sql' >>'$client->{log}' 2>/dev/null");
		$next = 1 + (slurp_file($client->{log}) =~ /.*^try (\d+)/ms ? $1 : 0);
		select undef, undef, undef, 0.1;
	}
}

sub transaction
{
	my ($client, $n) = @_;
	my $padding = $client->{padding} // 10;
	my $setting = $client->{asynchronous} ? 'SET synchronous_commit = off;' : '';
	my ($end, $said) = $n % 4 ? ('COMMIT', 'done') : ('ROLLBACK', 'undone');

	return <<SQL;
\\o /dev/null
\\echo try $n
$setting
BEGIN;
SELECT tiktok.track('shop', 'ViewContent', '$client->{name}-$n-' || n, user_data => '{"external_id": 1}',
	properties => jsonb_build_object('description', repeat('x', $padding)), page => '{"url": "https://shop.example.com/"}')
FROM generate_series(1, $client->{events}) n;
$end;
\\echo $said $n
SELECT pg_sleep(0.02);
SQL
}

# Waits for clients to end; says of each event that they tried: done, undone (rolled back), or try (nobody knows).
sub client_events
{
	my %events;

	for my $client (@_)
	{
		my %said;
		waitpid $client->{pid}, 0;
		/^(\w+) (\d+)$/ and $said{$2} = $1 for split /\n/, slurp_file($client->{log});
		# what was acknowledged may yet be undone by a crash, if the client has agreed to that
		$client->{asynchronous} and s/^done$/try/ for values %said;
		for my $n (keys %said)
		{
			$events{"$client->{name}-$n-$_"} = $said{$n} for 1 .. $client->{events};
		}
	}
	return \%events;
}

# Compares what clients tried with the table and with what the server received since it was reset.  Returns
# lost: events that were committed and not counted, double: events counted more than once, copies: transmissions beyond the first,
# most: those of one event, and problems: whatever else does not fit together.
sub compare
{
	my ($self, $node, $events) = @_;
	my %result = (events => scalar keys %$events, lost => 0, double => 0, copies => 0, most => 0, problems => []);
	my $problems = $result{problems};
	my (%received, %counted, %bytes, %status);

	for my $note (@{ $self->events })
	{
		my $id = $note->{event_id};
		my $bytes = JSON::PP->new->canonical->encode($note->{data} // {});

		exists $events->{$id} or push @$problems, "$id: received again, or never tried";
		($bytes{$id} //= $bytes) eq $bytes or push @$problems, "$id: sent with other bytes";
		$result{copies}++ if $received{$id}++;
		$counted{$id}++ if $note->{counted};
	}
	for my $row (split /\n/, $node->safe_psql('postgres', 'SELECT event_id, status FROM tiktok.event_status'))
	{
		my ($id, $status) = split /\|/, $row;
		next unless exists $events->{$id};
		exists $status{$id} and push @$problems, "$id: twice in the table";
		$status{$id} = $status;
	}
	for my $id (sort keys %$events)
	{
		my $in_table = exists $status{$id};

		$result{lost}++ if ($in_table || $events->{$id} eq 'done') && !$counted{$id};
		$result{double}++ if ($counted{$id} // 0) > 1;
		$result{most} = $received{$id} if ($received{$id} // 0) > $result{most};
		push @$problems, "$id: acknowledged, but not in the table" if $events->{$id} eq 'done' && !$in_table;
		push @$problems, "$id: rolled back, but in the table" if $events->{$id} eq 'undone' && $in_table;
		push @$problems, "$id: sent, but not in the table" if $received{$id} && !$in_table;
		push @$problems, "$id: $status{$id}" if $in_table && $status{$id} ne 'delivered';
	}
	return \%result;
}

1;
