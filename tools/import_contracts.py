"""Import contracts that import-linter lacks: one side of a package, and siblings in pairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output
from importlinter.contracts.independence import IndependenceContract

LIFECYCLE = "_lifecycle"


class OneSideContract(Contract):
    """No module of some packages, save those of the other side, reaches what is forbidden.

    Every module below ``source_modules`` is checked but those at and below ``other_side`` (names
    or wildcards), and every chain of imports from it, also one that leads through the other side.
    ``permitted_modules`` are those below the forbidden ones that do no harm.
    Names may be missing: the contract holds before and after the files it speaks of appear.
    """

    type_name = "one_side"

    source_modules = fields.SetField(subfield=fields.StringField())
    other_side = fields.SetField(subfield=fields.StringField(), required=False)
    forbidden_modules = fields.SetField(subfield=fields.StringField())
    permitted_modules = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Keep the contract if no source module has a chain of imports to a forbidden one."""
        permitted: Any = self.permitted_modules or ()
        forbidden = _with_descendants(graph, self.forbidden_modules) - set(permitted)
        chains = [
            chain
            for source in sorted(self._sources(graph))
            for target in sorted(forbidden - {source})
            if (chain := graph.find_shortest_chain(importer=source, imported=target))
        ]
        output.verbose_print(verbose, f"{len(chains)} chains lead to a forbidden module.")
        return ContractCheck(kept=not chains, metadata={"chains": chains})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each chain of imports that should not be there."""
        for chain in check.metadata["chains"]:
            output.print_error(" -> ".join(chain))

    def _sources(self, graph: ImportGraph) -> set[str]:
        expressions: Any = self.other_side or ()
        other = {name for each in expressions for name in _matching(graph, each)}
        return _with_descendants(graph, self.source_modules) - _with_descendants(graph, other)


class PairsContract(IndependenceContract):
    """Siblings are independent, but ``x`` may import ``x_lifecycle``, which decides for it."""

    type_name = "pairs"

    # Named again because import-linter before 2.16 reads only the fields of the class itself.
    modules = IndependenceContract.modules
    ignore_imports = IndependenceContract.ignore_imports
    unmatched_ignore_imports_alerting = IndependenceContract.unmatched_ignore_imports_alerting
    broken_contract_guidance = IndependenceContract.broken_contract_guidance

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Forget the imports inside pairs, then require independence of all siblings."""
        for name in sorted(graph.modules):
            if name + LIFECYCLE in graph.modules:
                graph.remove_import(importer=name, imported=name + LIFECYCLE)
        return super().check(graph, verbose)


def _matching(graph: ImportGraph, expression: str) -> set[str]:
    if "*" in expression:
        return graph.find_matching_modules(expression)
    return {expression}


def _with_descendants(graph: ImportGraph, names: Any) -> set[str]:
    present: Iterable[str] = (name for name in names if name in graph.modules)
    found: set[str] = set()
    for name in present:
        found.add(name)
        if not graph.is_module_squashed(name):
            found |= graph.find_descendants(name)
    return found
