"""Findings on class names: two spellings of one class, and a fine class that is named after another coarse one."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from linnet.doctor.findings import Code, Finding, Item, Severity, finding
from linnet.hierarchy import suffix
from linnet.taxonomy import Taxonomy

__all__ = ["alike_names", "name_findings", "suffix_slips"]

_LETTER = "they differ in one letter"
_LEAST_LETTERS = 6
"""Letters from which on one letter more, less or other is taken for a slip: 'rose' and 'nose' are two words."""


def name_findings(taxonomy: Taxonomy) -> list[Finding]:
    """What is odd about the names of classes."""
    found: list[Finding] = []
    for level, names in enumerate(taxonomy.classes):
        called = taxonomy.levels[level]
        found += finding(
            Code.ALIKE_NAMES,
            Severity.WARNING,
            f"pairs of {called} classes whose names are nearly the same: {{n}}",
            "If they are one class, spell it in one way; if not, nothing need be done.",
            [Item(f"{one!r} and {other!r}: {why}", (), (one, other)) for one, other, why in _slips(taxonomy, level)],
        )
        if level:
            above = taxonomy.levels[level - 1]
            found += finding(
                Code.NAME_SUFFIX,
                Severity.WARNING,
                f"{called} classes that bear the name of another {above} class than their own: {{n}}",
                f"Put them under the {above} class of that name, if they belong there.",
                [
                    Item(f"{name} is under {own}, not under {named}", (), (name, own, named))
                    for name, own, named in suffix_slips(names, taxonomy.classes[level - 1], taxonomy.parents[level])
                ],
            )
    return found


def _slips(taxonomy: Taxonomy, level: int) -> list[tuple[str, str, str]]:
    """Names of a level that are nearly the same; of those that differ in a letter only siblings.

    'castle' and 'cattle' under two coarse classes are two words. A name typed wrong stands beside the right one.
    """
    found = alike_names(taxonomy.classes[level])
    if not level:
        return found
    parent = dict(zip(taxonomy.classes[level], taxonomy.parents[level], strict=True))
    return [pair for pair in found if pair[2] != _LETTER or parent[pair[0]] == parent[pair[1]]]


def suffix_slips(names: Sequence[str], coarse: Sequence[str], parents: Sequence[int]) -> list[tuple[str, str, str]]:
    """Fine classes whose last word is the name of another coarse class: (fine, its coarse class, the one it names).

    'Green_tailed_Towhee' under 'Tern' is one where there is a class 'Towhee'. A coarse class that holds the last word
    itself ('Old World Warbler', 'Warbler') is not a slip.
    """
    by_name: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(coarse):
        by_name[_plain(name)].append(number)
    found = []
    for name, parent in zip(names, parents, strict=True):
        word = suffix(name)
        named = by_name.get(_plain(word), []) if word else []
        own = {_plain(part) for part in re.split(r"[_\s/-]+", coarse[parent])} | {_plain(coarse[parent])}
        if named and parent not in named and _plain(word) not in own and _plain(name) != _plain(word):
            found.append((name, coarse[parent], coarse[named[0]]))
    return found


def alike_names(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Pairs of names that differ in letter case, accents, spaces or signs alone, or in one letter; and in what.

    Digits tell classes apart ('707-320', '707-420'). Looked up by all names less one letter, so that ten thousand
    classes take no time to speak of.
    """
    found: list[tuple[str, str, str]] = []
    by_plain: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_plain[_plain(name)].append(name)
    for group in by_plain.values():
        found += [(group[0], other, "they differ in letter case, spaces or signs alone") for other in group[1:]]
    shorter: dict[str, list[str]] = defaultdict(list)
    for plain in by_plain:
        if sum(letter.isalpha() for letter in plain) >= _LEAST_LETTERS:
            for key in {plain, *(plain[:at] + plain[at + 1 :] for at in range(len(plain)))}:
                shorter[key].append(plain)
    pairs = {(one, other) for group in shorter.values() for one in group for other in group if one < other}
    for one, other in sorted(pairs):
        if _one_letter(one, other):
            found.append((by_plain[one][0], by_plain[other][0], _LETTER))
    return found


def _plain(name: str) -> str:
    """Small letters and digits alone, without accents or a number in front as in '001.Albatross'."""
    bare = re.sub(r"^\s*\d+\.\s*(?=\S)", "", name)
    letters = unicodedata.normalize("NFKD", bare).casefold()
    return "".join(letter for letter in letters if letter.isalnum()) or name


def _one_letter(one: str, other: str) -> bool:
    """Whether two different texts differ in one letter, no digit: one other, one more, or two changed about."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    middle = one[start : len(one) - end], other[start : len(other) - end]
    if any(letter.isdigit() for letter in "".join(middle)):
        return False
    swapped = len(middle[0]) == len(middle[1]) == 2 and middle[0] == middle[1][::-1]
    return swapped or max(map(len, middle)) == 1
