"""The pages keep to the code: generated parts, the list of folders, the index, names and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import check_folders, component_pages

ROOT = Path(__file__).resolve().parent.parent
WITH_PAGES = ("docs", "flight", "deploy", "benchmarks")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for name in WITH_PAGES for page in (ROOT / name).rglob("*.md"))]
)
OF_NOW = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""The pages that speak of the code as it is; the change log also names what was."""
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
TOPS = "icd|flight|hal|sim_hw|ground|tools|tests|benchmarks|examples|deploy|docs|requirements"
A_PATH = re.compile(rf"(?<![\w/.-])((?:{TOPS})/[\w./*@-]*[\w*/])")
A_MODULE = re.compile(r"(?<![\w/.-])((?:icd|flight|hal|sim_hw|ground|tools|benchmarks)(?:\.\w+)+)")
A_FILE = re.compile(r"^`(\w+\.(?:py|sh))`$")
MOST_SHOWN = 60
"""Lines of a component's page on the screen before anything is unfolded."""

named = pytest.mark.parametrize(
    "folder", component_pages.folders(), ids=[f.name for f in component_pages.folders()]
)


def of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def links(page: Path) -> Iterator[tuple[str, str]]:
    """(path, fragment) of every link within the repository."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            path, _, fragment = target.partition("#")
            yield path, fragment


def is_there(name: str) -> bool:
    """Whether a module, or what is named in one, exists."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        folder, rest = ROOT.joinpath(*parts[:count]), parts[count:]
        for file in (folder.with_suffix(".py"), folder / "__init__.py"):
            if file.is_file():
                text = file.read_text(encoding="utf-8")
                return all(re.search(_defined(name), text, re.MULTILINE) for name in rest)
        if folder.is_dir():
            return not rest
    return False


def _defined(name: str) -> str:
    return rf"\b(?:def|class) {name}\b|^ *{name}\b *[:=]|\bimport .*\b{name}\b"


class TestComponentPages:
    def test_every_page_says_what_the_code_says(self) -> None:
        assert component_pages.complaints() == []

    def test_every_component_of_the_tree_has_one(self) -> None:
        folders = {path.parent.name for path in ROOT.glob("flight/components/*/__init__.py")}
        assert {folder.name for folder in component_pages.folders()} == folders

    @pytest.mark.parametrize(
        ("part", "written", "planted"),
        [
            ("commands", "| critical |", "|  |"),
            ("events", "| 6 | `device_lost` | high |", "| 6 | `device_lost` | low |"),
            ("requirements", "VA-BRD-01, ", ""),
            ("tests", "test_component.py", "test_none.py"),
            ("identity", "APID 4", "APID 5"),
        ],
    )
    def test_a_stale_part_fails_and_the_sentence_says_what_to_run(
        self, tmp_path: Path, part: str, written: str, planted: str
    ) -> None:
        for folder in component_pages.folders():
            copy = tmp_path / folder.page
            copy.parent.mkdir(parents=True)
            copy.write_text((ROOT / folder.page).read_text(encoding="utf-8"), encoding="utf-8")
        board = tmp_path / "flight/components/board/README.md"
        text = board.read_text(encoding="utf-8")
        assert written in text, "a mistake planted where nothing is guards nothing"
        board.write_text(text.replace(written, planted), encoding="utf-8")
        assert component_pages.complaints(tmp_path) == [
            f"flight/components/board/README.md: {part} not as in the code: run `make pages`"
        ]

    def test_a_stale_table_of_states_is_noticed(self) -> None:
        page = (ROOT / "flight/components/recovery/README.md").read_text(encoding="utf-8")
        (recovery,) = (f for f in component_pages.folders() if f.name == "recovery")
        stale = re.sub(r"^\| SAVING .*\n", "", page, flags=re.MULTILINE)
        assert stale != page
        wanted = component_pages.rewritten(recovery, stale)
        assert component_pages.differences(stale, wanted) == ["states"]
        assert wanted == page

    def test_a_page_or_a_part_that_is_missing_is_named_and_written(self, tmp_path: Path) -> None:
        assert "recovery/README.md is missing" in "\n".join(component_pages.complaints(tmp_path))
        (first, *_) = component_pages.folders()
        bare = f"# {first.name}\n"
        written = component_pages.rewritten(first, bare)
        assert written.startswith(bare)
        assert component_pages.differences(bare, written) == re.findall(
            r"<!-- (?!end)(\w+)", written
        )

    @named
    def test_what_is_written_by_hand_is_kept(self, folder: component_pages.Folder) -> None:
        page = (ROOT / folder.page).read_text(encoding="utf-8")
        assert component_pages.rewritten(folder, page) == page

    @named
    def test_a_page_is_one_screen(self, folder: component_pages.Folder) -> None:
        page = (ROOT / folder.page).read_text(encoding="utf-8")
        assert component_pages.shown(page) <= MOST_SHOWN
        for part in ("**Decides**", "**Meets the rest.**", "**When it fails.**", "not here:**"):
            assert part in page

    @named
    def test_the_files_that_a_page_names_are_in_its_folder(
        self, folder: component_pages.Folder
    ) -> None:
        page = ROOT / folder.page
        for name in re.findall(r"`((?:\w+/)*\w+\.py)`", page.read_text(encoding="utf-8")):
            assert (page.parent / name).is_file() or (ROOT / name).is_file(), name


