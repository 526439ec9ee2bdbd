"""The programs of a control plane, and the arguments with which they find each other."""

import base64
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local.gke.certificates import Authority, KeyPair, signing_key
from local.gke.files import private_directory, write_private
from local.gke.nodes import MANAGED

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
AUTOSCALER = "node-autoscaler"
START_ORDER = (*PROGRAMS, AUTOSCALER)
"""The processes of an instance; they are stopped the other way round."""
CONTEXT = "local"
ADMINISTRATORS = "local-gke:administrators"
"""The group of whoever uses the kubeconfig; a role binding makes it the cluster's administrator."""

_PROXY_CLIENT = "front-proxy-client"
_SERVICE_RANGE = "10.96.0.0/16"
_POD_RANGE = "10.64.0.1/16"


@dataclass(frozen=True)
class Ports:
    """Ports on the loopback address."""

    api: int
    store: int
    store_peer: int


def free_ports(preferred_api: int | None = None) -> Ports:
    """Ports that nobody has at this moment; that of the API as before, if it is free."""
    sockets = []
    try:
        for port in (preferred_api or 0, 0, 0):
            sockets.append(_bound(port))
        return Ports(*(one.getsockname()[1] for one in sockets))
    finally:
        for one in sockets:
            one.close()


def _bound(port: int) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind(("127.0.0.1", port))
    except OSError:
        one.bind(("127.0.0.1", 0))
    return one


@dataclass(frozen=True)
class Layout:
    """Where the files of an instance are."""

    directory: Path

    @property
    def state(self) -> Path:
        """What the instance is: ports, profile, speed."""
        return self.directory / "instance.json"

    @property
    def records(self) -> Path:
        """One file for each process."""
        return self.directory / "processes"

    @property
    def logs(self) -> Path:
        """Output of the processes."""
        return self.directory / "logs"

    @property
    def certificates(self) -> Path:
        """Authorities, certificates and keys."""
        return self.directory / "pki"

    @property
    def store(self) -> Path:
        """Data of etcd."""
        return self.directory / "etcd"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of whoever uses the cluster."""
        return self.directory / "kubeconfig"

    @property
    def simulation(self) -> Path:
        """Node pools and start-up times, for the autoscaler."""
        return self.directory / "simulation.json"

    @property
    def stock(self) -> Path:
        """The machines that Google has, for the autoscaler."""
        return self.directory / "stock.json"

    @property
    def usage(self) -> Path:
        """How long machines were there, from the autoscaler."""
        return self.directory / "usage.json"

    @property
    def stages(self) -> Path:
        """What KWOK does with nodes and pods."""
        return self.directory / "stages.yaml"

    @property
    def scheduler(self) -> Path:
        """Configuration of the scheduler."""
        return self.directory / "scheduler.yaml"

    @property
    def lock(self) -> Path:
        """Held by whoever changes the instance."""
        return self.directory / "lock"

    @property
    def names(self) -> frozenset[str]:
        """Names of everything that lies in the directory itself."""
        files = (self.state, self.kubeconfig, self.stages, self.scheduler, self.lock)
        told = (self.simulation, self.stock, self.usage)
        return frozenset(path.name for path in (*files, *told, self.records, self.logs, self.certificates, self.store))

    def own_kubeconfig(self, name: str) -> Path:
        """The kubeconfig of one of the processes."""
        return self.certificates / f"{name}.kubeconfig"

    def make(self) -> None:
        """Make the directories, for this user only."""
        for path in (self.directory, self.records, self.logs, self.certificates, self.store):
            private_directory(path)


@dataclass(frozen=True)
class Credentials:
    """Certificates of an instance, made where they are missing."""

    authority: Authority
    store_authority: Authority
    api_server: KeyPair
    store_server: KeyPair
    store_client: KeyPair
    administrator: KeyPair
    proxy_authority: Authority
    proxy_client: KeyPair
    service_accounts: Path

    @classmethod
    def of(cls, layout: Layout) -> "Credentials":
        """The certificates of the instance in `layout`."""
        authority = Authority(layout.certificates, "authority")
        # A store of its own authority: no client of the API server is one of the store.
        store_authority = Authority(layout.certificates, "store-authority")
        # Whom it signs for, speaks for any user to the API servers behind an APIService: nobody but the API server.
        proxy_authority = Authority(layout.certificates, "proxy-authority")
        kubernetes = tuple(f"kubernetes{tail}" for tail in ("", ".default", ".default.svc"))
        return cls(
            authority,
            store_authority,
            authority.server("kube-apiserver", kubernetes),
            store_authority.server("etcd"),
            store_authority.client("etcd-client", "kube-apiserver"),
            authority.client("administrator", "local", ADMINISTRATORS),
            proxy_authority,
            proxy_authority.client(_PROXY_CLIENT, _PROXY_CLIENT),
            signing_key(layout.certificates / "service-accounts.key"),
        )


def kubeconfig(server: str, authority: KeyPair, client: KeyPair) -> bytes:
    """A kubeconfig that holds everything itself."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": CONTEXT, "cluster": {"server": server, "certificate-authority-data": _text(authority.certificate)}}
        ],
        "users": [
            {
                "name": CONTEXT,
                "user": {
                    "client-certificate-data": _text(client.certificate),
                    "client-key-data": _text(client.key),
                },
            }
        ],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
        "current-context": CONTEXT,
    }
    return yaml.safe_dump(document, sort_keys=False).encode()


