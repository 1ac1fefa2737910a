"""What a result is worth nothing without: machine, kernel, libraries, commit, and what libcdm chose."""
import datetime
import os
import platform
import subprocess
import time

import libraries

CALIBRATIONS = 4


def first_line(path):
    try:
        with open(path) as file:
            return file.readline().strip()
    except OSError:
        return None


def field(path, name):
    try:
        with open(path) as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == name:
                    return value.strip()
    except OSError:
        pass
    return None


def output(*command, **more):
    try:
        run = subprocess.run(command, capture_output=True, text=True, **more)
    except OSError:
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def hypervisor():
    if "hypervisor" not in (field("/proc/cpuinfo", "flags") or "").split():
        return None
    text = output("lscpu", env=dict(os.environ, LC_ALL="C")) or ""
    vendor = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("Hypervisor vendor:")]
    return vendor[0] if vendor else "yes"


def commit(root):
    name = output("git", "-C", root, "rev-parse", "HEAD")
    changed = output("git", "-C", root, "status", "--porcelain", "--untracked-files=no")
    return None if name is None else name + (" with changes" if changed else "")


def describe(table, root):
    hugepages = "/sys/kernel/mm/transparent_hugepage"
    return dict(
        machine=platform.machine(), cpu=field("/proc/cpuinfo", "model name"), cpus=libraries.cpus(),
        cpu_family_model=[field("/proc/cpuinfo", name) for name in ("vendor_id", "cpu family", "model", "stepping")],
        memory_kib=int((field("/proc/meminfo", "MemTotal") or "0 kB").split()[0]),
        kernel=platform.release(), transparent_hugepages=first_line(f"{hugepages}/enabled"),
        governor=first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"), hypervisor=hypervisor(),
        load=os.getloadavg()[0], libc=" ".join(platform.libc_ver()), libraries=libraries.present(table.base), commit=commit(root),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"))


# ---- libcdm's choice ----------------------------------------------------------------------------------------------


def cached(table):
    """The text of the newest choice in the benchmark's cache."""
    folder = f"{table.base['XDG_CACHE_HOME']}/cdm"
    files = [f"{folder}/{name}" for name in os.listdir(folder) if name.startswith("blas-")] if os.path.isdir(folder) else []
    if not files:
        return None
    with open(max(files, key=os.path.getmtime)) as file:
        return file.read()


def calibrate(table):
    """Measures the libraries anew into the benchmark's cache; again while other programs disturb it. What `cdm calibrate`
    printed last, and the choice, or None where it cannot."""
    cdm = f"{table.build}/cdm"
    if not table.lib or not os.path.exists(cdm):
        return None
    os.makedirs(table.base["XDG_CACHE_HOME"], exist_ok=True)
    for attempt in range(table.pick(CALIBRATIONS, CALIBRATIONS, 1)):
        if attempt:
            time.sleep(5)
        said = output(cdm, "calibrate", env=table.env(), timeout=300)
        choice = cached(table) or ""
        if "provisional 1" not in choice.splitlines():
            break
    return dict(said=said, file=choice, attempts=attempt + 1)
