"""Import contracts that import-linter lacks: one side of a package, slices, and no circles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


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


class SlicesContract(Contract):
    """A module of one slice imports of other slices only the modules that these show.

    The slices are the sub-packages of ``package``; ``shown`` names the modules, relative to a
    slice, that others may import. Direct imports count: a chain through what is shown is fine.
    """

    type_name = "slices"

    package = fields.StringField()
    shown = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Keep the contract if no module imports what another slice does not show."""
        package, shown = str(self.package), set(self.shown)  # type: ignore[call-overload]
        chains = []
        for importer in sorted(graph.find_descendants(package)):
            own = _slice(importer, package)
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                other = _slice(imported, package)
                name = imported.removeprefix(f"{package}.{other}.")
                if other not in ("", own) and name not in shown:
                    chains.append((importer, imported))
        output.verbose_print(verbose, f"{len(chains)} imports reach into another slice.")
        return ContractCheck(kept=not chains, metadata={"chains": chains})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each import that reaches into another slice."""
        for chain in check.metadata["chains"]:
            output.print_error(" -> ".join(chain))


class NoCirclesContract(Contract):
    """No circle of imports, neither among modules nor among folders.

    A folder is a sub-package of a root package; the sub-packages of ``slices`` count one by one.
    Imports for type checking count: they too must be read to understand a file.
    """

    type_name = "no_circles"

    slices = fields.StringField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Keep the contract if nothing imports itself by a detour."""
        slices = str(self.slices)
        modules: dict[str, set[str]] = {}
        folders: dict[str, set[str]] = {}
        for module in graph.modules:
            imported = graph.find_modules_directly_imported_by(module)
            modules[module] = set(imported)
            own = _folder(module, slices)
            others = {_folder(name, slices) for name in imported} - {own}
            folders.setdefault(own, set()).update(others)
        circles = [sorted(circle) for part in (modules, folders) for circle in _circles(part)]
        output.verbose_print(verbose, f"{len(circles)} circles.")
        return ContractCheck(kept=not circles, metadata={"circles": circles})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each circle."""
        for circle in check.metadata["circles"]:
            output.print_error(", ".join(circle) + " import each other")


def _slice(module: str, package: str) -> str:
    """The sub-package of `package` that a module is in; empty for none."""
    if not module.startswith(f"{package}."):
        return ""
    return module.removeprefix(f"{package}.").split(".")[0]


def _folder(module: str, slices: str) -> str:
    """Where a module lies: root and sub-package, one more below `slices`."""
    deep = 3 if module.startswith(f"{slices}.") else 2
    return ".".join(module.split(".")[:deep])


def _circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """The sets of nodes that reach each other: what is left when ends are cut off, grouped."""
    left = {node: {to for to in ends if to in edges} for node, ends in edges.items()}
    while True:
        aims = {to for ends in left.values() for to in ends}
        cut = {node for node, ends in left.items() if not ends or node not in aims}
        if not cut:
            break
        left = {node: ends - cut for node, ends in left.items() if node not in cut}
    found: list[set[str]] = []
    for node in sorted(left):
        circle = {other for other in _reached(node, left) if node in _reached(other, left)}
        if circle and circle not in found:
            found.append(circle)
    return found


def _reached(start: str, edges: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for to in edges[waiting.pop()] - reached:
            reached.add(to)
            waiting.append(to)
    return reached


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
