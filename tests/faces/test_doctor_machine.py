"""Faults of the machine on which a run is started: each is brought about, found and named with its remedy."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adaptive_scheduler.cli import app
from adaptive_scheduler.core.doctor.folders import judge_folders
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.doctor.folders import try_folder
from tests.faces.doctor_world import LOCAL, Machine, machine, missing, need, need_disk, need_root

_ = machine
HERE = (*LOCAL, "--no-job")


def test_a_machine_with_nothing_wrong(machine: Machine) -> None:
    said = machine.doctor(*HERE, "--folder", "new/study")
    assert not (machine.folder / "new").exists(), "it leaves nothing"
    assert (said.code, said.faults) == (0, set())
    assert [one["check"] for one in said.checks][:2] == ["programs", "profile"]


# ------------------------------------------------------------------ profile and limits


@pytest.mark.parametrize(
    ("profile", "fault", "words"),
    [
        ("echo Welcome to Cluster", "profile-prints", "Welcome to Cluster"),
        ("exit 3", "profile-ends", "with 3"),
        ("exec sh -c 'exit 0'", "profile-ends", "with 0"),
    ],
)
def test_a_login_profile_that_prints_or_ends(
    machine: Machine, profile: str, fault: str, words: str
) -> None:
    (machine.home / ".bash_profile").write_text(profile + "\n")
    found = machine.doctor(*HERE).fault(fault)
    assert words in found["found"]
    assert "interactive shells only" in found["remedy"]


def test_a_login_profile_and_a_batch_system_that_hang(machine: Machine) -> None:
    """Each has its time; all others are checked, and no job is submitted, which would hang, too."""
    (machine.home / ".bash_profile").write_text("sleep 1000\n")
    for name in ("sbatch", "scancel"):
        machine.program(name, "#!/bin/sh\nexit 1\n")
    machine.program("squeue", "#!/bin/sh\nexec sleep 1000\n")
    said = machine.doctor("--scheduler", "slurm", "--cores", "1")
    assert "bash -lxc true" in said.fault("profile-hangs")["remedy"]
    assert "no answer in" in said.fault("scheduler-silent")["found"]
    assert {"host", "address", "folder"} <= {one["check"] for one in said.checks}
    assert "submit" not in {one["check"] for one in said.checks}


def test_a_host_that_limits_cpu_time_and_files(machine: Machine) -> None:
    said = machine.doctor(*HERE, shell="ulimit -t 1800; ulimit -n 500")
    assert "1800 s of CPU time" in said.fault("cpu-time-limited")["found"]
    assert "--as-job" in said.fault("cpu-time-limited")["remedy"]
    assert "500 files" in said.fault("few-files")["found"]


def test_a_login_node_that_kills_daemons(machine: Machine) -> None:
    need_root()
    machine.within = ["unshare", "--mount", "--propagation", "private"]
    etc = machine.folder / "etc"
    shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
    (etc / "systemd/logind.conf.d").mkdir(parents=True, exist_ok=True)
    (etc / "systemd/logind.conf.d/site.conf").write_text("[Login]\nKillUserProcesses=yes\n")
    said = machine.doctor(*HERE, shell=f"mount --bind {etc} /etc")
    assert "site.conf" in said.fault("daemons-killed")["found"]
    assert "enable-linger" in said.fault("daemons-killed")["remedy"]


# ------------------------------------------------------------------ programs, network


def test_no_batch_system(machine: Machine) -> None:
    for name in ("bash", "env"):
        path = shutil.which(name)
        assert path is not None
        machine.program(name, f'#!/bin/sh\nexec {path} "$@"\n')
    machine.environ["PATH"] = str(machine.folder / "bin")
    assert "login node" in machine.doctor().fault("no-batch-system")["remedy"]
    said = machine.doctor("--scheduler", "slurm", "--cores", "2")
    assert "sbatch" in said.fault("programs-missing")["found"]


def test_an_interface_that_is_not_here_and_ports_that_are_taken(machine: Machine) -> None:
    found = machine.doctor(*HERE, "--interface", "ib7").fault("interface-missing")
    assert "ib7" in found["found"]
    assert "lo" in found["remedy"]
    with socket.socket() as other:
        other.bind(("", 0))
        port = other.getsockname()[1]
        found = machine.doctor(*HERE, "--ports", f"{port}-{port}").fault("ports-taken")
    assert str(port) in found["found"]


def test_what_is_typed_wrong_is_no_fault_of_the_machine() -> None:
    done = CliRunner().invoke(app, ["doctor", *HERE, "--ports", "many"])
    assert done.exit_code == 2
    assert "50000-50100" in done.output


def test_a_host_without_a_network(machine: Machine) -> None:
    need_root()
    machine.within = ["unshare", "--net"]
    machine.program("sbatch", "#!/bin/sh\nexit 1\n")
    machine.program("squeue", "#!/bin/sh\nexit 1\n")
    machine.program("scancel", "#!/bin/sh\nexit 1\n")
    said = machine.doctor("--scheduler", "slurm", "--cores", "1", shell="ip link set lo up")
    assert "127.0.0.1" in said.fault("only-loopback")["found"]


def test_a_launcher_that_is_missing(machine: Machine) -> None:
    two = ("--scheduler", "local", "--cores", "2", "--max-cores", "2", "--no-job")
    missing = machine.doctor(*two, "--mpiexec", "/no/such/mpiexec").fault("launcher-missing")
    assert "/no/such/mpiexec" in missing["found"]


# ------------------------------------------------------------------ folders


def tmpfs(options: str, then: str = "true") -> str:
    """Shell: mount a small disk on /mnt, for this process alone."""
    return f"mount -t tmpfs -o {options} none /mnt && {then}"


@pytest.mark.parametrize(
    ("mount", "fault", "words"),
    [
        (tmpfs("size=32k"), "no-room", "No space left"),
        (tmpfs("size=1m", "head -c 1000k /dev/zero > /mnt/full"), "no-room", " free)"),
        (tmpfs("nr_inodes=1"), "no-inodes", "No space left"),
        (tmpfs("size=1m", "mount -o remount,ro /mnt"), "folder-unwritable", "Read-only"),
        (tmpfs("size=9m"), "little-room", "9 MiB"),
    ],
)
def test_a_folder_that_is_full_or_read_only(
    machine: Machine, mount: str, fault: str, words: str
) -> None:
    need_root()
    machine.within = ["unshare", "--mount", "--propagation", "private"]
    said = machine.doctor(*HERE, "--folder", "/mnt", shell=mount)
    assert words in said.fault(fault)["found"]
    assert "/mnt" in said.fault(fault)["found"]


def test_a_folder_that_cannot_be_made(machine: Machine) -> None:
    (machine.folder / "file").write_text("")
    said = machine.doctor(*HERE, "--folder", "file/study")
    found = said.fault("folder-unwritable")
    assert "file/study on " in found["found"]
    assert "Not a directory" in found["found"]


def test_a_folder_of_another_user(machine: Machine) -> None:
    """As a user who may not write there: root may write everywhere."""
    need_root()
    theirs = machine.folder / "theirs"
    theirs.mkdir(mode=0o755)
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        os._exit(0 if try_folder(theirs).step == "write" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not list(theirs.iterdir())


class NoExclusion(files.Operations):
    """A disk on which two hosts can make the same file, as NFS 2 was."""

    def open(self, path: files.Name, flags: int, mode: int = 0o666) -> int:
        return super().open(path, flags & ~os.O_EXCL, mode)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert not list(tmp_path.iterdir()), "something that was tried is left"


def test_a_disk_on_which_two_hosts_can_make_the_same_file(folder: Path) -> None:
    """As NFS 2 was. It is played: one Linux does not let two of its own processes make one name."""
    with files.through(NoExclusion()):
        seen = try_folder(folder)
    (found,) = judge_folders("folder", [seen])
    assert found.fault == "locks-fail"
    assert str(folder) in found.found


# Disks of their own: they and the programs that serve them end with the command.
OWN_DISK = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")  # fmt: skip


def test_a_quota_that_is_used_up(machine: Machine) -> None:
    """That of a home of 1 MiB on a btrfs; ext4's would do, if each Linux had them."""
    need_root()
    need("mkfs.btrfs", "btrfs-progs")
    need_disk("btrfs")
    machine.within = OWN_DISK
    said = machine.doctor(
        *HERE, "--folder", "/mnt/home",
        shell="""set -e; PATH=$PATH:/usr/sbin:/sbin
        { truncate -s 64M disk; mkfs.btrfs -q --mixed disk; mount -o loop disk /mnt
          btrfs quota enable /mnt; btrfs subvolume create /mnt/home; btrfs qgroup limit 1M /mnt/home
        } > /dev/null
        ! head -c 2M /dev/zero 2> /dev/null > /mnt/home/full""",
    )  # fmt: skip
    found = said.fault("quota")
    assert "Disk quota exceeded" in found["found"]
    assert "/mnt/home" in found["found"]


