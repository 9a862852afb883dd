"""A real PostgreSQL that a test starts for itself: own cluster, own folder, a socket and no port."""

import os
import pwd
import subprocess
from pathlib import Path

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


class Cluster:
    """A PostgreSQL of its own; it refuses to run as root, so root hands it to the user nobody."""

    def __init__(self, folder, binaries):
        self.folder, self.binaries = folder, binaries
        self.prefix = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self.prefix = ["runuser", "-u", "nobody", "--"]

    def run(self, name, *words):
        command = [*self.prefix, str(self.binaries / name), *words]
        subprocess.run(command, check=True, cwd=self.folder, timeout=120, stdout=subprocess.DEVNULL)

    def start(self):
        self.run("initdb", "-D", f"{self.folder}/data", "-A", "trust", "-U", "owner", "-E", "UTF8", "--no-sync")
        options = (
            f"-k {self.folder} -c listen_addresses='' -c fsync=off -c timezone=America/New_York -c datestyle=German"
        )
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-l", f"{self.folder}/log", "-w", "-o", options, "start")

    def stop(self):
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "stop")

    def url(self, user, query=""):
        return f"postgresql+psycopg://{user}@/postgres?host={self.folder}{query}"
