"""Which control groups are ours, on trees made of plain files: layouts that this machine may not have."""

import os

import pytest

from ffrtmp.process import cgroups, confine


class Machine:
    """A process with its `cgroup` and `mountinfo`, and folders as a kernel would show them."""

    def __init__(self, folder):
        self.folder = folder
        self.process = folder / "self"
        self.process.mkdir()
        self.groups: list[str] = []
        self.mounts: list[str] = []

    def mount(self, name: str, kind: str, options: str, group: str, *, root: str = "/") -> None:
        path = self.folder / name
        self.mounts.append(f"31 23 0:28 {root} {path} rw,relatime shared:1 - {kind} {kind} {options}")
        controllers = "" if kind == "cgroup2" else options.removeprefix("rw,")
        self.groups.append(f"{len(self.groups)}:{controllers}:{group}")
        (self.process / "cgroup").write_text("\n".join(self.groups) + "\n")
        (self.process / "mountinfo").write_text("\n".join(self.mounts) + "\n")

    def second(self, group: str, *, controllers: str = "cpu io memory pids", processes: str = "", top: bool = False):
        """A group of version 2 that is all ours."""
        path = self.folder / "unified" / group.strip("/")
        path.mkdir(parents=True, exist_ok=True)
        (path / "cgroup.controllers").write_text(controllers + "\n")
        (path / "cgroup.subtree_control").write_text("")
        (path / "cgroup.procs").write_text(processes)
        if not top:
            (path / "cgroup.type").write_text("domain\n")
        return path


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_version_one_controllers_below_our_own_groups(machine):
    for name in ("cpu", "memory", "cpuacct"):
        (machine.folder / name / "robot" / "7").mkdir(parents=True)
    machine.mount("cpu", "cgroup", "rw,cpu", "/")
    machine.mount("cpuacct", "cgroup", "rw,cpuacct", "/")
    machine.mount("memory", "cgroup", "rw,memory", "/robot/7")
    tree, why = cgroups.find(machine.process)
    assert tree == cgroups.Tree(
        version=1,
        cpu=machine.folder / "cpu",
        memory=machine.folder / "memory/robot/7",
        usage=machine.folder / "cpuacct",
    )
    assert why == "cgroup v1 controllers can be written to"


def test_controllers_that_share_a_mount_make_one_group(machine):
    (machine.folder / "cpu,cpuacct").mkdir()
    machine.mount("cpu,cpuacct", "cgroup", "rw,cpu,cpuacct", "/")
    tree, _ = cgroups.find(machine.process)
    assert tree is not None
    assert tree.places == (machine.folder / "cpu,cpuacct",)
    assert tree.memory is None


def test_a_container_that_sees_its_own_part_of_the_tree(machine):
    (machine.folder / "memory").mkdir()
    machine.mount("memory", "cgroup", "rw,memory", "/docker/abc", root="/docker/abc")
    tree, _ = cgroups.find(machine.process)
    assert tree is not None
    assert tree.memory == machine.folder / "memory"


def test_a_group_outside_of_what_is_mounted_is_not_ours(machine):
    (machine.folder / "memory").mkdir()
    machine.mount("memory", "cgroup", "rw,memory", "/system", root="/docker/abc")
    assert cgroups.find(machine.process)[0] is None


def test_controllers_of_another_user(machine, monkeypatch):
    (machine.folder / "memory").mkdir()
    machine.second("", controllers="", top=True)
    machine.mount("memory", "cgroup", "rw,memory", "/")
    machine.mount("unified", "cgroup2", "rw", "/")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert cgroups.find(machine.process) == (None, "the cgroup v1 controllers cannot be written to by this user")


def test_no_control_groups_at_all(tmp_path):
    assert cgroups.find(tmp_path) == (None, "no control groups are mounted here")


def test_a_delegated_group_of_version_two(machine, monkeypatch):
    ours = machine.second("system.slice/ffrtmp-agent.service", processes=f"{os.getpid()}\n4242\n")
    machine.mount("unified", "cgroup2", "rw", "/system.slice/ffrtmp-agent.service")
    tree, why = cgroups.find(machine.process)
    assert tree is None
    assert "has other processes in it and was not delegated (systemd: Delegate=yes)" in why
    monkeypatch.setattr(cgroups, "_delegated", lambda group: group == ours)
    tree, why = cgroups.find(machine.process)
    assert tree == cgroups.Tree(version=2, cpu=ours, memory=ours, usage=ours)
    assert why == f"cgroup v2 below {ours}"


