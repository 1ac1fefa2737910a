"""Processes of the program `sweep` (sweep.c), one for each way to compute, which are asked in turn.

All but the one that is asked are stopped: a library's idle threads may spin.
"""
import os
import select
import signal
import subprocess
import tempfile

PATIENCE = 300  # seconds for one answer


class Server:
    def __init__(self, command, env):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, bufsize=0)
        self.rest = b""
        self.pause()

    def signal(self, number):
        if self.process.poll() is None:
            os.kill(self.process.pid, number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def line(self):
        """The next line of the answer; None: there is none, or it does not come."""
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
            got = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not got:
                self.close()
                return None
            self.rest += got
        line, _, self.rest = self.rest.partition(b"\n")
        return line.decode()

    def ask(self, request):
        """ns of one call; None: the library lacks it, or the process is gone (`alive` tells)."""
        if not self.alive():
            return None
        self.signal(signal.SIGCONT)
        try:
            self.process.stdin.write(f"{request}\n".encode())
        except BrokenPipeError:
            self.close()
            return None
        line = self.line()
        self.pause()
        return None if line in (None, "-") else float(line)

    def alive(self):
        return self.process.poll() is None

    def why(self):
        """Of a process that is gone."""
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        return f"exit status {self.process.poll()}" + (f": {said[-1]}" if said else "")

    def close(self):
        self.signal(signal.SIGKILL)
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout):
            file.close()
