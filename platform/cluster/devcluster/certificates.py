"""One certificate authority, and a certificate for each part that speaks to another."""

import subprocess

from devcluster.paths import API_SERVICE_IP, CERTIFICATES, NODE, NODE_IP

_SUBJECTS = {
    "kube-apiserver": "/CN=kube-apiserver",
    "kubelet-server": f"/CN={NODE}",
    "admin": "/O=system:masters/CN=admin",
    "kubelet-client": "/O=system:masters/CN=apiserver-kubelet-client",
    "kube-controller-manager": "/CN=system:kube-controller-manager",
    "kube-scheduler": "/CN=system:kube-scheduler",
    "kubelet": f"/O=system:nodes/CN=system:node:{NODE}",
    "kube-proxy": "/CN=system:kube-proxy",
    # Its rights would be narrow in a cluster for production; here it is a part of the machine.
    "agent": "/O=system:masters/CN=node-agent",
}
_API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
_NAMES = {
    "kube-apiserver": ",".join([*(f"DNS:{name}" for name in _API_NAMES), f"IP:{NODE_IP}", f"IP:{API_SERVICE_IP}"]),
    "kubelet-server": f"DNS:{NODE},IP:{NODE_IP}",
}
_DAYS = "3650"


def make_certificates() -> None:
    """Make them once; a cluster that exists keeps its own."""
    done = CERTIFICATES / "done"
    if done.exists():
        return
    CERTIFICATES.mkdir(parents=True, exist_ok=True, mode=0o700)
    _key("ca")
    _openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=rlgen-dev", "-days", _DAYS, "-out", "ca.crt")
    for name, subject in _SUBJECTS.items():
        _sign(name, subject, _NAMES.get(name))
    _key("service-accounts")
    _openssl("ec", "-in", "service-accounts.key", "-pubout", "-out", "service-accounts.pub")
    done.touch()


def _key(name: str) -> None:
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")


def _sign(name: str, subject: str, names: str | None) -> None:
    _key(name)
    _openssl("req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
    lines = ["basicConstraints=CA:FALSE", "keyUsage=digitalSignature", "extendedKeyUsage=clientAuth,serverAuth"]
    if names:
        lines.append(f"subjectAltName={names}")
    (CERTIFICATES / f"{name}.ext").write_text("\n".join(lines) + "\n")
    signer = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", _DAYS, "-extfile", f"{name}.ext"]
    _openssl("x509", "-req", "-in", f"{name}.csr", *signer, "-out", f"{name}.crt")


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=CERTIFICATES, check=True, capture_output=True)