def _text(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def write_kubeconfigs(layout: Layout, credentials: Credentials, server: str) -> None:
    """Write the kubeconfigs of the user and of the processes."""
    users = {
        "kube-controller-manager": "system:kube-controller-manager",
        "kube-scheduler": "system:kube-scheduler",
        "kwok": "system:kwok",
        AUTOSCALER: "system:node-autoscaler",
    }
    for name, user in users.items():
        client = credentials.authority.client(name, user)
        write_private(layout.own_kubeconfig(name), kubeconfig(server, credentials.authority.files, client))
    write_private(layout.kubeconfig, kubeconfig(server, credentials.authority.files, credentials.administrator))


def write_scheduler(layout: Layout) -> None:
    """Write the scheduler's configuration."""
    document = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(layout.own_kubeconfig("kube-scheduler"))},
        "leaderElection": {"leaderElect": False},
        "enableProfiling": False,
        # GKE's wait up to ten seconds between two tries; nodes come faster here.
        "podInitialBackoffSeconds": 1,
        "podMaxBackoffSeconds": 1,
    }
    write_private(layout.scheduler, yaml.safe_dump(document, sort_keys=False).encode())


def commands(
    layout: Layout, binaries: Mapping[str, Path], credentials: Credentials, ports: Ports, speed: float
) -> dict[str, list[str]]:
    """The command of every process."""
    store = f"https://127.0.0.1:{ports.store}"
    peer = f"https://127.0.0.1:{ports.store_peer}"
    store_files, client = credentials.store_server, credentials.store_client
    api, authority = credentials.api_server, credentials.authority.files
    proxy = credentials.proxy_client
    # Kubernetes gives up a node that does not answer after 50 s, and its pods after 5 min; simulated time is faster.
    gone, evicted = max(10.0, 50 / speed), max(1, round(300 / speed))
    # An autoscaler looks every 15 s; what it waits for is its own settings' matter, in real time.
    looks = max(0.25, 15 / speed)
    arguments: dict[str, dict[str, Any]] = {
        "etcd": {
            "name": "local",
            "data-dir": layout.store,
            "listen-client-urls": store,
            "advertise-client-urls": store,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"local={peer}",
            "client-cert-auth": "true",
            "trusted-ca-file": credentials.store_authority.files.certificate,
            "cert-file": store_files.certificate,
            "key-file": store_files.key,
            "peer-client-cert-auth": "true",
            "peer-trusted-ca-file": credentials.store_authority.files.certificate,
            "peer-cert-file": store_files.certificate,
            "peer-key-file": store_files.key,
            # Survives the end of the process, not of the machine; the first waits for the disk otherwise.
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        },
        "kube-apiserver": {
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": ports.api,
            "etcd-servers": store,
            "etcd-cafile": credentials.store_authority.files.certificate,
            "etcd-certfile": client.certificate,
            "etcd-keyfile": client.key,
            "client-ca-file": authority.certificate,
            # What APIServices need: the API server passes requests on and says whose they are.
            "requestheader-client-ca-file": credentials.proxy_authority.files.certificate,
            "requestheader-allowed-names": _PROXY_CLIENT,
            "requestheader-username-headers": "X-Remote-User",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "proxy-client-cert-file": proxy.certificate,
            "proxy-client-key-file": proxy.key,
            "tls-cert-file": api.certificate,
            "tls-private-key-file": api.key,
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": credentials.service_accounts,
            "service-account-signing-key-file": credentials.service_accounts,
            "service-cluster-ip-range": _SERVICE_RANGE,
            "authorization-mode": "Node,RBAC",
            "anonymous-auth": "false",
            "allow-privileged": "true",
            "endpoint-reconciler-type": "none",
            "default-not-ready-toleration-seconds": evicted,
            "default-unreachable-toleration-seconds": evicted,
            "profiling": "false",
        },
        "kube-controller-manager": {
            "kubeconfig": layout.own_kubeconfig("kube-controller-manager"),
            "secure-port": 0,
            "leader-elect": "false",
            "use-service-account-credentials": "true",
            "root-ca-file": authority.certificate,
            "service-account-private-key-file": credentials.service_accounts,
            "node-monitor-period": "1s",
            "node-monitor-grace-period": f"{gone:.1f}s",
            "horizontal-pod-autoscaler-sync-period": f"{looks:.2f}s",
            "profiling": "false",
        },
        "kube-scheduler": {
            "config": layout.scheduler,
            "secure-port": 0,
        },
        "kwok": {
            "kubeconfig": layout.own_kubeconfig("kwok"),
            "config": layout.stages,
            "manage-nodes-with-label-selector": f"{MANAGED}=fake",
            "manage-all-nodes": "false",
            "cidr": _POD_RANGE,
            "node-ip": "10.128.0.2",
            # The server that answers for kubelets would listen on every address.
            "node-port": 0,
            "node-lease-duration-seconds": round(gone),
        },
    }
    made = {
        name: [str(binaries[name]), *(f"--{flag}={value}" for flag, value in flags.items())]
        for name, flags in arguments.items()
    }
    made[AUTOSCALER] = [sys.executable, *_autoscaler(layout)]
    return made


def name_of(command: Sequence[str], layout: Layout) -> str | None:
    """Which process of the instance in `layout` a command is; None for everybody else's, even if it names its files."""
    own = {
        "etcd": f"--data-dir={layout.store}",
        "kube-apiserver": f"--tls-cert-file={layout.certificates / 'kube-apiserver.crt'}",
        "kube-controller-manager": f"--kubeconfig={layout.own_kubeconfig('kube-controller-manager')}",
        "kube-scheduler": f"--config={layout.scheduler}",
        "kwok": f"--config={layout.stages}",
    }
    if list(command[-3:]) == _autoscaler(layout):
        return AUTOSCALER
    program = Path(command[0]).name
    return program if own.get(program) in command[1:] else None


def _autoscaler(layout: Layout) -> list[str]:
    return ["-m", "local.gke.autoscaler", str(layout.directory)]
