"""The style budget, and the rules of the layout that no linter knows; each failure says what to do."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "linnet").rglob("*.py"))}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

FILE_MEDIAN, FILE_MOST = 130, 500
FUNCTION_P90, FUNCTION_MOST = 35, 80

SEEDING = {"manual_seed", "manual_seed_all", "seed", "seed_everything", "set_seed", "set_rng_state"}
DRAWING = {"bernoulli", "multinomial", "normal", "rand", "randint", "randn", "randperm"}
ALWAYS_WRITING = {
    *("makedirs", "mkdir", "mkdtemp", "mkstemp", "rename", "rmdir", "rmtree", "touch", "unlink"),
    *("copyfile", "copytree", "os.remove", "os.replace", "os.truncate", "shutil.copy", "shutil.move"),
}
WRITING = {
    *("write_bytes", "write_text", "savefig", "save_file", "write_table", "write_csv", "to_csv"),
    *("torch.save", "np.save", "np.savez", "image.save", "picture.save", "tofile"),
}


def name_of(node: ast.expr) -> str:
    """`a.b.c` as text; what is not a name is left out."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}".removeprefix(".")
    return node.id if isinstance(node, ast.Name) else ""


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, name_of(node.func)


def imported(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def report(problems: list[str], remedy: str) -> None:
    assert not problems, "\n".join([remedy, *problems])


def lengths() -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    files = [(len(path.read_text(encoding="utf-8").splitlines()), place(path, tree)) for path, tree in MODULES.items()]
    functions = [
        ((node.end_lineno or node.lineno) - node.lineno + 1, f"{place(path, node)} {node.name}")
        for path, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, FUNCTIONS)
    ]
    return sorted(files, reverse=True), sorted(functions, reverse=True)


def test_files_are_short() -> None:
    files, _ = lengths()
    report(
        [f"{place}: {count} lines" for count, place in files if count > FILE_MOST],
        f"split files over {FILE_MOST} lines",
    )
    median = statistics.median(count for count, _ in files)
    longest = [f"{place}: {count} lines" for count, place in files[:5]]
    assert median <= FILE_MEDIAN, "\n".join(
        [f"the median file has {median} lines, above {FILE_MEDIAN}; longest:", *longest]
    )


def test_functions_are_short() -> None:
    _, functions = lengths()
    too_long = [f"{place}: {count} lines" for count, place in functions if count > FUNCTION_MOST]
    report(too_long, f"split functions over {FUNCTION_MOST} lines")
    ninth, longest = (
        functions[len(functions) // 10][0],
        [f"{place}: {count} lines" for count, place in functions[:10]],
    )
    assert ninth <= FUNCTION_P90, "\n".join(
        [f"one function in ten is over {ninth} lines; the budget is {FUNCTION_P90}:", *longest]
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_names_what_is_public(path: Path) -> None:
    tree = MODULES[path]
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_")
    }
    listed = [
        node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign) and "__all__" in ast.unparse(node)
    ]
    if len(tree.body) <= 1:
        return  # a docstring alone
    assert listed, f"{place(path, tree)}: give the module __all__, the list of its public names"
    value = listed[0].value
    assert isinstance(value, ast.List), f"{place(path, listed[0])}: write __all__ as a plain list"
    names = {element.value for element in value.elts if isinstance(element, ast.Constant)}
    missing = sorted(defined - names)
    assert not missing, f"{place(path, tree)}: in __all__, or with a leading underscore: {', '.join(missing)}"


def seeding(tree: ast.AST) -> Iterator[ast.AST]:
    """Calls that seed or draw from a hidden state, and imports of modules that do."""
    yield from (node for node, name in imported(tree) if name in {"random", "torch.random", "numpy.random"})
    for call, name in calls(tree):
        head, _, last = name.rpartition(".")
        keyed = any(keyword.arg == "generator" for keyword in call.keywords)
        hidden = name.startswith(("np.random.", "numpy.random.", "random.", "torch.random."))
        unkeyed = head == "torch" and last in DRAWING and not keyed
        if last in SEEDING or hidden or unkeyed or name == "torch.Generator":
            yield call


