"""What the bench runs on: a throwaway PostgreSQL cluster, nginx in TikTok's place, and sessions.

Everything lives in one temporary folder and ends with this process, however it ends."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Failed(Exception):
    """What stops the bench; its text is all that is shown."""


def command(args, **options):
    """Runs a program to its end and returns its output."""
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(args)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what):
    end = time.monotonic() + 60
    while not (result := condition()):
        if time.monotonic() > end:
            raise Failed(f"waited a minute in vain: {what}")
        time.sleep(0.05)
    return result


def cpu_time(pid):
    """Seconds of CPU time used by a process, and seconds it waited for a CPU."""
    with open(f"/proc/{pid}/schedstat") as f:
        used, waited, _ = f.read().split()
    return int(used) / 1e9, int(waited) / 1e9


def own_memory(pid):
    """Memory of a process that is not shared, in MB."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon")) / 1024


class Session:
    """A psql that stays connected."""

    MARK = "-- end of result"

    def __init__(self, args):
        self.errors = tempfile.TemporaryFile("w+")
        self.psql = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                     cwd="/", start_new_session=True)

    def query(self, sql):
        """Rows of text."""
        rows = []
        with contextlib.suppress(BrokenPipeError):
            self.psql.stdin.write(f"{sql.rstrip(';')};\n\\echo {self.MARK}\n")
            self.psql.stdin.flush()
        for line in self.psql.stdout:
            line = line.rstrip("\n")
            if line == self.MARK:
                return rows
            rows.append(line.split("\t"))
        self.errors.seek(0)
        raise Failed(f"{sql}\n{self.errors.read()[-2000:]}")

    def value(self, sql):
        return self.query(sql)[0][0]

    def close(self):
        self.psql.stdin.close()
        self.psql.stdout.close()
        self.psql.wait()


