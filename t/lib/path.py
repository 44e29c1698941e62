#!/usr/bin/env python3
"""A path to a server, or an HTTP proxy, that behaves as networks do: see t/lib/Path.pm.

Nothing here needs rights of its own.  A socket that wants TCP's MD5 signatures (RFC 2385) drops
packets without one unseen, so the other side gets neither an acknowledgement nor an end of the
connection."""
import argparse
import asyncio
import base64
import json
import os
import signal
import socket
import ssl
import struct
import sys

TCP_MD5SIG = 14
CHUNK = 16384
FEW = 32768    # bytes that a socket takes while the rate is limited


def drop_packets(sock, on=True):
    peer = struct.pack("=HH4s120x", socket.AF_INET, 0, socket.inet_aton("127.0.0.1"))
    key = b"secret" if on else b""
    sock.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, peer + struct.pack("=BBHi80s", 0, 0, len(key), 0, key))


class Path:
    def __init__(self, options):
        self.options = options
        self.delay = options.delay
        self.rate = options.rate
        self.free_at = 0.0           # when the limited line has sent what it has
        self.dead = asyncio.Event()  # set: alive
        self.dead.set()
        self.clients = {}            # sockets, and what writes to them
        self.stats = {"connections": 0, "bytes": 0, "heads": []}

    async def carry(self, reader, writer, up, first_delay):
        """One direction; what is read leaves after the delay, and at the rate."""
        loop = asyncio.get_running_loop()
        queue = asyncio.Queue(2 if self.rate and up else 0)

        async def send():
            while True:
                at, data = await queue.get()
                await asyncio.sleep(max(0, at - loop.time()))
                await self.dead.wait()
                if not data:
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()

        sender = asyncio.ensure_future(send())
        try:
            while True:
                data = await reader.read(CHUNK)
                now = loop.time()
                at = now + self.delay + first_delay
                first_delay = 0
                if up:
                    self.stats["bytes"] += len(data)
                if up and self.rate:
                    self.free_at = max(self.free_at, now) + len(data) / self.rate
                    at += self.free_at - now
                await queue.put((at, data))
                if not data:
                    break
            await sender
        except (ConnectionError, OSError):
            sender.cancel()
            writer.close()

    async def connect(self, reader, writer):
        """The head of CONNECT, and where it leads; None: refused."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.stats["heads"].append(head.decode("latin-1"))
        words = head.split(b"\r\n")[0].split()
        wanted = self.options.user and b"Basic " + base64.b64encode(self.options.user.encode())
        if len(words) != 3 or words[0] != b"CONNECT":
            answer = b"405 Method Not Allowed"
        elif wanted and wanted not in head:
            answer = b"407 Proxy Authentication Required"
        else:
            writer.write(b"HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n")
            return words[1].decode().rsplit(":", 1)
        writer.write(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        return None

    async def serve(self, reader, writer):
        self.stats["connections"] += 1
        sock = writer.get_extra_info("socket")
        self.clients[sock] = writer
        try:
            where = ("127.0.0.1", self.options.to) if self.options.to else await self.connect(reader, writer)
            if where is None:
                return
            to_reader, to_writer = await asyncio.open_connection(where[0], int(where[1]))
            # the handshake of TCP took one round trip, which nobody delayed
            await asyncio.gather(self.carry(reader, to_writer, True, 2 * self.delay),
                                 self.carry(to_reader, writer, False, 0))
        except (ConnectionError, OSError, asyncio.IncompleteReadError):
            writer.close()
        finally:
            self.clients.pop(sock, None)

    def command(self, word, value):
        if word in ("delay", "rate"):
            setattr(self, word, float(value))
        elif word == "forget":
            for sock in self.clients:
                drop_packets(sock)
            self.clients.clear()
        elif word == "reset":
            for sock, writer in self.clients.items():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        elif word == "dead":
            for sock in [*self.clients, self.listener]:
                drop_packets(sock)
            self.dead.clear()
        elif word == "alive":
            for sock in [*self.clients, self.listener]:
                drop_packets(sock, False)
            self.dead.set()
        return self.stats

    async def control(self, reader, writer):
        while line := (await reader.readline()).decode().split():
            writer.write((json.dumps(self.command(line[0], *line[1:2] or [None])) + "\n").encode())

    async def run(self):
        options = self.options
        context = None
        if options.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(options.certificate, options.key)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.rate:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, FEW)
        if options.hole:
            drop_packets(self.listener)
        self.listener.bind((options.address, options.port))
        server = await asyncio.start_server(self.serve, sock=self.listener, ssl=context, limit=2 * CHUNK)
        control = await asyncio.start_server(self.control, "127.0.0.1", 0)
        ready = {"port": self.listener.getsockname()[1], "control": control.sockets[0].getsockname()[1]}
        with open(options.ready + ".new", "w") as file:
            json.dump(ready, file)
        os.replace(options.ready + ".new", options.ready)
        async with server, control:
            while os.getppid() == options.parent_pid:
                await asyncio.sleep(0.5)


def main():
    parser = argparse.ArgumentParser()
    add = parser.add_argument
    add("--ready", required=True, help="file for the ports")
    add("--parent-pid", type=int, required=True)
    add("--to", type=int, help="port on 127.0.0.1; without it, a proxy for CONNECT")
    add("--address", default="127.0.0.1")
    add("--port", type=int, default=0)
    add("--hole", action="store_true", help="nobody answers there")
    add("--delay", type=float, default=0, help="seconds, in each direction")
    add("--rate", type=float, default=0, help="bytes a second, upwards")
    add("--user", help="USER:PASSWORD that the proxy wants")
    add("--certificate")
    add("--key")
    if sys.argv[1:] == ["--probe"]:
        drop_packets(socket.socket())    # fails where the kernel knows no such signatures
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asyncio.run(Path(parser.parse_args()).run())


if __name__ == "__main__":
    main()
