"""The table of what is built: which Go modules, which programs each gives, and what building them takes."""

from dataclasses import dataclass, field
from pathlib import Path

from tools.errors import UserError

KUBERNETES_VERSION = "1.36.3"
PULUMI_VERSION = "3.259.0"
GATEWAY_VERSION = "1.9.1"
PLUGINS = {"kubernetes": "4.25.0", "random": "4.21.4", "tls": "5.6.2"}
"""Pulumi's resource plugins. A PyPI package asks for the plugin of its own version: requirements.txt pins the same."""

FOLDER = Path(__file__).resolve().parent
"""The folder that holds the modules."""


@dataclass(frozen=True)
class Program:
    """One executable: its name, and the Go package or the file of a Go module that it is made from."""

    name: str
    package: str


@dataclass(frozen=True)
class Script:
    """An executable that needs no building: a file of a Go module that the module at hand requires."""

    name: str
    module: str
    path: str


@dataclass(frozen=True)
class Module:
    """One Go module and what it gives. Minutes and GiB are of an empty cache, two cores and little else to do."""

    name: str
    programs: tuple[Program, ...]
    minutes: float
    gib: float
    """Room that compiled packages take while it is built; given back afterwards."""
    sources_gib: float
    """Room that the sources take; given back when all modules are built, since they share many."""
    tags: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    """Variables of Go packages that are set by the linker: mostly the version a program tells."""
    scripts: tuple[Script, ...] = ()
    parent: Path = field(default=FOLDER, repr=False)

    @property
    def folder(self) -> Path:
        """The folder of its go.mod."""
        return self.parent / self.name

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all it gives."""
        return tuple(part.name for part in (*self.programs, *self.scripts))


def _own(module: str, program: str) -> Program:
    return Program(program, f"switchyard.dev/tools/{module}")


def _kubernetes_version() -> tuple[tuple[str, str], ...]:
    major, minor, _ = KUBERNETES_VERSION.split(".")
    return (
        ("k8s.io/component-base/version.gitVersion", f"v{KUBERNETES_VERSION}"),
        ("k8s.io/component-base/version.gitMajor", major),
        ("k8s.io/component-base/version.gitMinor", minor),
        ("k8s.io/client-go/pkg/version.gitVersion", f"v{KUBERNETES_VERSION}"),
    )


_GATEWAY = "github.com/envoyproxy/gateway"
_CONTAINERD = "github.com/containerd/containerd/v2"
_LOKI = "github.com/grafana/loki/v3"
_PROMETHEUS = "github.com/prometheus"
_PULUMI_SDK = "github.com/pulumi/pulumi/sdk/v3"
_KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)

MODULES = (
    Module(
        "engine",
        (Program("pulumi", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"),),
        minutes=3.5,
        gib=1.7,
        sources_gib=1.6,
        variables=((f"{_PULUMI_SDK}/go/common/version.Version", f"v{PULUMI_VERSION}"),),
    ),
    Module(
        "python",
        (Program("pulumi-language-python", f"{_PULUMI_SDK}/python/cmd/pulumi-language-python"),),
        minutes=0.5,
        gib=0.3,
        sources_gib=0.3,
        scripts=(Script("pulumi-language-python-exec", _PULUMI_SDK, "python/cmd/pulumi-language-python-exec"),),
    ),
    Module(
        "kubernetes",
        (_own("kubernetes", "pulumi-resource-kubernetes"),),
        minutes=6,
        gib=9,
        sources_gib=1.0,
        variables=(("github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version", PLUGINS["kubernetes"]),),
    ),
    Module(
        "bridge",
        tuple(Program(f"pulumi-resource-{name}", f"switchyard.dev/tools/bridge/cmd/pulumi-resource-{name}") for name in ("random", "tls")),
        minutes=3,
        gib=2,
        sources_gib=1.6,
    ),
    Module(
        "cluster",
        (
            Program("etcd", "go.etcd.io/etcd/server/v3"),
            *(Program(name, f"k8s.io/kubernetes/cmd/{name}") for name in _KUBERNETES_PROGRAMS),
        ),
        minutes=7,
        gib=3.3,
        sources_gib=0.8,
        variables=_kubernetes_version(),
    ),
    Module(
        "containerd",
        tuple(Program(name, f"{_CONTAINERD}/cmd/{name}") for name in ("containerd", "containerd-shim-runc-v2", "ctr")),
        minutes=1,
        gib=0.6,
        sources_gib=0.6,
        tags=("no_btrfs", "no_zfs", "no_devmapper"),
        variables=((f"{_CONTAINERD}/version.Version", "v2.2.1"),),
    ),
    Module(
        "router",
        (Program("kube-router", "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"),),
        minutes=1.5,
        gib=1,
        sources_gib=0.8,
        variables=(("github.com/cloudnativelabs/kube-router/v2/pkg/version.Version", "v2.1.0"),),
    ),
    Module(
        "registry",
        (
            Program("registry", "github.com/distribution/distribution/v3/cmd/registry"),
            Program("crane", "github.com/google/go-containerregistry/cmd/crane"),
        ),
        minutes=1.5,
        gib=0.7,
        sources_gib=1.3,
        variables=(
            ("github.com/distribution/distribution/v3/version.version", "v3.1.2"),
            ("github.com/google/go-containerregistry/cmd/crane/cmd.Version", "v0.22.1"),
        ),
    ),
    Module("dns", (_own("dns", "coredns"),), minutes=1, gib=0.7, sources_gib=0.3),
    Module("sandbox-controller", (_own("sandbox-controller", "sandbox-controller"),), minutes=1, gib=0.9, sources_gib=0.3),
    Module("pause", (_own("pause", "pause"),), minutes=0.2, gib=0.1, sources_gib=0),
    Module(
        "kube-state-metrics",
        (Program("kube-state-metrics", "k8s.io/kube-state-metrics/v2"),),
        minutes=2,
        gib=2.2,
        sources_gib=0.4,
        variables=((f"{_PROMETHEUS}/common/version.Version", "v2.18.0"),),
    ),
    Module(
        "loki",
        (
            Program("loki", f"{_LOKI}/cmd/loki"),
            Program("promtool", f"{_PROMETHEUS}/prometheus/cmd/promtool"),
            Program("amtool", f"{_PROMETHEUS}/alertmanager/cmd/amtool"),
        ),
        minutes=6,
        gib=4.8,
        sources_gib=2.3,
        # Promtool knows the service discovery of 25 clouds; ours is Kubernetes', and DNS for what is in another namespace.
        tags=("remove_all_sd", "enable_kubernetes_sd", "enable_dns_sd"),
        variables=((f"{_LOKI}/pkg/util/build.Version", "3.7.8"),),
    ),
    Module(
        "collector",
        (_own("collector", "otelcol"),),
        minutes=2,
        gib=1.7,
        sources_gib=0.5,
        variables=(("main.version", "0.160.0"),),
    ),
    Module(
        "envoy-gateway",
        (Program("envoy-gateway", f"{_GATEWAY}/cmd/envoy-gateway"),),
        minutes=3,
        gib=2.5,
        sources_gib=0.8,
        variables=((f"{_GATEWAY}/internal/cmd/version.envoyGatewayVersion", f"v{GATEWAY_VERSION}"),),
    ),
    Module(
        "kube-score",
        (Program("kube-score", "github.com/zegl/kube-score/cmd/kube-score"),),
        minutes=1,
        gib=0.6,
        sources_gib=0.3,
        variables=(("main.version", "1.20.0"),),
    ),
    Module(
        "actionlint",
        (Program("actionlint", "github.com/rhysd/actionlint/cmd/actionlint"),),
        minutes=0.4,
        gib=0.1,
        sources_gib=0.1,
        variables=(("github.com/rhysd/actionlint.version", "v1.7.12"),),
    ),
)
"""In the order of building: what a preview needs first, then what a cluster needs, then what the tests alone need."""

GROUPS = {
    "pulumi": ("engine", "python", "kubernetes", "bridge"),
    "cluster": ("cluster", "containerd", "router", "registry", "sandbox-controller"),
    "images": ("cluster", "registry", "dns", "pause", "kube-state-metrics", "loki", "collector", "envoy-gateway"),
    "rules": ("loki",),
}
"""Names for what is wanted together. A module's own name is understood too."""


def modules(groups: tuple[str, ...] | list[str]) -> tuple[Module, ...]:
    """Return the modules of the groups, each once and in the order of building."""
    wanted = {name for group in groups for name in GROUPS.get(group, (group,))}
    if unknown := wanted - {module.name for module in MODULES}:
        known = ", ".join([*GROUPS, *(module.name for module in MODULES)])
        raise UserError(f"tools: {', '.join(sorted(unknown))} is no group and no module; there are {known}")
    return tuple(module for module in MODULES if module.name in wanted)
