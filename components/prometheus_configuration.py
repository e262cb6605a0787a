"""Prometheus' configuration: what it asks, under which labels it keeps the answers, and which rules it evaluates. Pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from components.watch import RULES, Expectation, Scrape, Watch
from settings.fixed import COMPONENT_LABEL
from settings.metrics import EVERY_SECONDS

DIRECTORY = "/etc/prometheus"
EXPECTATIONS = "expectations.yml"
"""The generated file of recording rules."""
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
TIMEOUT_SECONDS = 8
MOST_SAMPLES = 50_000
"""A target that tells more is taken for down: one that has gone wild must not fill the volume for all."""

KUBELET = 10250
"""Port of the kubelet on every node."""

_PODS: list[dict[str, Any]] = [{"role": "pod", "namespaces": {"own_namespace": True}}]
_META = "__meta_kubernetes_pod"
_HASH = "[bcdfghjklmnpqrstvwxz2456789]"
"""The letters that Kubernetes makes random names of."""
_KUBELET_SERIES = (
    "container_(cpu_usage_seconds_total|memory_working_set_bytes|start_time_seconds)|"
    "kubelet_volume_stats_(capacity|available|used|inodes|inodes_used)(_bytes)?"
)

Relabel = Mapping[str, object]

COMPONENT_OF_OBJECT: tuple[Relabel, ...] = (
    *(
        {"source_labels": [kind], "regex": "(.+)", "target_label": "component"}
        for kind in ("deployment", "statefulset", "cronjob", "poddisruptionbudget")
    ),
    {"source_labels": ["replicaset"], "regex": f"(.+)-{_HASH}{{5,10}}", "target_label": "component"},
    {"source_labels": ["job_name"], "regex": "(.+)-([0-9]{8,}|[0-9a-f]{10})", "target_label": "component"},
    {"source_labels": ["persistentvolumeclaim"], "regex": "data-(.+)-[0-9]+", "target_label": "component"},
    {"source_labels": ["pod"], "regex": "(.+)-[0-9]+", "target_label": "component"},
    {"source_labels": ["pod"], "regex": f"(.+)-({_HASH}{{5,10}}|[0-9]{{8,}}|[0-9a-f]{{10}})-{_HASH}{{5}}", "target_label": "component"},
)
"""How the label `component` is read off an object's name: workloads are called after it, and their pods, claims and Jobs after them."""


def watched(watches: Iterable[Watch]) -> Watch:
    """Return all watches as one: each rule file and each expectation once."""
    all_of = list(watches)
    return Watch(
        rules=tuple(dict.fromkeys(name for watch in all_of for name in watch.rules)),
        scrapes=tuple(scrape for watch in all_of for scrape in watch.scrapes),
        expectations=tuple({_identity(fact): fact for watch in all_of for fact in watch.expectations}.values()),
    )


