"""What must be true of a machine whose plug was pulled, when it is up again."""

import json
from typing import Final, NamedTuple

from tests.machine import crm
from tests.machine.vm import Vm

SETTLED: Final = """
for unit in epmstored.service crm.service crm-worker.service crm-web.service; do
    systemctl is-active --quiet "$unit" || echo "$unit: $(systemctl is-active "$unit")"
done
systemctl list-units --failed --plain --no-legend | sed 's/^/failed: /'
"""


class Known(NamedTuple):
    """What was so when the power went."""

    sums: dict[str, str]
    releases: set[str]
    """Those of crm that its root may be of."""
    versions: set[int]
    """Acknowledged."""


class Found(NamedTuple):
    """What is so; `live` is the release of crm that it is of."""

    live: str | None
    problems: list[str]


def versions(vm: Vm) -> set[int]:
    """All that the history lists."""
    found = vm.epmstore("log", "--all", "--app", "crm")
    return {int(one["version"]) for one in found if one["type"] == "version"}


def services(vm: Vm) -> list[str]:
    """Units that are not as they should be: nobody had to do anything for that."""
    return vm.sh(SETTLED).splitlines()


def judge(vm: Vm, known: Known) -> Found:
    """All of it, with every stored byte read back."""
    problems = services(vm)
    for problem in list(problems):
        unit = problem.removeprefix("failed: ").split()[0].rstrip(":")
        problems.append(vm.run("journalctl", "-b", "-u", unit, "-n", "20", check=False).out)
    for unit, found in crm.starts(vm.console()):
        if not crm.is_whole(found):
            problems.append(f"{unit} started on a mixed root: {found}")
    total = crm.total(vm)
    live = next((name for name, its in known.sums.items() if its == total), None)
    if live not in known.releases:
        problems.append(f"the root is {live or 'mixed'}, and not {sorted(known.releases)}")
    log = vm.run("epmstore", "log", "--all", "--app", "crm", "--json", check=False)
    if log.code:
        problems.append(f"log: {log.code}: {log.err}")
    else:
        lines = [json.loads(line) for line in log.out.splitlines()]
        listed = {int(one["version"]) for one in lines if one["type"] == "version"}
        if missing := known.versions - listed:
            problems.append(f"acknowledged, and not listed: {sorted(missing)}")
    fsck = vm.run("epmstore", "fsck", "--read-data", check=False)
    if fsck.code:
        problems.append(f"fsck: {fsck.code}: {fsck.out}{fsck.err}")
    status = vm.run("epmstore", "status", "--app", "crm", check=False)
    if status.code not in (0, 1):
        problems.append(f"status: {status.code}: {status.out}{status.err}")
    return Found(live, problems)
