"""The API server of a kubeconfig, asked over HTTPS as every client of Kubernetes asks it: no shell, no kubectl.

Credentials are those that the kubeconfig names. Where it names a program, such as gke-gcloud-auth-plugin, that program
is started as clients start it: without a shell, and told of the cluster where the kubeconfig asks for it
(client.authentication.k8s.io of Kubernetes' reference). What it answers stays in this process, for one connection.
"""

import base64
import binascii
import json
import os
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_ANSWER_SECONDS = 10
_PLUGIN_SECONDS = 60
_KUBECONFIG = ("GKE_LLM_INFERENCE_KUBECONFIG", "KUBECONFIG")
_EXEC_INFO = "KUBERNETES_EXEC_INFO"
_UNSUPPORTED_OF_USER = ("auth-provider", "username", "password", "as", "as-uid", "as-groups")
_UNSUPPORTED_OF_CLUSTER = ("tls-server-name",)


class NoAnswerError(Exception):
    """The API server gave no usable answer; another attempt may get one."""


class RefusedError(Exception):
    """Another attempt gets no other answer.

    Attributes:
        what: what went wrong; never holds a credential.
        why: what that means.
        fix: what to change.

    """

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.why, self.fix = what, why, fix


@dataclass(frozen=True)
class _Entry:
    """A cluster or a user of a kubeconfig, and the directory that its paths start from."""

    values: Mapping[str, Any]
    directory: Path

    def content(self, key: str) -> bytes | None:
        """What stands in `<key>-data`, or in the file that `key` names."""
        data = self.values.get(f"{key}-data")
        if isinstance(data, str) and data:
            try:
                return base64.b64decode(data, validate=True)
            except binascii.Error:
                raise _unusable(f"{key}-data is not base64") from None
        path = self.values.get(key)
        if not isinstance(path, str) or not path:
            return None
        try:
            return (self.directory / path).read_bytes()
        except OSError as error:
            raise _unusable(f"{key} cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class _Credentials:
    """What the server is shown; never printed."""

    token: str | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)