def test_only_randomness_seeds() -> None:
    found = [
        f"{place(path, node)}: {ast.unparse(node)[:80]}"
        for path, tree in MODULES.items()
        if path != ROOT / "linnet" / "randomness.py"
        for node in seeding(tree)
    ]
    report(
        found,
        "draw through linnet.randomness (generator, torch_generator, uniforms, seeded)",
    )


def writing(node: ast.AST, aside: bool = False) -> Iterator[ast.AST]:
    """Calls that write, outside of `with atomic_path(...)` and of functions that get the path as `aside`."""
    if isinstance(node, ast.With) and any("atomic_path" in ast.unparse(item.context_expr) for item in node.items):
        aside = True
    if isinstance(node, FUNCTIONS) and any(argument.arg == "aside" for argument in node.args.args):
        aside = True
    if isinstance(node, ast.Call) and writes(node, aside):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from writing(child, aside)


def writes(call: ast.Call, aside: bool) -> bool:
    name = name_of(call.func)
    last = call.func.attr if isinstance(call.func, ast.Attribute) else name
    if name == "rename":  # linnet.discover's, of a cluster; that of a file is an attribute of os or of a path
        return False
    if name in ALWAYS_WRITING or (last in ALWAYS_WRITING and not name.startswith("files.")):
        return True
    if aside or name.startswith("files."):
        return False
    if last == "open" and not name.startswith(("Image.", "zipfile.", "tarfile.")):
        given = [
            *call.args[isinstance(call.func, ast.Name) :],
            *(k.value for k in call.keywords if k.arg == "mode"),
        ]
        mode = given[0].value if given and isinstance(given[0], ast.Constant) else "r"
        return isinstance(mode, str) and bool(set(mode) & set("wax+")) and set(mode) <= set("rwxabt+")
    return name in WRITING or (isinstance(call.func, ast.Attribute) and last in WRITING)


def test_only_files_writes() -> None:
    found = [
        f"{place(path, node)}: {ast.unparse(node)[:80]}"
        for path, tree in MODULES.items()
        if path != ROOT / "linnet" / "files.py"
        for node in writing(tree)
    ]
    report(
        found,
        "write through linnet.files (write_text, make_folder, ... or `with atomic_path(target) as aside`)",
    )


_BASES = ("linnet.methods.base", "linnet.methods.described")  # what methods are made of, and none themselves


def test_methods_do_not_know_each_other() -> None:
    found = [
        f"{place(path, node)}: imports {name}"
        for path, tree in MODULES.items()
        if path.parent == ROOT / "linnet" / "methods" and path.name not in {"__init__.py", "base.py"}
        for node, name in imported(tree)
        if name.startswith("linnet.methods.") and not name.startswith(_BASES)
    ]
    report(found, "move what two methods share to linnet/losses or linnet/methods/base.py")


def test_no_pickle() -> None:
    found = [
        f"{place(path, node)}: imports {name}"
        for path, tree in MODULES.items()
        if path != ROOT / "linnet" / "datasets" / "cifar100.py"
        for node, name in imported(tree)
        if name.split(".")[0] in {"pickle", "dill", "cloudpickle", "joblib", "shelve"}
    ]
    report(found, "store as JSON or safetensors: opening a file must run nothing")


@pytest.mark.parametrize(
    "code",
    [
        "import random",
        "torch.manual_seed(0)",
        "np.random.default_rng(0)",
        "x = torch.randn(3)",
        "torch.Generator()",
        "rng.seed(1)",
    ],
)
def test_the_rule_on_seeds_sees(code: str) -> None:
    assert list(seeding(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "open(path, 'w')",
        "path.open('ab')",
        "path.write_text('')",
        "torch.save(x, path)",
        "path.mkdir()",
        "os.replace(a, b)",
    ],
)
def test_the_rule_on_writing_sees(code: str) -> None:
    assert list(writing(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        *(
            "open(path)",
            "path.open('rb')",
            "files.write_text(path, '')",
            "files.make_folder(p)",
            "Image.open(path)",
        ),
        "with files.atomic_path(path) as aside:\n    figure.savefig(aside)",
        *(
            "def put(image, aside):\n    image.save(aside)",
            "text.replace('a', 'b')",
            "torch.randn(3, generator=g)",
        ),
    ],
)
def test_the_rules_let_pass(code: str) -> None:
    tree = ast.parse(code)
    assert not [*writing(tree), *seeding(tree)]