def test_a_service_that_systemd_put_into_a_group_below_the_delegated_one(machine, monkeypatch):
    ours = machine.second("a.service")
    machine.second("a.service/main", processes=f"{os.getpid()}\n")
    machine.mount("unified", "cgroup2", "rw", "/a.service/main")
    monkeypatch.setattr(cgroups, "_delegated", lambda group: group == ours)
    tree, _ = cgroups.find(machine.process)
    assert tree is not None
    assert tree.places == (ours,)


def test_an_agent_that_moved_at_its_last_start_finds_the_same_tree(machine):
    ours = machine.second("job")
    machine.second(f"job/{cgroups.PROGRAMS}", processes=f"{os.getpid()}\n")
    machine.mount("unified", "cgroup2", "rw", f"/job/{cgroups.PROGRAMS}")
    tree, _ = cgroups.find(machine.process)
    assert tree is not None
    assert tree.places == (ours,)


def test_version_two_without_controllers_leaves_version_one(machine):
    machine.second("", controllers="", top=True)
    machine.mount("unified", "cgroup2", "rw", "/")
    assert "neither cpu nor memory is handed down" in cgroups.find(machine.process)[1]
    (machine.folder / "memory").mkdir()
    machine.mount("memory", "cgroup", "rw,memory", "/")
    tree, _ = cgroups.find(machine.process)
    assert tree is not None
    assert tree.version == 1


def test_processes_move_aside_before_controllers_are_handed_down(machine):
    ours = machine.second("job", processes=f"{os.getpid()}\n")
    tree = cgroups.Tree(version=2, cpu=ours, memory=ours, usage=ours)
    cgroups.prepare(tree)
    assert (ours / cgroups.PROGRAMS / "cgroup.procs").read_text() == str(os.getpid())
    assert (ours / "cgroup.subtree_control").read_text() == "+cpu +memory"


def test_at_the_top_of_the_machine_nothing_moves(machine):
    ours = machine.second("", processes="1\n2\n", top=True)
    cgroups.prepare(cgroups.Tree(version=2, memory=ours, usage=ours))
    assert not (ours / cgroups.PROGRAMS).exists()
    assert (ours / "cgroup.subtree_control").read_text() == "+memory"


def test_what_is_written_to_a_group_of_version_two(machine):
    ours = machine.second("job")
    group = cgroups.Group(cgroups.Tree(version=2, cpu=ours, memory=ours, usage=ours), "ffrtmp-a-1")
    [folder] = group.folders
    for name in ("memory.max", "memory.swap.max", "memory.oom.group"):
        (folder / name).write_text("max")
    group.limit_cpu(150)
    group.limit_memory(1 << 30)
    assert (folder / "cpu.max").read_text() == "150000 100000"
    assert (folder / "memory.max").read_text() == str(1 << 30)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "memory.oom.group").read_text() == "1"
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 1\n")
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\nnr_periods 9\nnr_throttled 7\n")
    assert (group.kills(), group.throttled(), group.cpu_seconds()) == (1, 7, 1.5)
    assert group.doors == (folder / "cgroup.procs",)


def test_a_group_that_cannot_be_made_leaves_nothing(tmp_path):
    tree = cgroups.Tree(version=1, cpu=tmp_path, memory=tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        cgroups.Group(tree, "g")
    assert list(tmp_path.iterdir()) == []
    assert confine.Limiter(tree, owner="x").attempt("1").group is None


def test_a_tree_that_turns_out_not_to_be_ours_is_not_used(tmp_path, monkeypatch):
    tree = cgroups.Tree(version=2, cpu=tmp_path / "gone", memory=tmp_path / "gone", usage=tmp_path / "gone")
    monkeypatch.setattr(cgroups, "find", lambda: (tree, "yes"))
    made = confine.Limiter.open(tmp_path / "note", "owner")
    assert made.tree is None
    assert made.means.why.startswith("cgroup v2 cannot be used: No such file or directory")
    assert made.means.memory == "resident memory, looked at each second"


def test_a_note_that_cannot_be_written_does_not_keep_the_agent_from_starting(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroups, "find", lambda: (None, "there are none"))
    assert confine.Limiter.open(tmp_path / "not-there" / "note", "owner").tree is None