class ApiServer:
    """The API server of a kubeconfig's context. A method blocks for seconds at most, or a minute for credentials."""

    def __init__(self, cluster: _Entry, user: _Entry) -> None:
        self._cluster, self._user = cluster, user
        unsupported = [key for key in _UNSUPPORTED_OF_USER if user.values.get(key)]
        unsupported += [key for key in _UNSUPPORTED_OF_CLUSTER if cluster.values.get(key)]
        if unsupported:
            raise _unusable(f"it has {', '.join(unsupported)}, which is not supported here")
        self._server = str(cluster.values.get("server", "")).rstrip("/")
        if not self._server.startswith("https://"):
            raise _unusable("its server has no address that starts with https://")
        self._opener: urllib.request.OpenerDirector | None = None

    @classmethod
    def of_kubeconfig(cls, text: str) -> "ApiServer":
        """The server of a kubeconfig's current context.

        Raises:
            RefusedError: the kubeconfig cannot be used.

        """
        return cls._of([(_parsed(text), Path())], None)

    @classmethod
    def of_context(cls, context: str | None, environment: Mapping[str, str] = os.environ) -> "ApiServer":
        """The server of a context of the kubeconfig that clients on this machine use: KUBECONFIG, or ~/.kube/config.

        A program whose engine has another environment names that one's kubeconfig in GKE_LLM_INFERENCE_KUBECONFIG.

        Raises:
            RefusedError: there is no such context, or it cannot be used.

        """
        listed = next((environment[name] for name in _KUBECONFIG if environment.get(name)), "")
        stated = [Path(part) for part in listed.split(os.pathsep) if part]
        paths = [path for path in stated or [Path.home() / ".kube" / "config"] if path.exists()]
        return cls._of([(_parsed(path.read_text("utf-8")), path.parent) for path in paths], context)

    @classmethod
    def _of(cls, files: list[tuple[Mapping[str, Any], Path]], name: str | None) -> "ApiServer":
        current = name or next((one["current-context"] for one, _ in files if one.get("current-context")), "")
        context = _named(files, "contexts", "context", current)
        return cls(
            _named(files, "clusters", "cluster", str(context.values.get("cluster", ""))),
            _named(files, "users", "user", str(context.values.get("user", ""))),
        )

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether the server knows a kind.

        Args:
            api_version: group and version, such as gateway.networking.k8s.io/v1.
            kind: such as Gateway.

        Raises:
            NoAnswerError: it gave no usable answer this time.
            RefusedError: it will not give one.

        """
        found = self._get(f"/apis/{api_version}")
        resources = found.get("resources") if found else None
        return any(isinstance(one, dict) and one.get("kind") == kind for one in resources or ())

    def _get(self, path: str) -> Mapping[str, Any] | None:
        """The answer to a question; None where there is nothing by that path."""
        if self._opener is None:
            self._opener = self._connected(self._credentials())
        try:
            with self._opener.open(f"{self._server}{path}", timeout=_ANSWER_SECONDS) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code == 403:
                raise RefusedError(
                    "the API server refuses to say which APIs it serves (403)",
                    "whoever runs this deployment may not read what every authenticated user may",
                    "bind it to the ClusterRole system:discovery, and on Google Cloud to roles/container.clusterViewer",
                ) from None
            # Credentials expire while one waits.
            self._opener = None
            raise NoAnswerError(f"the API server answered {error.code}") from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise RefusedError(
                    f"the API server's certificate is not trusted: {error.reason.verify_message}",
                    "something else may answer at its address, and would be shown credentials",
                    "see that the kubeconfig has the cluster's own authority, or refresh the stack",
                ) from None
            raise NoAnswerError(f"the API server cannot be reached: {error.reason}") from None
        except (OSError, ValueError) as error:
            raise NoAnswerError(f"the API server's answer broke off: {type(error).__name__}") from None
        return found if isinstance(found, dict) else {}

    def _connected(self, credentials: _Credentials) -> urllib.request.OpenerDirector:
        authority = self._cluster.content("certificate-authority")
        context = ssl.create_default_context(cadata=_text(authority) if authority else None)
        if self._cluster.values.get("insecure-skip-tls-verify") is True:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if credentials.certificate and credentials.key:
            _load(context, credentials.certificate, credentials.key)
        proxy = self._cluster.values.get("proxy-url")
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context),
            urllib.request.ProxyHandler({"https": str(proxy)} if proxy else None),
            _NoRedirects(),
        )
        opener.addheaders = [("Accept", "application/json"), ("User-Agent", "gke-llm-inference")]
        if credentials.token:
            opener.addheaders.append(("Authorization", f"Bearer {credentials.token}"))
        return opener

    def _credentials(self) -> _Credentials:
        user = self._user
        if isinstance(user.values.get("exec"), dict):
            return self._from_plugin(user.values["exec"])
        token = user.content("tokenFile") if user.values.get("tokenFile") else None
        return _Credentials(
            token=_text(token).strip() if token else user.values.get("token"),
            certificate=user.content("client-certificate"),
            key=user.content("client-key"),
        )

    def _from_plugin(self, plugin: Mapping[str, Any]) -> _Credentials:
        name, version = str(plugin.get("command", "")), str(plugin.get("apiVersion", ""))
        spec: dict[str, Any] = {"interactive": False}
        if plugin.get("provideClusterInfo") is True:
            authority = self._cluster.content("certificate-authority")
            spec["cluster"] = {"server": self._server} | (
                {"certificate-authority-data": base64.b64encode(authority).decode()} if authority else {}
            )
        info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
        more = {str(one["name"]): str(one["value"]) for one in plugin.get("env") or ()}
        # Relative to the kubeconfig where it is a path, as clients take it.
        command = str(self._user.directory / name) if os.sep in name else name
        try:
            ended = subprocess.run(  # noqa: S603 what the kubeconfig names, as for every client of the cluster
                [command, *map(str, plugin.get("args") or ())],
                env={**os.environ, **more, _EXEC_INFO: json.dumps(info)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PLUGIN_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NoAnswerError(f"{name} gave no credentials within {_PLUGIN_SECONDS} s") from None
        except OSError as error:
            raise RefusedError(
                f"{name} cannot be started: {error.strerror}",
                "the kubeconfig has its credentials from it",
                str(plugin.get("installHint") or f"install {name}"),
            ) from None
        if ended.returncode:
            raise NoAnswerError(f"{name} gave no credentials: it ended with {ended.returncode}")
        try:
            status = json.loads(ended.stdout)["status"]
            return _Credentials(
                token=status.get("token"),
                certificate=_bytes(status.get("clientCertificateData")),
                key=_bytes(status.get("clientKeyData")),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            raise NoAnswerError(f"{name} gave no credentials: it answered something else") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An API server sends nobody elsewhere, and a token must not go there."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Gives a context its certificate; OpenSSL reads it from a file alone, which is gone when this returns."""
    descriptor, path = tempfile.mkstemp()  # readable by its owner alone
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(path)
    except ssl.SSLError:
        raise _unusable("its client certificate and key do not belong together") from None
    finally:
        Path(path).unlink()


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        raise _unusable("it is not YAML") from None
    return found if isinstance(found, dict) else {}


def _named(files: Iterable[tuple[Mapping[str, Any], Path]], section: str, key: str, name: str) -> _Entry:
    """An entry of a kubeconfig; of several files, the first that has it counts."""
    for values, directory in files:
        for one in values.get(section) or ():
            if isinstance(one, dict) and one.get("name") == name:
                return _Entry(one.get(key) or {}, directory)
    raise _unusable(f"it has no {key} {name}")


def _unusable(what: str) -> RefusedError:
    return RefusedError(
        f"the kubeconfig cannot be used: {what}",
        "the cluster is reached by it",
        "use a kubeconfig as `gcloud container clusters get-credentials` writes it",
    )


def _text(content: bytes) -> str:
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise _unusable("a certificate or token of it is not text") from None


def _bytes(text: str | None) -> bytes | None:
    return text.encode() if text else None