class Bench:
    """The folder, the programs that run in it, and how to reach them."""

    def __init__(self):
        self.bin = command([os.environ["PG_CONFIG"], "--bindir"]).strip()
        self.major = int(re.search(r"\d+", command([os.environ["PG_CONFIG"], "--version"])).group())
        self.user = "postgres" if os.getuid() == 0 else None    # the server refuses to run as root
        self.dir = tempfile.mkdtemp(prefix="tiktok_events-bench-")
        self.log = os.path.join(self.dir, "log")
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        self.installed = False
        self.running = {}
        self.sessions = {}
        self.port = free_port()
        os.chmod(self.dir, 0o755)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def owned(self, name):
        """A folder of the user who runs the server."""
        os.mkdir(self.path(name), 0o755)
        if self.user:
            os.chown(self.path(name), pwd.getpwnam(self.user).pw_uid, pwd.getpwnam(self.user).pw_gid)
        return self.path(name)

    def as_server(self):
        options = {"cwd": "/", "env": dict(self.env)}
        if self.user:
            options.update(user=self.user, group=pwd.getpwnam(self.user).pw_gid, extra_groups=[])
        return options

    def build(self, installed=False):
        """The extension of this folder, in a folder of the bench; or what is installed."""
        self.installed = installed
        if installed:
            return
        source, parent = self.path("src"), os.path.dirname(HERE)
        make = ["make", "-s", f"-j{os.cpu_count()}", "-C", source, f"PG_CONFIG={os.environ['PG_CONFIG']}", "with_llvm=no"]
        os.mkdir(source)
        for name in ("Makefile", "tiktok_events.control", "schema", "src"):
            copy = shutil.copytree if os.path.isdir(os.path.join(parent, name)) else shutil.copy
            copy(os.path.join(parent, name), os.path.join(source, name), **({"ignore": shutil.ignore_patterns("*.o")} if copy is shutil.copytree else {}))
        command([*make, "all"])
        command([*make, "install", f"DESTDIR={self.path('root')}"])

    def build_client(self):
        include, lib = (command([os.environ["PG_CONFIG"], f"--{what}"]).strip() for what in ("includedir", "libdir"))
        command(["gcc", "-O2", "-Wall", f"-I{include}", os.path.join(HERE, "client.c"), "-o", self.path("client"), f"-L{lib}", "-lcurl", "-lpq"])

    def start(self, name, args, end_signal):
        """A process of the server's user that does not outlive this one."""
        with open(self.log, "a") as log:
            self.running[name] = subprocess.Popen(["setpriv", "--pdeathsig", end_signal, *args], stdin=subprocess.DEVNULL, stdout=log,
                                                  stderr=log, start_new_session=True, **self.as_server())

    # The server in TikTok's place: one port that notes when a request arrived, and one that does not, for everybody else.

    def start_sink(self):
        folder = self.owned("nginx")
        ports = free_port(), free_port()
        command(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                 "subjectAltName=IP:127.0.0.1", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"], **self.as_server())
        answer = "echo_read_request_body; echo '{\"code\":0,\"message\":\"OK\",\"request_id\":\"$request_id\",\"data\":{}}';"
        tls = f"ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;"
        with open(f"{folder}/nginx.conf", "w") as f:
            f.write(f"""
                load_module /usr/lib/nginx/modules/ngx_http_echo_module.so;
                worker_processes 1;
                daemon off;
                pid {folder}/nginx.pid;
                error_log {folder}/error.log;
                events {{ worker_connections 1024; }}
                http {{
                    log_format arrival '$msec $request_time $request_id';
                    client_max_body_size 20m;
                    client_body_buffer_size 2m;
                    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
                    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
                    keepalive_requests 100000000;
                    default_type application/json;
                    server {{ listen 127.0.0.1:{ports[0]} ssl; {tls} access_log {folder}/arrival.log arrival; location / {{ {answer} }} }}
                    server {{ listen 127.0.0.1:{ports[1]} ssl http2; {tls} access_log off; location / {{ {answer} }} }}
                }}""")
        self.start("nginx", ["nginx", "-p", folder, "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"], "TERM")
        self.ca = f"{folder}/cert.pem"
        self.arrivals = f"{folder}/arrival.log"
        self.endpoint, self.url = (f"https://127.0.0.1:{port}/open_api/v1.3/event/track/" for port in ports)
        wait_until(lambda: os.path.exists(f"{folder}/nginx.pid") and os.path.getsize(f"{folder}/nginx.pid"), "nginx")

    def start_cluster(self, settings):
        data = os.path.join(self.owned("pg"), "data")
        command([f"{self.bin}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions"],
                **self.as_server())
        lib, share = (command([os.environ["PG_CONFIG"], f"--{what}"]).strip() for what in ("pkglibdir", "sharedir"))
        destination = f"extension_destdir = '{self.path('root')}'" if self.major < 18 else f"extension_control_path = '{self.path('root')}{share}:$system'"
        destination += f"\ndynamic_library_path = '{self.path('root')}{lib}:$libdir'"
        with open(os.path.join(data, "postgresql.conf"), "a") as f:
            f.write(f"""
listen_addresses = ''
port = {self.port}
unix_socket_directories = '{self.path('pg')}'
max_connections = 120
shared_buffers = 2GB
max_wal_size = 8GB
checkpoint_timeout = 1h
{"" if self.installed else destination}
shared_preload_libraries = 'tiktok_events'
{settings}
""")
        self.start_server()

    def start_server(self):
        self.start("postgres", [f"{self.bin}/postgres", "-D", self.path("pg", "data")], "QUIT")
        ready = [f"{self.bin}/pg_isready", "-q", "-h", self.path("pg"), "-p", str(self.port)]

        def answered():
            if self.running["postgres"].poll() is not None:
                with open(self.log) as f:
                    raise Failed("PostgreSQL does not start\n" + f.read()[-2000:])
            return subprocess.run(ready).returncode == 0
        wait_until(answered, "PostgreSQL")

    def has_huge_pages(self):
        with open(f"/proc/{self.running['postgres'].pid}/maps") as f:
            return "/anon_hugepage" in f.read()

    def end(self, name, end_signal):
        """Ends a process and returns how long that took."""
        process, begin = self.running.pop(name), time.monotonic()
        process.send_signal(end_signal)
        process.wait()
        return time.monotonic() - begin

    def stop_server(self):
        """A fast shutdown; seconds."""
        for session in self.sessions.values():
            session.close()
        self.sessions.clear()
        return self.end("postgres", signal.SIGINT)

    def finish(self):
        for name, process in self.running.items():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGQUIT if name == "postgres" else signal.SIGTERM)
            process.wait()
        self.running.clear()
        shutil.rmtree(self.dir, ignore_errors=True)

    def program(self, name, *args):
        return [f"{self.bin}/{name}", "-h", self.path("pg"), "-p", str(self.port), "-U", "postgres", *args]

    def connect(self, db):
        return Session(self.program("psql", "-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1", db))

    def db(self, name):
        """The session that is kept for a database."""
        if name not in self.sessions:
            self.sessions[name] = self.connect(name)
        return self.sessions[name]

    def forget(self, name):
        if name in self.sessions:
            self.sessions.pop(name).close()

    def set(self, name, value):
        self.db("postgres").query(f"ALTER SYSTEM SET {name} = {value}")
        self.db("postgres").query("SELECT pg_reload_conf()")

    def create_shop(self, name):
        self.db("postgres").query(f"CREATE DATABASE {name}")
        self.set_up(name)

    def set_up(self, name):
        command(self.program("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", os.path.join(HERE, "setup.sql"), name))

    def give_token(self, name):
        self.db(name).query("SELECT tiktok.set_access_token('shop', 'bench-token')")

    def worker(self, name):
        """The process id of a database's worker; waits for it."""
        self.db("postgres").query("SELECT pg_reload_conf()")    # the launcher looks at pg_database
        query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'tiktok_events worker' AND datname = '%s' AND query = 'tiktok_events: idle'"
        return int(wait_until(lambda: self.db("postgres").query(query % name), f"no worker in {name}")[0][0])

    def wait_delivered(self, name, events, sample=lambda: None):
        """Waits until the worker has delivered so many events; looks into shared memory only."""
        last, since = -1, time.monotonic()
        while True:
            done = int(self.db(name).value("SELECT coalesce(max(delivered), 0) FROM tiktok.worker_status WHERE database = current_database()"))
            sample()
            if done >= events:
                return
            if done != last:
                last, since = done, time.monotonic()
            if time.monotonic() - since > 60:
                raise Failed(f"{done} of {events} events delivered, then none for a minute")
            time.sleep(0.1)
