"""The node's own address, forwarding, and kernel settings that the cluster's parts change."""

import json
import subprocess
from pathlib import Path

from devcluster.paths import CONFIG, NODE_IP, STATE

_SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""What kubelet, kube-proxy and this module set."""
_BEFORE = STATE / "kernel-settings.json"
TABLES = ("rlgen-nat", "rlgen-policy")
IPTABLES = ("filter", "mangle", "nat")
"""Those that iptables makes when it is asked for anything, and leaves behind empty."""


def set_up_network() -> None:
    """An address that does not change with the machine's network; forwarding; masquerading for pods."""
    if not _BEFORE.exists():
        _BEFORE.write_text(json.dumps({name: _setting(name).read_text().strip() for name in _SETTINGS}))
    subprocess.run(["ip", "address", "replace", f"{NODE_IP}/32", "dev", "lo"], check=True)
    _setting("net/ipv4/ip_forward").write_text("1")
    subprocess.run(["nft", "-f", str(CONFIG / "masquerade.nft")], check=True)


def take_down_network(kube_proxy: Path) -> None:
    """Undo it, and kube-proxy's rules with it."""
    subprocess.run([kube_proxy, "--cleanup"], check=True, capture_output=True)
    for iptables in ("iptables", "ip6tables"):
        _remove_firewall(iptables)
    for family, table in _tables():
        if table in TABLES or (table in IPTABLES and _empty(family, table)):
            subprocess.run(["nft", "delete", "table", family, table], check=True)
    subprocess.run(["ip", "address", "delete", f"{NODE_IP}/32", "dev", "lo"], capture_output=True)
    if _BEFORE.exists():
        for name, value in json.loads(_BEFORE.read_text()).items():
            if _setting(name).read_text().strip() != value:
                _setting(name).write_text(value)


def _remove_firewall(iptables: str) -> None:
    """A chain that kube-proxy fills and leaves to kubelet to remove, which never does."""
    chain = "KUBE-FIREWALL"
    if subprocess.run([iptables, "-w", "-S", chain], capture_output=True).returncode == 0:
        for arguments in (["-D", "INPUT", "-j"], ["-D", "OUTPUT", "-j"], ["-F"], ["-X"]):
            subprocess.run([iptables, "-w", *arguments, chain], check=True)


def _tables() -> list[tuple[str, str]]:
    lines = subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True).stdout.splitlines()
    return [(family, name) for _, family, name in map(str.split, lines)]


def _empty(family: str, table: str) -> bool:
    """Whether it changes no packet's way: no rule, no chain of its own, nothing dropped."""
    listed = subprocess.run(["nft", "-j", "list", "table", family, table], check=True, capture_output=True, text=True)
    entries = json.loads(listed.stdout)["nftables"]
    chains = [entry["chain"] for entry in entries if "chain" in entry]
    return not any("rule" in entry for entry in entries) and all(chain.get("policy") == "accept" for chain in chains)


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name