def test_a_disk_without_hard_links(machine: Machine) -> None:
    """A memory stick's exFAT, served by FUSE."""
    need_root()
    need("mount.exfat-fuse", "exfat-fuse")
    need("mkfs.exfat", "exfatprogs")
    need_disk("fuseblk")
    machine.within = OWN_DISK
    said = machine.doctor(
        *HERE, "--folder", "stick",
        shell="""set -e; PATH=$PATH:/usr/sbin:/sbin
        { mkdir stick; truncate -s 16M disk; mkfs.exfat disk; loop=$(losetup --find --show disk)
          trap "losetup --detach $loop" EXIT; mount.exfat-fuse $loop stick; losetup --detach $loop
        } > /dev/null""",
    )  # fmt: skip
    found = said.fault("locks-fail")
    assert "/stick on " in found["found"]
    assert "FAT" in found["remedy"]


def test_a_disk_whose_answers_are_out_of_date(machine: Machine) -> None:
    need_root()
    need_disk("fuse")
    system = need("/usr/bin/python3", "python3")
    if subprocess.run([system, "-c", "import fusepy"], capture_output=True, check=False).returncode:
        missing("Debian's fusepy is not installed (apt-get install python3-fusepy)")
    machine.within = OWN_DISK
    script = Path(__file__).with_name("stale_disk.py")
    said = machine.doctor(
        *HERE,
        *("--folder", "shown"),
        shell=f"set -e; mkdir back shown; {system} {shlex.quote(str(script))} $PWD/back shown",
    )
    assert "/shown on " in said.fault("garbled")["found"]


def test_what_is_printed_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # it tries to write in the current folder
    done = CliRunner().invoke(app, ["doctor", *HERE, "--ports", "1-1", "--interface", "nope"])
    assert done.exit_code == 1
    assert "fault   where the manager listens: there is no interface nope" in done.output
    assert "-> Give --interface" in done.output
    assert done.output.rstrip().endswith("1 fault.")
