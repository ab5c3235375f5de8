"""Ingresses that lead nowhere: a service, a port, a certificate or a class that is not there."""

from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.analyzers.quoting import not_there, said
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.references import ingress_backends
from stellwerk.inquiry.facts.resemblance import nearest
from stellwerk.release.conditions import entries, part
from stellwerk.release.objects import Body


def examine(facts: Facts) -> Iterator[Clue]:
    """Find ingresses whose parts are not there."""
    for ingress in facts.of("Ingress"):
        yield from _backends(facts, ingress)
        yield from _secrets(facts, ingress)
        yield from _class(facts, ingress)


def _backends(facts: Facts, ingress: Body) -> Iterator[Clue]:
    namespace = ref_of(ingress).namespace
    for name, port in ingress_backends(ingress):
        ref = named("Service", namespace, name)
        service = facts.get(ref)
        quoted = said(ingress, f"backend {name}:{port}")
        if service is None and facts.absent(ref):
            near = nearest(name, [ref_of(one).name for one in facts.of("Service", namespace)])
            blamed = ref_of(ingress) if near else ref
            yield Clue(
                "MissingBackend",
                ref_of(ingress),
                f"{ref_of(ingress)} leads to {ref}, which is not there" + (f"; {near} is" if near else ""),
                (quoted, not_there(ref, near)),
                blames=(blamed,),
                facts={"missing": name},
                strength=0.93,
            )
        elif service is not None:
            ports = {
                value
                for one in entries(part(service, "spec"), "ports")
                for value in (one.get("port"), one.get("name"))
                if value
            }
            if port is not None and port not in ports:
                shown = ", ".join(str(one) for one in ports)
                yield Clue(
                    "BackendPortUnmatched",
                    ref_of(ingress),
                    f"{ref_of(ingress)} leads to port {port} of {ref}, which has {shown}",
                    (quoted, said(service, f"ports {shown}")),
                    facts={"port": str(port)},
                    strength=0.92,
                )


def _secrets(facts: Facts, ingress: Body) -> Iterator[Clue]:
    for one in entries(part(ingress, "spec"), "tls"):
        ref = named("Secret", ref_of(ingress).namespace, str(one.get("secretName")))
        if one.get("secretName") and facts.get(ref) is None and facts.absent(ref):
            yield Clue(
                "MissingCertificate",
                ref_of(ingress),
                f"{ref}, the certificate of {ref_of(ingress)}, is not there",
                (said(ingress, f"tls secretName {ref.name}"), not_there(ref)),
                blames=(ref,),
                facts={"missing": ref.name},
                strength=0.93,
            )


def _class(facts: Facts, ingress: Body) -> Iterator[Clue]:
    name = part(ingress, "spec").get("ingressClassName")
    ref = named("IngressClass", "", str(name))
    if name and facts.get(ref) is None and facts.absent(ref):
        others = [ref_of(one).name for one in facts.of("IngressClass")]
        blamed = ref_of(ingress) if others else ref
        hint = f"; there is {', '.join(sorted(others))}" if others else ""
        yield Clue(
            "MissingIngressClass",
            ref_of(ingress),
            f"{ref}, which {ref_of(ingress)} names, is not there{hint}",
            (said(ingress, f"ingressClassName {name}"), not_there(ref)),
            blames=(blamed,),
            facts={"missing": str(name)},
            strength=0.85,
        )