class TestListOfFolders:
    FILES = [Path("flight/link/keys.py"), Path("docs/a.md"), Path("tests/flight/link/test_keys.py")]
    LIST = (
        "<!-- folders -->\n| `flight/` | What flies. |\n| `flight/link/` | The link. |\n"
        "| `docs/` | Pages. |\n| `tests/` | Tests. |\n<!-- end -->\n"
    )

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        for name, text in (("flight", "What flies."), ("flight/link", "The link.")):
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / name / "__init__.py").write_text(f'"""{text}"""\n')
        return tmp_path

    def test_a_list_as_the_tree_is_complete_and_twins_in_tests_need_no_row(
        self, tree: Path
    ) -> None:
        assert check_folders.complaints(self.LIST, tree, self.FILES) == []

    @pytest.mark.parametrize(
        ("row", "instead", "sentence"),
        [
            (
                "| `flight/link/` | The link. |\n",
                "",
                "lacks flight/link/: write | `flight/link/` |",
            ),
            ("| `docs/` | Pages. |\n", "", "lacks docs/: write | `docs/` | what it holds, in one"),
            ("The link.", "The old link.", 'flight/link/ is "The link." in its __init__.py'),
            ("| `docs/`", "| `doc/` | Gone. |\n| `docs/`", "lists doc/, which is not there"),
        ],
    )
    def test_a_folder_that_is_missing_gone_or_described_otherwise_is_named(
        self, tree: Path, row: str, instead: str, sentence: str
    ) -> None:
        assert row in self.LIST
        planted = self.LIST.replace(row, instead)
        (found,) = check_folders.complaints(planted, tree, self.FILES)
        assert sentence in found

    def test_a_package_without_a_docstring_is_named(self, tree: Path) -> None:
        (tree / "flight/link/__init__.py").write_text("")
        (found,) = check_folders.complaints(self.LIST, tree, self.FILES)
        assert found.startswith("flight/link/__init__.py: write what the folder holds")

    def test_writing_takes_sentences_from_packages_and_keeps_the_others(self, tree: Path) -> None:
        stale = self.LIST.replace("The link.", "The old link.")
        written = check_folders.rewritten(stale, tree, self.FILES)
        assert check_folders.listed(written) == check_folders.listed(self.LIST)

    def test_the_list_of_the_architecture_is_as_the_tree_is(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        if not (ROOT / ".git").exists():
            pytest.skip("not a checkout")
        monkeypatch.chdir(ROOT)
        assert check_folders.main([]) == 0, capsys.readouterr().out


class TestAllPages:
    def test_every_page_is_linked_from_the_index_and_the_index_from_the_readme(self) -> None:
        index = ROOT / "docs/index.md"
        linked = {(index.parent / path).resolve() for path, _ in links(index)}
        assert [of(page) for page in PAGES if page not in linked and page != index] == []
        assert "docs/index.md" in [path for path, _ in links(ROOT / "README.md")]

    @pytest.mark.parametrize("page", PAGES, ids=of)
    def test_every_link_leads_to_a_file_and_to_a_heading_in_it(self, page: Path) -> None:
        for path, fragment in links(page):
            target = page.parent / path if path else page
            assert target.exists(), path
            if fragment:
                headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
                assert fragment in map(component_pages.anchor, headings), f"{path}#{fragment}"

    @pytest.mark.parametrize("page", OF_NOW, ids=of)
    def test_every_path_and_module_that_a_page_names_is_there(self, page: Path) -> None:
        for span in CODE.findall(page.read_text(encoding="utf-8")):
            for path in A_PATH.findall(span):
                assert any(ROOT.glob(path.rstrip("/"))), path
            for name in A_MODULE.findall(span):
                assert is_there(name), name
            for file in A_FILE.findall(span):
                assert any(ROOT.glob(f"[!.]*/**/{file}")) or (ROOT / file).exists(), file

    @pytest.mark.parametrize(
        "name",
        ["flight.nowhere", "flight.jobs.api.LocalJob", "hal.boards.open_nothing", "ground.none"],
    )
    def test_a_module_or_name_that_is_gone_is_noticed(self, name: str) -> None:
        assert not is_there(name)