def files(
    watch: Watch,
    external_labels: Mapping[str, str],
    *,
    alertmanager: str | None,
    kubelet: bool,
    runbooks: str | None = None,
    own: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the files of /etc/prometheus; `runbooks` is where the repository is read in a browser, `own` are the product's own rules."""
    said = configuration(watch, external_labels, alertmanager=alertmanager, kubelet=kubelet, own=tuple(own or ()))
    rules = {f"alerts-{name}.yml": _linked((RULES / f"{name}.yml").read_text(), runbooks) for name in watch.rules}
    return {
        "prometheus.yml": yaml.safe_dump(said, sort_keys=False),
        EXPECTATIONS: yaml.safe_dump(recorded(watch.expectations), sort_keys=False),
        **rules,
        **(own or {}),
    }


def _linked(rules: str, runbooks: str | None) -> str:
    """Return a file of rules whose runbooks are addresses, not paths in the repository."""
    return rules.replace("runbook: docs/", f"runbook: {runbooks.rstrip('/')}/docs/") if runbooks else rules


def configuration(
    watch: Watch, external_labels: Mapping[str, str], *, alertmanager: str | None, kubelet: bool, own: Sequence[str] = ()
) -> dict[str, Any]:
    """Return prometheus.yml; `alertmanager` is host:port, None where there is none; `own` are further files of rules."""
    every = f"{EVERY_SECONDS}s"
    said: dict[str, Any] = {
        "global": {
            "scrape_interval": every,
            "scrape_timeout": f"{TIMEOUT_SECONDS}s",
            "evaluation_interval": every,
            "external_labels": dict(external_labels),
        },
        "rule_files": [f"{DIRECTORY}/{name}" for name in (EXPECTATIONS, *(f"alerts-{name}.yml" for name in watch.rules), *own)],
    }
    if alertmanager:
        said["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}], "timeout": "5s"}]}
    jobs = [scraping(scrape) for scrape in watch.scrapes]
    said["scrape_configs"] = [*jobs, *(_kubelet(external_labels["namespace"]) if kubelet else [])]
    return said


def scraping(scrape: Scrape) -> dict[str, Any]:
    """Return one entry of scrape_configs. All of them look for pods in the same way, which Prometheus then does once for all."""
    component = scrape.about or scrape.component
    found: dict[str, Any] = {
        "kubernetes_sd_configs": _PODS,
        "relabel_configs": [*_targets(scrape), *_labels(scrape.job, component, scrape.honor_labels)],
    }
    if scrape.namespace:
        names = [f"{scrape.component}.{scrape.namespace}.svc"]
        found = {
            "dns_sd_configs": [{"names": names, "type": "A", "port": scrape.port}],
            "relabel_configs": [
                {"target_label": label, "replacement": value} for label, value in (("job", scrape.job), ("component", component))
            ],
        }
    said: dict[str, Any] = {"job_name": f"{scrape.job}/{component}:{scrape.port}", "metrics_path": scrape.path}
    if scrape.params:
        said["params"] = {key: list(values) for key, values in scrape.params.items()}
    if scrape.scheme == "https":
        said |= {"scheme": "https", "tls_config": {"insecure_skip_verify": True}}
    return said | {
        "honor_labels": scrape.honor_labels,
        "sample_limit": MOST_SAMPLES,
        **found,
        **({"metric_relabel_configs": [dict(one) for one in scrape.relabel]} if scrape.relabel else {}),
    }


def _targets(scrape: Scrape) -> list[dict[str, Any]]:
    """Return the rules that keep the component's pods and the one port."""
    label = f"{_META}_label_{''.join(letter if letter.isalnum() else '_' for letter in COMPONENT_LABEL)}"
    return [
        {"source_labels": [label, f"{_META}_container_port_number"], "regex": f"{scrape.component};{scrape.port}", "action": "keep"},
        # A Job's pod that has ended, and one that was evicted, keep their addresses.
        {"source_labels": [f"{_META}_phase"], "regex": "Succeeded|Failed", "action": "drop"},
    ]


def _labels(job: str, component: str, honor_labels: bool) -> list[dict[str, Any]]:
    # By name, not by address: what a pod was called is still known when it is gone.
    named = [
        {"target_label": "job", "replacement": job},
        {"source_labels": [f"{_META}_name", f"{_META}_container_port_number"], "separator": ":", "target_label": "instance"},
    ]
    if honor_labels:
        # Its own name would be taken for that of each object which it tells of.
        return named
    own = {"pod": f"{_META}_name", "container": f"{_META}_container_name"}
    return [
        *named,
        {"target_label": "component", "replacement": component},
        *({"source_labels": [source], "target_label": label} for label, source in own.items()),
    ]


def _kubelet(namespace: str) -> list[dict[str, Any]]:
    """Return the jobs that ask the nodes' kubelets: they tell of every namespace, and only this one's series are kept."""
    kept: list[dict[str, Any]] = [
        {"source_labels": ["namespace"], "regex": namespace, "action": "keep"},
        {"source_labels": ["__name__"], "regex": _KUBELET_SERIES, "action": "keep"},
        *(dict(one) for one in COMPONENT_OF_OBJECT),
    ]
    return [
        {
            "job_name": job,
            "metrics_path": path,
            "scheme": "https",
            # A kubelet's certificate is its own, unless the cluster's operator had it signed.
            "tls_config": {"insecure_skip_verify": True},
            "authorization": {"credentials_file": TOKEN},
            "honor_timestamps": False,
            "kubernetes_sd_configs": _PODS,
            # The nodes that its own pods are on, once each: alike but for the pod, they are one target. To list nodes takes another right.
            "relabel_configs": [
                {"source_labels": [f"{_META}_host_ip"], "regex": ".+", "action": "keep"},
                {
                    "source_labels": [f"{_META}_host_ip"],
                    "regex": "([0-9.]+)",
                    "target_label": "__address__",
                    "replacement": f"$1:{KUBELET}",
                },
                {
                    "source_labels": [f"{_META}_host_ip"],
                    "regex": "(.*:.*)",
                    "target_label": "__address__",
                    "replacement": f"[$1]:{KUBELET}",
                },
                {"source_labels": [f"{_META}_node_name"], "target_label": "instance"},
            ],
            "metric_relabel_configs": kept,
        }
        for job, path in (("containers", "/metrics/resource"), ("kubelet", "/metrics"))
    ]


def recorded(expectations: Sequence[Expectation]) -> dict[str, Any]:
    """Return the file of recording rules that makes a series of each expectation."""
    rules = [{"record": fact.record, "expr": f"vector({fact.value:g})", "labels": dict(fact.labels)} for fact in expectations]
    return {"groups": [{"name": "expectations", "rules": rules}]}


def _identity(fact: Expectation) -> tuple[str, tuple[tuple[str, str], ...]]:
    return fact.record, tuple(sorted(fact.labels.items()))
